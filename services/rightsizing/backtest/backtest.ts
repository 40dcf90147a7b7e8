import { createPeakSizer } from '../sizers/peak-sizer.ts';
import { createSizer, type Sizer } from '../sizers/sizer.ts';
import { windowOf } from '../sizers/window.ts';
import { krrSimple, krrSimpleLimit } from '../strategies/krr.ts';
import { own } from '../strategies/names.ts';
import { autopilot, castAi, crane, kruizeCost, kruizePerformance, peak } from '../strategies/others.ts';
import type { Strategy } from '../strategies/strategy.ts';
import { vpa } from '../strategies/vpa.ts';
import { day, type Resource, type Usage } from '../usage.ts';
import { type Adviser, calibrationError, type Outcome, type ReplaySettings, replay } from './replay.ts';

/** What each strategy would have asked for, and how that would have gone: side by side over the same series. */

/** Rules of others that a recommendation can be made by as well. */
export const strategies: Strategy[] = [
  krrSimple,
  krrSimpleLimit,
  vpa,
  crane,
  kruizeCost,
  kruizePerformance,
  castAi,
  autopilot,
  peak,
];

/** CPU: share of samples above the request; memory: share of horizons with any. */
export const stated: Record<Resource, number> = { cpu: 0.05, memory: 0.02 };
/** A sample above costs so many times what one below does: 95th and 99th percentile cost least. */
export const weights: Record<Resource, number> = { cpu: 20, memory: 100 };
/** Common to all strategies: 10 m, 1 MiB. */
export const leastOf: Record<Resource, number> = { cpu: 0.01, memory: 2 ** 20 };

export const sizerFor = (
  resource: Resource,
  stepMs: number,
  horizonMs: number,
  least: number,
  violation = stated[resource],
): Sizer => (resource === 'cpu' ? createSizer : createPeakSizer)({ stepMs, horizonMs, violation, least });

/** Shows the sizer whole strides that end where the history does. Gives how many steps it has seen by now. */
export function feed(sizer: Sizer, { stepMs, values }: Usage, seen: number | null): number {
  const stride = Math.round(sizer.strideMs / stepMs);
  let at = seen ?? values.length % stride;
  for (; at + stride <= values.length; at += stride) sizer.add(values.subarray(at, at + stride));
  return at;
}

/** The tower's own strategy; it learns while it walks. */
export function ownAdviser(resource: Resource, stepMs: number, horizonMs: number, least: number): Adviser {
  const sizer = sizerFor(resource, stepMs, horizonMs, least);
  let seen: number | null = null;
  return (history) => {
    seen = feed(sizer, history, seen);
    return sizer.recommend();
  };
}

/** `floors`: the strategy’s own as well. */
export const strategyAdviser =
  (strategy: Strategy, resource: Resource, floors: boolean): Adviser =>
  (history) => {
    const request = strategy.request(resource, [history]);
    return {
      request: request === null || !floors ? request : Math.max(request, strategy.floors[resource]),
      confidence: null,
    };
  };

/** Knows what comes: no request costs less. */
export const oracle =
  (usage: Usage, horizonMs: number, weight: number): Adviser =>
  (history) => {
    const from = history.values.length;
    const part = usage.values.subarray(from, from + Math.round(horizonMs / usage.stepMs));
    const cheapest = windowOf(part).cheapest(weight);
    return { request: Number.isNaN(cheapest) ? null : cheapest, confidence: null };
  };

export type BacktestSettings = {
  resource: Resource;
  horizonMs: number;
  warmUpMs?: number;
  floors?: boolean;
  least?: number;
};
export type Tested = { strategy: string; outcomes: (Outcome | null)[] };

/** Every strategy over every series. Series too short for a window come out null. */
export function backtest(series: readonly Usage[], settings: BacktestSettings, only?: readonly string[]): Tested[] {
  const { resource, horizonMs, warmUpMs = 7 * day, floors = false, least = leastOf[resource] } = settings;
  const walking: ReplaySettings = {
    horizonMs,
    warmUpMs,
    weight: weights[resource],
    allowed: resource === 'cpu' ? stated.cpu : 0,
    least,
  };
  const advisers: Record<string, (usage: Usage) => Adviser> = {
    [own]: ({ stepMs }) => ownAdviser(resource, stepMs, horizonMs, least),
    ...Object.fromEntries(
      strategies.map((strategy) => [strategy.name, () => strategyAdviser(strategy, resource, floors)]),
    ),
    oracle: (usage) => oracle(usage, horizonMs, weights[resource]),
  };
  return Object.entries(advisers)
    .filter(([name]) => only === undefined || only.includes(name))
    .map(([strategy, adviser]) => ({
      strategy,
      outcomes: series.map((usage) => replay(usage, resource, adviser(usage), walking)),
    }));
}

/** Means over the series that could be judged; regret as geometric mean. */
export type Summary = {
  strategy: string;
  series: number;
  slack: number;
  violations: number;
  violated_windows: number;
  excess: number;
  regret: number;
  ooms_per_day: number;
  churn: number;
  resizes: number;
  abstentions: number;
  /** Expected calibration error of stated probabilities; null of who states none. */
  calibration_error: number | null;
};

/** Null where no series could be judged. */
export function summaryOf({ strategy, outcomes }: Tested): Summary | null {
  const judged = outcomes.filter((outcome) => outcome !== null);
  if (judged.length === 0) return null;
  const meanOf = (value: (outcome: Outcome) => number) =>
    judged.reduce((sum, outcome) => sum + value(outcome), 0) / judged.length;
  const said = judged.flatMap((outcome) => outcome.stated);
  return {
    strategy,
    series: judged.length,
    slack: meanOf(({ slack }) => slack),
    violations: meanOf(({ violations }) => violations),
    excess: meanOf(({ excess }) => excess),
    violated_windows: meanOf(({ violatedWindows }) => violatedWindows),
    regret: Math.exp(meanOf(({ regret }) => Math.log(regret))),
    ooms_per_day: meanOf(({ oomsPerDay }) => oomsPerDay),
    churn: meanOf(({ churn }) => churn),
    resizes: meanOf(({ resizes }) => resizes),
    abstentions: meanOf(({ abstentions }) => abstentions),
    calibration_error: said.length === 0 ? null : calibrationError(said),
  };
}
