import { day, lastOf, quantileOf, sorted, type Usage } from '../usage.ts';
import { maxOrNull, mebibyte, type Strategy } from './strategy.ts';

/** Robusta KRR's two strategies (robusta-dev/krr at d6baa745: robusta_krr/strategies). */

const lookBackMs = 14 * day;
const floors = { cpu: 0.01, memory: 100 * mebibyte };
const minSamples = 100;

/** Pods with at least 100 samples. */
const known = (pods: Usage[]): Float64Array[] =>
  pods.map((pod) => sorted(lastOf(pod, lookBackMs).values)).filter((values) => values.length >= minSamples);

const peak = (pods: Usage[]): number | null => {
  const most = maxOrNull(known(pods).map((values) => values.at(-1)!));
  return most === null ? null : most * 1.15;
};

export const krrSimple: Strategy = {
  name: 'krr_simple',
  about: 'CPU: 95th percentile of 14 days, the maximum of all pods; memory: peak + 15 %',
  floors,
  request: (resource, pods) =>
    resource === 'memory' ? peak(pods) : maxOrNull(known(pods).map((values) => quantileOf(values, 0.95))),
};

/** Percentiles over the samples of all pods, interpolated as NumPy does. */
const pooled = (pods: Usage[], share: number): number | null => {
  const all = Float64Array.from(known(pods).flatMap((values) => [...values])).sort();
  return all.length === 0 ? null : quantileOf(all, share);
};

export const krrSimpleLimit: Strategy = {
  name: 'krr_simple_limit',
  about: 'CPU: 66th percentile of 14 days of all pods together; memory: peak + 15 %',
  floors,
  request: (resource, pods) => (resource === 'memory' ? peak(pods) : pooled(pods, 0.66)),
};
