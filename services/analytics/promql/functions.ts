/** PromQL functions over the samples of one series, and over one value (Prometheus' promql/functions.go). */

export type Sample = { at: number; value: number };
/** `from` and `to` bound the range, both inclusive; the samples lie within it, without stale markers. */
export type OverTime = (samples: Sample[], from: number, to: number, parameter: number) => number | null;

const values = (samples: Sample[]): number[] => samples.map(({ value }) => value);

/** Kahan summation with Neumaier's improvement, as in Prometheus. */
export function exactSum(list: readonly number[]): number {
  let [sum, lost] = [0, 0];
  for (const value of list) {
    const next = sum + value;
    if (Number.isFinite(next)) lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return Number.isFinite(sum) ? sum + lost : sum;
}
const mean = (list: number[]): number => exactSum(list) / list.length;
export const variance = (list: number[]): number => {
  const center = mean(list);
  return exactSum(list.map((value) => (value - center) ** 2)) / list.length;
};
const least = (list: number[]): number => list.reduce((a, b) => (b < a || Number.isNaN(a) ? b : a));
const greatest = (list: number[]): number => list.reduce((a, b) => (b > a || Number.isNaN(a) ? b : a));

export function quantileOf(share: number, list: readonly number[]): number {
  if (list.length === 0 || Number.isNaN(share)) return Number.NaN;
  if (share < 0) return Number.NEGATIVE_INFINITY;
  if (share > 1) return Number.POSITIVE_INFINITY;
  // NaN comes first.
  const sorted = list.toSorted((a, b) => (Number.isNaN(a) ? -1 : Number.isNaN(b) ? 1 : a - b));
  const rank = share * (sorted.length - 1);
  const [low, high] = [Math.max(0, Math.floor(rank)), Math.min(sorted.length - 1, Math.floor(rank) + 1)];
  const weight = rank - Math.floor(rank);
  return sorted[low]! * (1 - weight) + sorted[high]! * weight;
}

/** Increase of a counter (with resets) or difference of a gauge, extrapolated to the edges of the range. */
function extended(samples: Sample[], from: number, to: number, counter: boolean, perSecond: boolean): number | null {
  if (samples.length < 2) return null;
  const [first, last] = [samples[0]!, samples.at(-1)!];
  let result = last.value - first.value;
  if (counter)
    for (let i = 1; i < samples.length; i += 1)
      if (samples[i]!.value < samples[i - 1]!.value) result += samples[i - 1]!.value;
  let toStart = (first.at - from) / 1000;
  const toEnd = (to - last.at) / 1000;
  const sampled = (last.at - first.at) / 1000;
  const apart = sampled / (samples.length - 1);
  // A counter is never extrapolated below zero.
  if (counter && result > 0 && first.value >= 0) toStart = Math.min(toStart, sampled * (first.value / result));
  const reach = (gap: number) => (gap < apart * 1.1 ? gap : apart / 2);
  const factor = (sampled + reach(toStart) + reach(toEnd)) / sampled;
  return (result * factor) / (perSecond ? (to - from) / 1000 : 1);
}

/** Over the last two samples. */
function instant(samples: Sample[], perSecond: boolean): number | null {
  const [before, last] = samples.slice(-2) as [Sample, Sample?];
  if (!last) return null;
  const reset = perSecond && last.value < before.value;
  const change = reset ? last.value : last.value - before.value;
  const seconds = (last.at - before.at) / 1000;
  return seconds === 0 ? null : change / (perSecond ? seconds : 1);
}

const changes = (list: number[], counts: (before: number, now: number) => boolean): number =>
  list.slice(1).filter((value, i) => counts(list[i]!, value)).length;
const given =
  (of: (list: number[]) => number): OverTime =>
  (samples) =>
    samples.length > 0 ? of(values(samples)) : null;

/** Linear regression over the samples: the slope per second, and the value at `origin`. */
function line(samples: Sample[], origin: number): { slope: number; value: number } | null {
  if (samples.length < 2) return null;
  const x = samples.map(({ at }) => (at - origin) / 1000);
  const y = values(samples);
  // As in Prometheus, infinite values have no slope.
  if (!y.every(Number.isFinite)) return { slope: Number.NaN, value: Number.NaN };
  if (y.every((value) => value === y[0])) return { slope: 0, value: y[0]! };
  const n = x.length;
  const [sumX, sumY] = [exactSum(x), exactSum(y)];
  const shared = exactSum(x.map((each, i) => each * y[i]!)) - (sumX * sumY) / n;
  const slope = shared / (exactSum(x.map((each) => each * each)) - (sumX * sumX) / n);
  return { slope, value: sumY / n - (slope * sumX) / n };
}

/** Functions of a range: `name(range)`, the last two with a number. */
export const overTime: Record<string, OverTime> = {
  rate: (samples, from, to) => extended(samples, from, to, true, true),
  increase: (samples, from, to) => extended(samples, from, to, true, false),
  delta: (samples, from, to) => extended(samples, from, to, false, false),
  irate: (samples) => instant(samples, true),
  idelta: (samples) => instant(samples, false),
  deriv: (samples) => line(samples, samples[0]?.at ?? 0)?.slope ?? null,
  avg_over_time: given(mean),
  min_over_time: given(least),
  max_over_time: given(greatest),
  sum_over_time: given(exactSum),
  count_over_time: given((list) => list.length),
  last_over_time: given((list) => list.at(-1)!),
  present_over_time: given(() => 1),
  stddev_over_time: given((list) => Math.sqrt(variance(list))),
  stdvar_over_time: given(variance),
  changes: given((list) =>
    changes(list, (before, now) => now !== before && !(Number.isNaN(before) && Number.isNaN(now))),
  ),
  resets: given((list) => changes(list, (before, now) => now < before)),
  quantile_over_time: (samples, _from, _to, share) => (samples.length > 0 ? quantileOf(share, values(samples)) : null),
  predict_linear: (samples, _from, to, seconds) => {
    const found = line(samples, to);
    return found && found.value + found.slope * seconds;
  },
};

/** Functions of single values. */
export const valueFunctions: Record<string, (value: number, parameters: number[]) => number> = {
  abs: Math.abs,
  ceil: Math.ceil,
  floor: Math.floor,
  exp: Math.exp,
  ln: Math.log,
  log2: Math.log2,
  log10: Math.log10,
  sqrt: Math.sqrt,
  sgn: Math.sign,
  round: (value, [to = 1]) => {
    const inverse = 1 / to;
    return Math.floor(value * inverse + 0.5) / inverse;
  },
  clamp_min: (value, [min = Number.NaN]) => (Number.isNaN(min) ? Number.NaN : Math.max(min, value)),
  clamp_max: (value, [max = Number.NaN]) => (Number.isNaN(max) ? Number.NaN : Math.min(max, value)),
  clamp: (value, [min = Number.NaN, max = Number.NaN]) => Math.max(min, Math.min(max, value)),
};
