import { mean, median } from '#kernel/stats.ts';
import type { Origin } from './fusion.ts';
import type { Residuals } from './intervals.ts';
import type { Series } from './series.ts';

/**
 * Finds out whether a series ends with values that are unlike most of its history: a demand among zeros, a burst, a new
 * level. Errors at ordinary origins then say little about the forecast.
 */
export type UnusualEnd = {
  /** Number of unusual values at the end. */
  age: number;
  /** They differ from the previous season, instead of from the values before. */
  isSeasonal: boolean;
  /** Earlier origins that were unusual in the same way, newest first. */
  similar: Origin[];
};

/** Values before each one whose median it is compared with. */
const window = 25;
/** Deviations from the median in robust standard deviations (Iglewicz and Hoaglin 1993 use 3.5). */
const limit = 5;
/** Share of values that may be unusual; above it they are usual. */
const maxShare = 0.2;
const maxSimilar = 8;

export function unusualEnd({ values, periods }: Series, length: number): UnusualEnd | null {
  const n = values.length;
  const { change, isSeasonal } = deviations(values, periods[0]);
  const last = change[n - 1]!;
  const size = Math.abs(last);
  const known = change.filter((each) => !Number.isNaN(each));
  const spread = 1.4826 * median(Array.from(known, Math.abs));
  if (!(size > limit * spread)) return null;
  const isLike = (t: number) => change[t]! * Math.sign(last) >= size / 2;
  let age = 1;
  while (isLike(n - 1 - age)) age += 1;
  const ends = Array.from({ length: n - age }, (_, t) => t).filter(isLike);
  if (ends.length > maxShare * known.length) return null;
  const runs = Array.from({ length: n }, () => 0);
  for (const t of ends) runs[t] = (runs[t - 1] ?? 0) + 1;
  const usable = ends.filter((t) => t + 1 >= Math.max(3, length, n / 3) && t + 1 + length <= n);
  const sameAge = usable.filter((t) => runs[t]! >= age / 2 && runs[t]! <= 2 * age);
  const similar = spreadOut(sameAge, maxSimilar)
    .toReversed()
    .map((t) => ({ end: t + 1, actual: values.slice(t + 1, t + 1 + length) }));
  return { age, isSeasonal, similar };
}

/** Difference of each value to the median of those before it, or to the previous season if that is closer. */
function deviations(values: Float64Array, period: number | undefined): { change: Float64Array; isSeasonal: boolean } {
  const fromMedian = values.map((value, t) =>
    t < 5 ? Number.NaN : value - median([...values.subarray(Math.max(0, t - window), t)]),
  );
  if (period === undefined) return { change: fromMedian, isSeasonal: false };
  const fromSeason = values.map((value, t) => (t < period ? Number.NaN : value - values[t - period]!));
  const typical = (list: Float64Array) =>
    median(
      Array.from(
        list.filter((each) => !Number.isNaN(each)),
        Math.abs,
      ),
    );
  const isSeasonal = typical(fromSeason) < typical(fromMedian);
  return { change: isSeasonal ? fromSeason : fromMedian, isSeasonal };
}

const spreadOut = (list: number[], count: number): number[] =>
  list.length <= count
    ? list
    : Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))]!);

/**
 * Number of values since the trend of the series broke, from the errors of the newest origin; null if it did not. An
 * error that grows in proportion to the time since then explains far more of them than at the other origins.
 */
export function trendBreak({ errors: [newest, ...others] }: Residuals): { since: number; isStraight: boolean } | null {
  if (!newest || others.length < 2 || newest.length < 6) return null;
  const usual = mean(others.flatMap((path) => [...path].map((error) => error * error)));
  const found = growth(newest);
  const elsewhere = Math.max(...others.map((path) => growth(path).explained));
  return found.explained > minExplained * usual && found.explained > 3 * elsewhere ? found : null;
}

/** Explained squares, relative to the mean square of the other origins. Chosen on random series without a break. */
const minExplained = 16;

/** The start of the straight line that explains most of the squared errors. */
function growth(path: Float64Array): { since: number; explained: number; isStraight: boolean } {
  let best = { since: 0, explained: 0, isStraight: false };
  for (let since = 3; since <= path.length; since += 1) {
    let [product, squares, total] = [0, 0, 0];
    for (let i = 1; i <= since; i += 1) {
      product += i * path[path.length - since + i - 1]!;
      squares += i * i;
      total += path[path.length - since + i - 1]! ** 2;
    }
    const explained = product ** 2 / squares;
    if (explained > best.explained) best = { since, explained, isStraight: since > 4 && explained > 0.95 * total };
  }
  return best;
}
