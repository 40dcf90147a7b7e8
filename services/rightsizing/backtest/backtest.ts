import { createPeakSizer } from '../sizers/peak-sizer.ts';
import { createSizer, type Sizer } from '../sizers/sizer.ts';
import { windowOf } from '../sizers/window.ts';
import { krrSimple, krrSimpleLimit } from '../strategies/krr.ts';
import { towerStrategy } from '../strategies/names.ts';
import { autopilot, castAi, crane, kruizeCost, kruizePerformance, peak } from '../strategies/others.ts';
import type { Strategy } from '../strategies/strategy.ts';
import { vpa } from '../strategies/vpa.ts';
import { day, type Resource, type Usage } from '../usage.ts';
import { type Adviser, calibrationError, type Outcome, type ReplaySettings, replay } from './replay.ts';

/** Backtests strategies side by side on the same series: the requests each would have set, and their outcomes. */

/** Other right-sizers' algorithms, which a recommendation can use too. */
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

/** Targets. CPU: share of samples above the request; memory: share of horizons with any such sample. */
export const targetViolation: Record<Resource, number> = { cpu: 0.05, memory: 0.02 };
/** Cost of a sample above the request, relative to one below; makes the 95th and 99th percentile optimal. */
export const weights: Record<Resource, number> = { cpu: 20, memory: 100 };
/** Lower bounds for all strategies: 10 m, 1 MiB. */
export const minRequest: Record<Resource, number> = { cpu: 0.01, memory: 2 ** 20 };

export const sizerFor = (
  resource: Resource,
  stepMs: number,
  horizonMs: number,
  least: number,
  violation = targetViolation[resource],
): Sizer => (resource === 'cpu' ? createSizer : createPeakSizer)({ stepMs, horizonMs, violation, least });

/** Feeds the sizer with whole strides that end with the history. Returns the number of steps consumed. */
export function feed(sizer: Sizer, { stepMs, values }: Usage, seen: number | null): number {
  const stride = Math.round(sizer.strideMs / stepMs);
  let at = seen ?? values.length % stride;
  for (; at + stride <= values.length; at += stride) sizer.add(values.subarray(at, at + stride));
  return at;
}

/** This project's strategy; it learns during the replay. */
export function ownAdviser(resource: Resource, stepMs: number, horizonMs: number, least: number): Adviser {
  const sizer = sizerFor(resource, stepMs, horizonMs, least);
  let seen: number | null = null;
  return (history) => {
    seen = feed(sizer, history, seen);
    return sizer.recommend();
  };
}

/** `floors`: the strategy's own lower bounds too. */
export const strategyAdviser =
  (strategy: Strategy, resource: Resource, floors: boolean): Adviser =>
  (history) => {
    const request = strategy.request(resource, [history]);
    return {
      request: request === null || !floors ? request : Math.max(request, strategy.floors[resource]),
      confidence: null,
    };
  };

/** Knows the future: the cheapest possible request. */
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
export type StrategyOutcomes = { strategy: string; outcomes: (Outcome | null)[] };

/** Replays every strategy over every series. Null for series shorter than one window. */
export function backtest(
  series: readonly Usage[],
  settings: BacktestSettings,
  only?: readonly string[],
): StrategyOutcomes[] {
  const { resource, horizonMs, warmUpMs = 7 * day, floors = false, least = minRequest[resource] } = settings;
  const walking: ReplaySettings = {
    horizonMs,
    warmUpMs,
    weight: weights[resource],
    allowed: resource === 'cpu' ? targetViolation.cpu : 0,
    least,
  };
  const advisers: Record<string, (usage: Usage) => Adviser> = {
    [towerStrategy]: ({ stepMs }) => ownAdviser(resource, stepMs, horizonMs, least),
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

/** Means over the series with an outcome; `regret` is a geometric mean. */
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
  /** Expected calibration error of stated probabilities; null for strategies without probabilities. */
  calibration_error: number | null;
};

/** Null if no series has an outcome. */
export function summaryOf({ strategy, outcomes }: StrategyOutcomes): Summary | null {
  const evaluated = outcomes.filter((outcome) => outcome !== null);
  if (evaluated.length === 0) return null;
  const meanOf = (value: (outcome: Outcome) => number) =>
    evaluated.reduce((sum, outcome) => sum + value(outcome), 0) / evaluated.length;
  const statements = evaluated.flatMap((outcome) => outcome.stated);
  return {
    strategy,
    series: evaluated.length,
    slack: meanOf(({ slack }) => slack),
    violations: meanOf(({ violations }) => violations),
    excess: meanOf(({ excess }) => excess),
    violated_windows: meanOf(({ violatedWindows }) => violatedWindows),
    regret: Math.exp(meanOf(({ regret }) => Math.log(regret))),
    ooms_per_day: meanOf(({ oomsPerDay }) => oomsPerDay),
    churn: meanOf(({ churn }) => churn),
    resizes: meanOf(({ resizes }) => resizes),
    abstentions: meanOf(({ abstentions }) => abstentions),
    calibration_error: statements.length === 0 ? null : calibrationError(statements),
  };
}
