import { mean, median } from '#kernel/stats.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { dayMs, lowerBound } from '../storage/reader.ts';

/**
 * What a series usually has at each of its moments: a trend and, where there are days and weeks enough, what each time of day and
 * of the week has. Multiple seasonal-trend decomposition (MSTL: Bandara, Hyndman and Bergmeir 2021) with periodic seasons and, in the
 * place of LOESS, running medians and means of what lies near a median, which a few outliers cannot draw to themselves (as in
 * S-H-ESD: Hochenbaum, Vallis and Kejariwal 2017). Points may be missing.
 * @param times ascending, milliseconds
 * @param stepMs their usual distance
 * @returns `parameters`: how many figures were made of the values, by which what is left of them is smaller than it was
 */
export async function usualLevels(
  times: readonly number[],
  values: readonly number[],
  stepMs: number,
): Promise<{ usual: number[]; parameters: number }> {
  const span = times.at(-1)! - times[0]!;
  const periods = [dayMs, 7 * dayMs].filter((period, i) => span >= fewestCycles[i]! * period && period >= 4 * stepMs);
  // A single level: without seasons what rises and falls with the day would pass for a trend.
  if (periods.length === 0) return { usual: values.map(() => median(values)), parameters: 1 };
  const longest = periods.at(-1)!;
  const breath = createYielder();
  let trend = runningMedian(times, values, longest);
  const seasons = periods.map(() => values.map(() => 0));
  for (let round = 0; round < rounds; round += 1) {
    for (const [k, period] of periods.entries()) {
      if (breath.due()) await breath.yieldNow();
      const rest = values.map((value, i) => value - trend[i]! - sumOf(seasons, i, k));
      seasons[k] = slotMedians(times, rest, period, stepMs);
    }
    if (breath.due()) await breath.yieldNow();
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

/** Cycles it takes to know a day, and a week. */
const fewestCycles = [2, 3];
const rounds = 2;
/** Values a time of day is judged by, at least: of few a median follows each of them. */
const fewestOfSlot = 15;

const sumOf = (seasons: number[][], i: number, but = -1): number =>
  seasons.reduce((sum, season, k) => sum + (k === but ? 0 : season[i]!), 0);

/**
 * How many parts a period has. A day of milliseconds has too many times of day; of a week only quarters of days are told apart:
 * its times of day are known, and a mean of three weeks' values would follow each of them.
 */
const slotsOf = (period: number, stepMs: number): number =>
  Math.max(1, Math.round(period / Math.max(period > dayMs ? dayMs / 4 : 60_000, stepMs)));

/** The usual value of each point's place in the period. */
function slotMedians(times: readonly number[], values: readonly number[], period: number, stepMs: number): number[] {
  const count = slotsOf(period, stepMs);
  const slotOf = (i: number) => Math.min(count - 1, Math.floor((times[i]! % period) / (period / count)));
  const slots: number[][] = Array.from({ length: count }, () => []);
  for (const [i, value] of values.entries()) slots[slotOf(i)]!.push(value);
  // The times of day beside it help out where days are few; weekdays begin and end too suddenly for that.
  const each = period > dayMs ? Number.POSITIVE_INFINITY : values.length / count;
  const reach = Math.max(0, Math.min(Math.floor(count / 8), Math.ceil((fewestOfSlot / each - 1) / 2)));
  const usual = slots.map((_, k) => {
    const near = Array.from({ length: 2 * reach + 1 }, (__, j) => slots[(k + j - reach + count) % count]!);
    return near.some((part) => part.length > 0) ? steadyMean(near.flat()) : 0;
  });
  return values.map((_, i) => usual[slotOf(i)]!);
}

/**
 * The mean of what is within three median deviations of the median. A median alone lies so close to the values in the middle
 * that what is left of them makes all others look like outliers.
 */
function steadyMean(values: readonly number[]): number {
  const center = median(values);
  const reach = 3 * 1.4826 * median(values.map((value) => Math.abs(value - center)));
  return mean(values.filter((value) => Math.abs(value - center) <= reach));
}

/**
 * A line through the whole, and the median of what is left of it within a period of each point: at the ends, where there are fewer
 * points on one side, the line keeps the median from lagging.
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

/** The median rise from each point to the one a period later, where the seasons are the same again (Theil 1950, Sen 1968). */
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
