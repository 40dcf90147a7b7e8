import { feed, sizerFor, strategies } from '../backtest/backtest.ts';
import { confidenceAt, coverageFactors } from '../sizers/coverage.ts';
import type { Sized } from '../sizers/sizer.ts';
import { towerStrategy } from '../strategies/names.ts';
import { day, hour, type Resource, sorted, type Usage } from '../usage.ts';

/** One request from the usage of all pods of a container. */

export type AdviseTask = {
  resource: Resource;
  /** One series per pod, on a common grid. `first`: the first step with a sample. */
  pods: (Usage & { first: number })[];
  /** Uses the sum of all pods instead of the busiest one. */
  together: boolean;
  horizonMs: number;
  /** CPU: share of samples above the request; memory: share of horizons with any such sample. */
  violation: number;
  least: number;
  /** CPU of a pod's start-up is not representative. */
  startupMs: number;
  /** `tower`, or one of the strategies; all: every strategy, for comparison. */
  strategies: string[];
};

export type StrategyResult = {
  strategy: string;
  /** One-line description; null for the project's own. */
  description: string | null;
  /** Null if the strategy returns none. */
  request: number | null;
  confidence: number | null;
  /** Probabilities at factors of the request, see `coverage.ts`; null if not tracked. */
  confidences: number[] | null;
  factor: number | null;
  experts: { name: string; weight: number; says: number }[];
  /** Lowered to a multiple of the highest sample, because the history is short. */
  isLimited?: boolean;
};

export type Advice = {
  advised: StrategyResult[];
  known: { pods: number; samples: number; firstMs: number | null; lastMs: number | null; hours: number };
  /** Maximum usage of any pod without start-up; null without samples. */
  peak: number | null;
  /** Maximum CPU during start-up; null if no pod started. */
  startupPeak: number | null;
};

export function advise(task: AdviseTask): Advice {
  const { resource, horizonMs, violation, least } = task;
  const [begun, startupPeak] = resource === 'cpu' ? withoutStartup(task.pods, task.startupMs) : [task.pods, null];
  const hottest = task.together ? totalOf(begun) : busiestPod(begun);
  const { stepMs, startMs, values } = hottest;
  const indices = Array.from(values.keys()).filter((i) => !Number.isNaN(values[i]!));
  const ascending = sorted(values);
  const advised = task.strategies.map((name): StrategyResult => {
    if (name === towerStrategy) {
      const sizer = sizerFor(resource, stepMs, horizonMs, least, violation);
      feed(sizer, hottest, null);
      return { strategy: name, description: null, ...nearEvidence(sizer.recommend(), hottest) };
    }
    const strategy = strategies.find((each) => each.name === name)!;
    const request = strategy.request(resource, begun);
    return {
      strategy: name,
      description: strategy.about,
      request,
      confidence: null,
      confidences: null,
      factor: null,
      experts: [],
    };
  });
  const timeOf = (i: number | undefined) => (i === undefined ? null : startMs + i * stepMs);
  return {
    advised,
    known: {
      pods: begun.filter((pod) => pod.values.some((value) => !Number.isNaN(value))).length,
      samples: ascending.length,
      firstMs: timeOf(indices[0]),
      lastMs: timeOf(indices.at(-1)),
      hours: (ascending.length * stepMs) / hour,
    },
    peak: ascending.at(-1) ?? null,
    startupPeak,
  };
}

/** Maximum request relative to the highest sample, with a history shorter than this. */
const [maxAbovePeak, shortHistoryMs] = [1.25, 7 * day];
/** Growth of the highest sample from one day (or quarter of the history) to the next that is a rising trend. */
const risingShare = 1.1;

/**
 * A few days say too little of what a correction learnt from them is worth: unless usage rises, the request is near the highest
 * sample, and its confidence that of the lower request.
 */
function nearEvidence(sized: Sized, { values: all, stepMs }: Usage): Sized & { isLimited: boolean } {
  const isKnown = (value: number) => !Number.isNaN(value);
  const values = all.subarray(Math.max(0, all.findIndex(isKnown)), all.findLastIndex(isKnown) + 1);
  const peak = values.reduce((most, value) => (value > most ? value : most), 0);
  const most = maxAbovePeak * peak;
  const isShort = values.length * stepMs < shortHistoryMs;
  if (sized.request === null || sized.request <= most || peak === 0 || !isShort || isRising(values, stepMs))
    return { ...sized, isLimited: false };
  const part = most / sized.request;
  const confidences =
    sized.confidences && coverageFactors.map((factor) => confidenceAt(sized.confidences!, factor * part));
  const confidence = confidences ? confidenceAt(confidences, 1) : sized.confidence;
  return { ...sized, request: most, factor: sized.factor * part, confidence, confidences, isLimited: true };
}

function isRising(values: Float64Array, stepMs: number): boolean {
  const length = Math.min(Math.round(day / stepMs), Math.ceil(values.length / 4));
  const highest = (part: Float64Array) => part.reduce((most, value) => (value > most ? value : most), 0);
  const [before, last] = [highest(values.subarray(0, -length)), highest(values.subarray(-length))];
  return last > risingShare * before;
}

/** Maximum over all pods at each step: all pods get the same request. */
export function busiestPod(pods: readonly Usage[]): Usage {
  const [first] = pods;
  if (!first) return { startMs: 0, stepMs: 60_000, values: new Float64Array(0) };
  const values = new Float64Array(first.values.length).fill(Number.NaN);
  for (const pod of pods)
    for (let i = 0; i < values.length; i += 1)
      if (!(pod.values[i]! <= values[i]!) && !Number.isNaN(pod.values[i]!)) values[i] = pod.values[i]!;
  return { ...first, values };
}

/** Sum of all pods at each step. */
function totalOf(pods: readonly Usage[]): Usage {
  const [first] = pods;
  if (!first) return { startMs: 0, stepMs: 60_000, values: new Float64Array(0) };
  const values = first.values.map((_, i) => {
    const known = pods.map((pod) => pod.values[i]!).filter((value) => !Number.isNaN(value));
    return known.length === 0 ? Number.NaN : known.reduce((sum, value) => sum + value, 0);
  });
  return { ...first, values };
}

/**
 * Removes the start-up of pods that started within the history, and returns its peak. Pods seen from the first step may
 * have started earlier; their start-up is removed without a peak.
 */
function withoutStartup(pods: AdviseTask['pods'], startupMs: number): [Usage[], number | null] {
  let most: number | null = null;
  const earliest = Math.min(...pods.map(({ first }) => (first < 0 ? Number.POSITIVE_INFINITY : first)));
  const cut = pods.map((pod) => {
    const { first } = pod;
    if (first <= 0) return pod;
    const end = first + Math.ceil(startupMs / pod.stepMs);
    if (first > earliest)
      for (const value of pod.values.subarray(first, end)) if (!Number.isNaN(value)) most = Math.max(most ?? 0, value);
    const values = pod.values.slice();
    values.fill(Number.NaN, first, end);
    return { ...pod, values };
  });
  return [cut, most];
}
