import { day, type Resource, type Usage } from '../usage.ts';
import { mebibyte, type Strategy } from './strategy.ts';

/** The recommender of the Kubernetes Vertical Pod Autoscaler 1.8 (kubernetes/autoscaler at 55c37cd5, pkg/recommender). */

/** Histogram with exponential buckets; a percentile is the end of its bucket. */
export type VpaHistogram = {
  buckets: number;
  startOf(bucket: number): number;
  find(value: number): number;
  add(value: number, weight: number): void;
  /** 0 if empty. */
  percentile(share: number): number;
};

/** Weights below this count as 0. */
const epsilon = 1e-4;

export function createVpaHistogram(most: number, first: number, ratio: number): VpaHistogram {
  const buckets = Math.ceil(Math.log((most * (ratio - 1)) / first + 1) / Math.log(ratio)) + 1;
  const weights = new Float64Array(buckets);
  const startOf = (bucket: number) => (first * (ratio ** bucket - 1)) / (ratio - 1);
  const find = (value: number) =>
    value < first
      ? 0
      : Math.min(buckets - 1, Math.floor(Math.log((value * (ratio - 1)) / first + 1) / Math.log(ratio)));
  return {
    buckets,
    startOf,
    find,
    add: (value, weight) => {
      weights[find(value)]! += weight;
    },
    percentile: (share) => {
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      if (total < epsilon) return 0;
      let at = 0;
      for (let sum = weights[0]!; at < buckets - 1 && sum < share * total; sum += weights[at]!) at += 1;
      return at < buckets - 1 ? startOf(at + 1) : startOf(at);
    },
  };
}

const halfLifeMs = day;
const intervals = 8;

export const histogramFor = (resource: Resource): VpaHistogram =>
  resource === 'cpu' ? createVpaHistogram(1000, 0.01, 1.05) : createVpaHistogram(1e12, 1e7, 1.05);

/** A new CPU sample has weight 0.1, with a half-life of a day. */
function addCpu(histogram: VpaHistogram, { startMs, stepMs, values }: Usage, endMs: number): void {
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if (!Number.isNaN(value)) histogram.add(value, 0.1 * 2 ** ((startMs + i * stepMs - endMs) / halfLifeMs));
  }
}

/** For memory only the peak of each day counts, with the time of the day's end. */
function addMemory(histogram: VpaHistogram, { startMs, stepMs, values }: Usage, endMs: number): void {
  for (let age = 0; age < intervals; age += 1) {
    const fromMs = endMs - (age + 1) * day;
    const peak = values
      .subarray(Math.max(0, Math.ceil((fromMs - startMs) / stepMs)), Math.max(0, (fromMs + day - startMs) / stepMs))
      .reduce((most, value) => (value > most ? value : most), Number.NEGATIVE_INFINITY);
    if (peak >= 0) histogram.add(peak, 2 ** (-(age * day) / halfLifeMs));
  }
}

/** Percentile of one histogram of all pods, + 15 %. */
export function vpaPercentile(resource: Resource, pods: Usage[], share: number): number | null {
  const histogram = histogramFor(resource);
  const endMs = Math.max(...pods.map(({ startMs, stepMs, values }) => startMs + stepMs * values.length));
  for (const pod of pods) (resource === 'cpu' ? addCpu : addMemory)(histogram, pod, endMs);
  const value = histogram.percentile(share);
  return value === 0 ? null : value * 1.15;
}

export const vpa: Strategy = {
  name: 'vpa',
  about: '90th percentile with a half-life of a day (memory: of daily peaks) + 15 %',
  floors: { cpu: 0.025, memory: 250 * mebibyte },
  request: (resource, pods) => vpaPercentile(resource, pods, 0.9),
};
