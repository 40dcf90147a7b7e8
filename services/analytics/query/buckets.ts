import { invalid } from '#kernel/errors.ts';
import { dayMs, floorTo, type Span } from '../storage/reader.ts';

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
export async function bucketsOf({ start, end }: Span, granularity: Granularity, zone: string): Promise<Span[]> {
  if ((end - start) / usualMs[granularity] > maxBuckets)
    throw invalid(`more than ${maxBuckets} buckets: use a shorter time range or a coarser granularity`, {
      parameter: 'granularity',
    });
  const edges =
    granularity === 'MINUTE'
      ? even(floorTo(start, 60_000), end, 60_000)
      : await calendar(start, end, granularity, zone);
  return edges.slice(0, -1).map((edge, i) => ({ start: edge, end: edges[i + 1]! }));
}

/** From `first` until `end` is passed. */
const even = (first: number, end: number, step: number): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((end - first) / step)) + 1 }, (_, i) => first + i * step);

async function calendar(
  start: number,
  end: number,
  granularity: Exclude<Granularity, 'MINUTE'>,
  zone: string,
): Promise<number[]> {
  // A calendar library of 60 modules: loaded at its first use.
  const { Temporal } = await import('temporal-polyfill');
  const now = Temporal.Instant.fromEpochMilliseconds(start).toZonedDateTimeISO(zone);
  if (granularity === 'HOUR') {
    // Hours are even despite clock changes; in a zone with a half-hour offset, so are their starts.
    const into = now.minute * 60_000 + now.second * 1000 + now.millisecond;
    return even(start - into, end, 3_600_000);
  }
  const day = now.startOfDay();
  let at =
    granularity === 'DAY'
      ? day
      : granularity === 'WEEK'
        ? day.subtract({ days: day.dayOfWeek - 1 })
        : day.with({ day: 1 });
  at = at.startOfDay();
  const step = { DAY: { days: 1 }, WEEK: { weeks: 1 }, MONTH: { months: 1 } }[granularity];
  const edges = [at.epochMilliseconds];
  while (edges.at(-1)! < end) {
    // A day begins at 01:00 if the clock changes at midnight.
    at = at.add(step).startOfDay();
    edges.push(at.epochMilliseconds);
  }
  return edges;
}

/** Whether this runtime supports the time zone: `Europe/Berlin`, `UTC`. */
export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
