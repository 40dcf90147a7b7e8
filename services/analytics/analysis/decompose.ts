import { mean, median } from '#kernel/stats.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { dayMs, lowerBound } from '../storage/reader.ts';

/**
 * Expected value of a series at each of its times: a trend and, given enough days and weeks, daily and weekly seasons.
 * Multiple seasonal-trend decomposition (MSTL: Bandara, Hyndman and Bergmeir 2021) with periodic seasons and, instead
 * of LOESS, running medians and trimmed means, which resist outliers (as in S-H-ESD: Hochenbaum, Vallis and Kejariwal
 * 2017). Points may be missing.
 * @param times ascending, milliseconds
 * @param stepMs their usual interval
 * @returns `parameters`: number of fitted parameters, by which the residuals lose degrees of freedom
 */
export async function usualLevels(
  times: readonly number[],
  values: readonly number[],
  stepMs: number,
): Promise<{ usual: number[]; parameters: number }> {
  const span = times.at(-1)! - times[0]!;
  const periods = [dayMs, 7 * dayMs].filter((period, i) => span >= minCycles[i]! * period && period >= 4 * stepMs);
  // A constant level: without seasons, a daily pattern would pass for a trend.
  if (periods.length === 0) return { usual: values.map(() => median(values)), parameters: 1 };
  const longest = periods.at(-1)!;
  const yielder = createYielder();
  let trend = runningMedian(times, values, longest);
  const seasons = periods.map(() => values.map(() => 0));
  for (let round = 0; round < rounds; round += 1) {
    for (const [k, period] of periods.entries()) {
      if (yielder.due()) await yielder.yieldNow();
      const rest = values.map((value, i) => value - trend[i]! - sumOf(seasons, i, k));
      seasons[k] = slotMedians(times, rest, period, stepMs);
    }
    if (yielder.due()) await yielder.yieldNow();
    trend = runningMedian(
      times,
      values.map((value, i) => value - sumOf(seasons, i)),
      longest,
    );
  }
  return {
    usual: values.map((_, i) => trend[i]! + sumOf(seasons, i)),
    parameters: 2 + periods.reduce((sum, period) => sum + slotsOf(period, stepMs), 0),
  };
}

/** Cycles needed to fit a daily and a weekly season. */
const minCycles = [2, 3];
const rounds = 2;
/** Minimum values per slot: a median of few values follows each of them. */
const minPerSlot = 15;

const sumOf = (seasons: number[][], i: number, but = -1): number =>
  seasons.reduce((sum, season, k) => sum + (k === but ? 0 : season[i]!), 0);

/**
 * Slots per period. A day of millisecond steps would have too many; a week has only quarters of days, because times of
 * day are already fitted, and a mean over three weeks would follow each value.
 */
const slotsOf = (period: number, stepMs: number): number =>
  Math.max(1, Math.round(period / Math.max(period > dayMs ? dayMs / 4 : 60_000, stepMs)));

/** Seasonal value of each point's slot. */
function slotMedians(times: readonly number[], values: readonly number[], period: number, stepMs: number): number[] {
  const count = slotsOf(period, stepMs);
  const slotOf = (i: number) => Math.min(count - 1, Math.floor((times[i]! % period) / (period / count)));
  const slots: number[][] = Array.from({ length: count }, () => []);
  for (const [i, value] of values.entries()) slots[slotOf(i)]!.push(value);
  // Neighbouring times of day are included if there are few days; weekdays change too abruptly for that.
  const each = period > dayMs ? Number.POSITIVE_INFINITY : values.length / count;
  const reach = Math.max(0, Math.min(Math.floor(count / 8), Math.ceil((minPerSlot / each - 1) / 2)));
  const usual = slots.map((_, k) => {
    const near = Array.from({ length: 2 * reach + 1 }, (__, j) => slots[(k + j - reach + count) % count]!);
    return near.some((part) => part.length > 0) ? steadyMean(near.flat()) : 0;
  });
  return values.map((_, i) => usual[slotOf(i)]!);
}

/**
 * Mean of the values within three median deviations of the median. The median alone lies so close to the central values
 * that their residuals make all others look like outliers.
 */
function steadyMean(values: readonly number[]): number {
  const center = median(values);
  const reach = 3 * 1.4826 * median(values.map((value) => Math.abs(value - center)));
  return mean(values.filter((value) => Math.abs(value - center) <= reach));
}

/**
 * A line through the whole, plus the running median of its residuals within a period around each point: at the ends,
 * the line prevents the one-sided median from lagging.
 */
function runningMedian(times: readonly number[], values: readonly number[], period: number): number[] {
  const slope = slopeOf(times, values, period);
  const left = values.map((value, i) => value - slope * (times[i]! - times[0]!));
  const sorted: number[] = [];
  let [from, to] = [0, 0];
  return times.map((time) => {
    for (; to < times.length && times[to]! <= time + period; to += 1)
      sorted.splice(lowerBound(sorted, left[to]!), 0, left[to]!);
    for (; times[from]! < time - period; from += 1) sorted.splice(lowerBound(sorted, left[from]!), 1);
    const middle = sorted.length >> 1;
    const usual = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
    return usual + slope * (time - times[0]!);
  });
}

/** Median rise from each point to the one a period later, at equal seasons (Theil 1950, Sen 1968). */
function slopeOf(times: readonly number[], values: readonly number[], period: number): number {
  const slopes: number[] = [];
  let to = 0;
  for (const [i, time] of times.entries()) {
    while (to < times.length && times[to]! < time + period) to += 1;
    if (to === times.length) break;
    slopes.push((values[to]! - values[i]!) / (times[to]! - time));
  }
  return slopes.length > 0 ? median(slopes) : 0;
}
