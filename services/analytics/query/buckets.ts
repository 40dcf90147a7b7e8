import { invalid } from '#kernel/errors.ts';
import { localClock } from '#kernel/time-zone.ts';
import { dayMs, floorTo, hourMs, type Span } from '../storage/reader.ts';

/** Calendar buckets in a time zone: hours, days, weeks (from Monday) and months. */
export const granularities = ['MINUTE', 'HOUR', 'DAY', 'WEEK', 'MONTH'] as const;
export type Granularity = (typeof granularities)[number];

/** Maximum number of buckets in an answer. */
const maxBuckets = 20_000;

/** Minimum lengths, for a first estimate. */
const usualMs: Record<Granularity, number> = {
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: dayMs,
  WEEK: 7 * dayMs,
  MONTH: 28 * dayMs,
};

/**
 * Consecutive buckets, from the one that contains `start` to the last one before `end`. A day with a clock change has
 * 23 or 25 hours.
 * @throws TowerError `invalid` for an unknown time zone or too many buckets
 */
export function bucketsOf({ start, end }: Span, granularity: Granularity, zone: string): Span[] {
  if ((end - start) / usualMs[granularity] > maxBuckets)
    throw invalid(`more than ${maxBuckets} buckets: use a shorter time range or a coarser granularity`, {
      parameter: 'granularity',
    });
  const edges =
    granularity === 'MINUTE' ? even(floorTo(start, 60_000), end, 60_000) : calendar(start, end, granularity, zone);
  return edges.slice(0, -1).map((edge, i) => ({ start: edge, end: edges[i + 1]! }));
}

/** From `first` until `end` is passed. */
const even = (first: number, end: number, step: number): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((end - first) / step)) + 1 }, (_, i) => first + i * step);

function calendar(start: number, end: number, granularity: Exclude<Granularity, 'MINUTE'>, zone: string): number[] {
  const { localOf, instantOf } = localClock(zone);
  const local = localOf(start);
  // Hours are even despite clock changes; in a zone with a half-hour offset, so are their starts.
  if (granularity === 'HOUR') return even(start - (local - floorTo(local, hourMs)), end, hourMs);
  const day = floorTo(local, dayMs);
  const monday = day - ((new Date(day).getUTCDay() + 6) % 7) * dayMs;
  const [year, month] = [new Date(day).getUTCFullYear(), new Date(day).getUTCMonth()];
  const localEdge = {
    DAY: (k: number) => day + k * dayMs,
    WEEK: (k: number) => monday + 7 * k * dayMs,
    MONTH: (k: number) => Date.UTC(year, month + k, 1),
  }[granularity];
  // A day begins at 01:00 if the clock changes at midnight.
  const edges = [instantOf(localEdge(0))];
  for (let k = 1; edges.at(-1)! < end; k += 1) {
    const edge = instantOf(localEdge(k));
    // A zone that moves across the date line skips a whole day.
    if (edge > edges.at(-1)!) edges.push(edge);
  }
  return edges;
}
