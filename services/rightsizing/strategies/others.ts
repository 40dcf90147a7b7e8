import { day, hour, lastOf, quantileOf, type Resource, sorted, type Usage } from '../usage.ts';
import { maxOrNull, mebibyte, noFloors, type Strategy } from './strategy.ts';

/** Algorithms of other right-sizers that are small enough for one file. */

const flat = (pods: Usage[], ms: number): number[] => pods.flatMap((pod) => [...sorted(lastOf(pod, ms).values)]);
const peakOf = (pods: Usage[], ms: number): number | null =>
  maxOrNull(pods.map((pod) => sorted(lastOf(pod, ms).values).at(-1) ?? null));
const times = (value: number | null, factor: number): number | null => (value === null ? null : value * factor);

/**
 * gocrane/crane at 2b0ddae8, resource recommender: one linear histogram of all pods, in which a sample's weight is its
 * value, without decay within the week.
 */
export const crane: Strategy = {
  name: 'crane',
  about: '99th percentile of 7 days in buckets of 0.1 core or 100 MiB, weighted by value, + 15 %',
  floors: noFloors,
  request: (resource, pods) => {
    const width = resource === 'cpu' ? 0.1 : 100 * mebibyte;
    const weights = new Map<number, number>();
    let total = 0;
    for (const value of flat(pods, 7 * day)) {
      const [bucket, weight] = [Math.floor(value / width), Math.max(1e-5, value)];
      weights.set(bucket, (weights.get(bucket) ?? 0) + weight);
      total += weight;
    }
    let sum = 0;
    for (const [bucket, weight] of [...weights].sort(([a], [b]) => a - b)) {
      sum += weight;
      if (sum >= 0.99 * total) return (bucket + 1) * width * 1.15;
    }
    return null;
  },
};

/** Maximum and increase of each 15 minutes. */
function quarters({ startMs, stepMs, values }: Usage): { most: number; rise: number }[] {
  const groups = new Map<number, { most: number; least: number }>();
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if (Number.isNaN(value)) continue;
    const key = Math.floor((startMs + i * stepMs) / (hour / 4));
    const { most = value, least = value } = groups.get(key) ?? {};
    groups.set(key, { most: Math.max(most, value), least: Math.min(least, value) });
  }
  return [...groups.values()].map(({ most, least }) => ({ most, rise: most - least }));
}

/** Nearest rank, rounded. */
const nearestRank = (ascending: Float64Array, share: number): number =>
  ascending[Math.min(ascending.length, Math.max(1, Math.round(share * ascending.length))) - 1]!;

/** kruize/autotune at c671ae30, medium term: containers that never used a core get their peak. */
function kruize(resource: Resource, pods: Usage[], share: number): number | null {
  const all = pods.flatMap((pod) => quarters(lastOf(pod, 7 * day)));
  if (all.length === 0) return null;
  const peaks = Float64Array.from(all, ({ most }) => most).sort();
  const most = peaks.at(-1)!;
  if (resource === 'memory')
    return kruizeMemory(
      most,
      all.reduce((steepest, { rise }) => Math.max(steepest, rise), 0),
    );
  return most < 1 ? most : nearestRank(peaks, share);
}

/** 20 % above the peak, or the peak plus the steepest increase within 15 minutes, whichever is smaller. */
export const kruizeMemory = (peak: number, rise: number): number => Math.min(peak * 1.2, peak + 1.05 * rise);

export const kruizeCost: Strategy = {
  name: 'kruize_cost',
  about: 'CPU: 60th percentile of quarter-hourly peaks of 7 days, their peak below 1 core; memory: at most peak + 20 %',
  floors: noFloors,
  request: (resource, pods) => kruize(resource, pods, 0.6),
};

export const kruizePerformance: Strategy = {
  name: 'kruize_performance',
  about: 'as kruize_cost with the 98th percentile',
  floors: noFloors,
  request: (resource, pods) => kruize(resource, pods, 0.98),
};

/** As documented by Cast AI; the percentile is the mean of the pods' percentiles. */
export const castAi: Strategy = {
  name: 'cast_ai',
  about: 'CPU: 80th percentile of 5 days, mean of the pods; memory: peak of 5 days + 10 %',
  floors: noFloors,
  request: (resource, pods) => {
    if (resource === 'memory') return times(peakOf(pods, 5 * day), 1.1);
    const each = pods.map((pod) => quantileOf(sorted(lastOf(pod, 5 * day).values), 0.8)).filter((value) => value >= 0);
    return each.length === 0 ? null : each.reduce((total, value) => total + value, 0) / each.length;
  },
};

/** Modelled on Google's Autopilot (EuroSys 2020): decaying percentiles + 10 %. */
export const autopilot: Strategy = {
  name: 'autopilot',
  about: 'CPU: 95th percentile with a half-life of 12 h, memory: 98th with 48 h; + 10 %',
  floors: noFloors,
  request: (resource, pods) => {
    const [share, halfLifeMs] = resource === 'cpu' ? [0.95, 12 * hour] : [0.98, 48 * hour];
    return times(maxOrNull(pods.map((pod) => fadingQuantile(lastOf(pod, 14 * day), share, halfLifeMs))), 1.1);
  },
};

function fadingQuantile({ stepMs, values }: Usage, share: number, halfLifeMs: number): number | null {
  const order = Array.from(values.keys()).filter((i) => !Number.isNaN(values[i]!));
  order.sort((a, b) => values[b]! - values[a]!);
  const weightOf = (i: number) => 2 ** (((i - values.length) * stepMs) / halfLifeMs);
  let above = (1 - share) * order.reduce((total, i) => total + weightOf(i), 0);
  for (const i of order) {
    above -= weightOf(i);
    if (above < 0) return values[i]!;
  }
  return null;
}

export const peak: Strategy = {
  name: 'max_7d',
  about: 'the peak of 7 days',
  floors: noFloors,
  request: (_, pods) => peakOf(pods, 7 * day),
};
