import { windowOf } from '../sizers/window.ts';
import { mebibyte } from '../strategies/strategy.ts';
import { day, partOf, type Resource, type Usage } from '../usage.ts';

/** Walk-forward evaluation: each request is computed from the past and evaluated on the window that follows. */

export type Advice = { request: number | null; confidence: number | null };
/** Created per series; called with growing histories. */
export type Adviser = (history: Usage) => Advice;

export type ReplaySettings = {
  /** Validity of a request. */
  horizonMs: number;
  /** History before the first request. */
  warmUpMs: number;
  /** Cost of usage above the request, relative to requested amounts. */
  weight: number;
  /** Share of samples of a window allowed above the request. */
  allowed: number;
  /** Lower bound of requests. */
  least: number;
};

export type Outcome = {
  /** Share of requested resources that was not used. */
  slack: number;
  /** Share of samples above the request. */
  violations: number;
  /** Share of windows with any sample above the request. */
  violatedWindows: number;
  /** Usage above the request, as a share of all usage. */
  excess: number;
  /** Cost relative to the optimum (1.0 = optimal). */
  regret: number;
  /** Out-of-memory kills per day, if memory above the request kills and the request is raised until the next one. */
  oomsPerDay: number;
  /** Mean |ln| of the ratio between consecutive requests. */
  churn: number;
  /** Share of steps that change the request by more than 10 %. */
  resizes: number;
  /** Share of windows without a request; the previous one is used. */
  abstentions: number;
  windows: number;
  /** Stated probabilities, and whether the target was met. */
  stated: { confidence: number; kept: boolean }[];
  /** Requests by window, for plots. */
  requests: { atMs: number; request: number }[];
};

/** Null if the series is shorter than one window or has no values. */
export function replay(usage: Usage, resource: Resource, adviser: Adviser, settings: ReplaySettings): Outcome | null {
  const { stepMs, values, startMs } = usage;
  const [per, warm] = [Math.round(settings.horizonMs / stepMs), Math.round(settings.warmUpMs / stepMs)];
  const sums: Sums = {
    cost: 0,
    least: 0,
    asked: 0,
    used: 0,
    all: 0,
    above: 0,
    size: 0,
    hit: 0,
    silent: 0,
    ooms: 0,
    churn: 0,
    resizes: 0,
  };
  const { weight } = settings;
  const stated: Outcome['stated'] = [];
  const requests: Outcome['requests'] = [];
  let before: number | null = null;
  let windows = 0;
  for (let at = warm; at + per <= values.length; at += per) {
    const advice = adviser(partOf(usage, 0, at));
    const part = values.subarray(at, at + per);
    const window = windowOf(part);
    if (advice.request === null) sums.silent += 1;
    const request = Math.max(settings.least, advice.request ?? before ?? 0);
    if (before !== null) {
      const change = Math.abs(Math.log(request / before));
      sums.churn += change;
      if (change > Math.log(1.1)) sums.resizes += 1;
    }
    before = request;
    windows += 1;
    requests.push({ atMs: startMs + at * stepMs, request });
    if (window.size === 0) continue;
    const [excess, above] = [window.excess(request), window.above(request)];
    sums.cost += window.cost(request, weight);
    sums.least += window.least(weight, settings.least);
    sums.asked += request * window.size;
    sums.used += window.sum - excess;
    sums.all += window.sum;
    sums.above += above * window.size;
    sums.size += window.size;
    if (window.most > request) sums.hit += 1;
    if (resource === 'memory') sums.ooms += oomsOf(part, request);
    if (advice.confidence !== null) stated.push({ confidence: advice.confidence, kept: above <= settings.allowed });
  }
  // Strategies that never return a request have no outcome.
  return sums.size === 0 || sums.silent === windows
    ? null
    : { ...ratesOf(sums, windows, settings.horizonMs), windows, stated, requests };
}

type Sums = Record<
  'cost' | 'least' | 'asked' | 'used' | 'all' | 'above' | 'size' | 'hit' | 'silent' | 'ooms' | 'churn' | 'resizes',
  number
>;

const ratesOf = (sums: Sums, windows: number, horizonMs: number) => ({
  slack: 1 - sums.used / sums.asked,
  violations: sums.above / sums.size,
  violatedWindows: sums.hit / windows,
  excess: sums.all === 0 ? 0 : (sums.all - sums.used) / sums.all,
  regret: sums.cost / sums.least,
  oomsPerDay: sums.ooms / ((windows * horizonMs) / day),
  churn: windows > 1 ? sums.churn / (windows - 1) : 0,
  resizes: windows > 1 ? sums.resizes / (windows - 1) : 0,
  abstentions: sums.silent / windows,
});

/** Each kill raises the request until the next one, as VPA does. */
function oomsOf(part: Float64Array, request: number): number {
  let [limit, ooms] = [request, 0];
  for (const value of part) {
    if (!(value > limit)) continue;
    ooms += 1;
    limit = Math.max(value + 100 * mebibyte, value * 1.2);
  }
  return ooms;
}

/** Expected calibration error in ten bins, weighted by the number of statements. */
export function calibrationError(stated: Outcome['stated']): number {
  const bins = Array.from({ length: 10 }, () => ({ count: 0, sum: 0, kept: 0 }));
  for (const { confidence, kept } of stated) {
    const bin = bins[Math.min(9, Math.floor(confidence * 10))]!;
    bin.count += 1;
    bin.sum += confidence;
    if (kept) bin.kept += 1;
  }
  return bins.reduce((total, { sum, kept }) => total + Math.abs(sum - kept) / stated.length, 0);
}
