import { createYielder } from '#kernel/yield-event-loop.ts';
import type { MetricStore } from '#store/store.ts';
import { decodeChunk, mergePoints, type Points } from './chunk.ts';
import { hasLabels, labelsOf, type SeriesFilter, type SeriesKey } from './keys.ts';
import { valueOf } from './recorder.ts';
import { addValue, emptySummary, fromStored, mergeSummary, type Summary } from './summary.ts';

/** Reads series and their points, from rows and from sealed hours. */
export type Reader = ReturnType<typeof createReader>;

export type Series = SeriesKey & { id: number };

/** `start` inclusive, `end` exclusive; milliseconds. */
export type Span = { start: number; end: number };

export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

export function createReader(store: MetricStore) {
  return {
    /** Series that match this filter, by metric, resource and labels. */
    find: async ({ metric, resource, labels }: SeriesFilter): Promise<Series[]> => {
      let query = (await store.db()).selectFrom('series').selectAll();
      if (metric !== undefined) query = query.where('metric', '=', metric);
      if (resource !== undefined) query = query.where('resource', '=', resource);
      const rows = await query.orderBy('metric').orderBy('resource').orderBy('labels').execute();
      return rows
        .map((row) => ({ ...row, labels: labelsOf(row.labels) }))
        .filter((row) => hasLabels(row.labels, labels));
    },
    /** Series with points in the span, those with the newest points first; at most `limit`, and how many there are. */
    recent: (span: Span, limit: number): Promise<{ series: Series[]; total: number }> => recentOf(store, span, limit),
    /** All points of a series in the span, ascending. Points past their retention are gone. */
    points: (id: number, span: Span): Promise<Points> => pointsOf(store, id, span),
    /** The newest points of several series combined, newest first. */
    newest: (series: Series[], span: Span, limit: number): Promise<Newest> => newestOf(store, series, span, limit),
    /** Summary of a series for each of these spans, which are ascending and disjoint. */
    summaries: (id: number, spans: readonly Span[]): Promise<Summaries> => summariesOf(store, id, spans),
    /** The same for spans below one hour, from the points, which are decoded once. */
    fine: async (id: number, spans: readonly Span[]): Promise<Summaries> => {
      const summaries = spans.map(emptySummary);
      const whole = { start: spans[0]?.start ?? 0, end: spans.at(-1)?.end ?? 0 };
      count(await pointsOf(store, id, whole), summaries, spanFinder(spans));
      return { summaries, crossesBucketEdge: false };
    },
  };
}

/** One index lookup per series, in points and in sealed hours: no points are read. */
async function recentOf(store: MetricStore, { start, end }: Span, limit: number) {
  const rows = await (await store.db())
    .selectFrom('series')
    .select(['id', 'metric', 'resource', 'labels'])
    .select((eb) =>
      eb
        .selectFrom('points')
        .select((each) => each.fn.max('at').as('last'))
        .whereRef('series_id', '=', 'series.id')
        .where('at', '>=', start)
        .where('at', '<', end)
        .as('last'),
    )
    .select((eb) =>
      eb
        .selectFrom('rollups')
        .select((each) => each.fn.max('start').as('sealed'))
        .whereRef('series_id', '=', 'series.id')
        .where('step', '=', hourMs)
        .where('start', '>', start - hourMs)
        .where('start', '<', end)
        .as('sealed'),
    )
    .execute();
  const found = rows
    .map(({ last, sealed, ...row }) => ({ row, lastAt: Math.max(last ?? -1, sealed ?? -1) }))
    .filter(({ lastAt }) => lastAt >= 0)
    .sort((a, b) => b.lastAt - a.lastAt);
  const series = found.slice(0, limit).map(({ row }) => ({ ...row, labels: labelsOf(row.labels) }));
  return { series, total: found.length };
}

const none: Points = { times: new Float64Array(0), values: new Float64Array(0) };

/** Shared by all reads, since it measures how long the event loop was blocked. */
const yielder = createYielder();

/** Points stored as rows, ascending; only the newest `most`. */
async function hotPoints(store: MetricStore, id: number, { start, end }: Span, most?: number): Promise<Points> {
  // Every read of a series passes here; the database itself never yields to the event loop.
  if (yielder.due()) await yielder.yieldNow();
  const query = (await store.db())
    .selectFrom('points')
    .select(['at', 'value', 'bits'])
    .where('series_id', '=', id)
    .where('at', '>=', start)
    .where('at', '<', end)
    .orderBy('at', 'desc');
  const rows = (await (most === undefined ? query : query.limit(most)).execute()).toReversed();
  return rows.length === 0
    ? none
    : { times: Float64Array.from(rows, ({ at }) => at), values: Float64Array.from(rows, valueOf) };
}

async function pointsOf(store: MetricStore, id: number, span: Span): Promise<Points> {
  // Rows before sealed hours: an hour sealed in between is then read twice rather than missed.
  const hot = await hotPoints(store, id, span);
  const rows = await (await store.db())
    .selectFrom('rollups')
    .select('points')
    .where('series_id', '=', id)
    .where('step', '=', hourMs)
    .where('start', '>', span.start - hourMs)
    .where('start', '<', span.end)
    .where('points', 'is not', null)
    .orderBy('start')
    .execute();
  const chunks: Points[] = [];
  for (const { points } of rows) {
    if (yielder.due()) await yielder.yieldNow();
    chunks.push(decodeChunk(points!));
  }
  return cut(mergePoints(joined(chunks), hot), span);
}

/** Concatenates hours, which do not overlap. */
function joined(chunks: Points[]): Points {
  const length = chunks.reduce((total, { times }) => total + times.length, 0);
  const all: Points = { times: new Float64Array(length), values: new Float64Array(length) };
  let at = 0;
  for (const { times, values } of chunks) {
    all.times.set(times, at);
    all.values.set(values, at);
    at += times.length;
  }
  return all;
}

function cut({ times, values }: Points, { start, end }: Span): Points {
  const [from, to] = [lowerBound(times, start), lowerBound(times, end)];
  return { times: times.slice(from, to), values: values.slice(from, to) };
}

/** Number of these ascending values below `limit`. */
export function lowerBound(sorted: ArrayLike<number>, limit: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

export type Newest = { points: { at: number; value: number; series: Series }[]; truncated: boolean };

async function newestOf(store: MetricStore, series: Series[], span: Span, limit: number): Promise<Newest> {
  let kept: Newest['points'] = [];
  let { start } = span;
  for (const each of series) {
    const { times, values } = await newestOfOne(store, each.id, { start, end: span.end }, limit + 1);
    const points = Array.from(times, (at, i) => ({ at, value: values[i]!, series: each }));
    kept = kept
      .concat(points)
      .sort((a, b) => b.at - a.at)
      .slice(0, limit + 1);
    // No older point can follow.
    if (kept.length > limit) start = kept.at(-1)!.at;
  }
  return { points: kept.slice(0, limit), truncated: kept.length > limit };
}

/** The newest `most` points of a series, ascending: rows, and as many of the newest hours as needed. */
async function newestOfOne(store: MetricStore, id: number, span: Span, most: number): Promise<Points> {
  const hot = await hotPoints(store, id, span, most);
  const db = await store.db();
  const chunks: Points[] = [];
  let [found, before] = [0, span.end];
  while (found < most) {
    if (yielder.due()) await yielder.yieldNow();
    const row = await db
      .selectFrom('rollups')
      .select(['start', 'points'])
      .where('series_id', '=', id)
      .where('step', '=', hourMs)
      .where('start', '>', span.start - hourMs)
      .where('start', '<', before)
      .where('points', 'is not', null)
      .orderBy('start', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (!row) break;
    const chunk = cut(decodeChunk(row.points!), span);
    chunks.push(chunk);
    found += chunk.times.length;
    before = row.start;
  }
  const all = mergePoints(joined(chunks.toReversed()), hot);
  return { times: all.times.slice(-most), values: all.values.slice(-most) };
}

/** `crossesBucketEdge`: an hour or a day without points crosses the edge of a span; it counts at its start. */
export type Summaries = { summaries: Summary[]; crossesBucketEdge: boolean };

async function summariesOf(store: MetricStore, id: number, spans: readonly Span[]): Promise<Summaries> {
  const summaries = spans.map(emptySummary);
  const whole = { start: spans[0]?.start ?? 0, end: spans.at(-1)?.end ?? 0 };
  const spanAt = spanFinder(spans);
  const hot = await hotPoints(store, id, { start: floorTo(whole.start, hourMs), end: whole.end + hourMs });
  const late = new Set(Array.from(hot.times, (time) => floorTo(time, hourMs)));
  const rows = await (await store.db())
    .selectFrom('rollups')
    .select(['step', 'start', 'count', 'sum', 'min', 'max', 'squares', 'sketch'])
    .where('series_id', '=', id)
    .where('start', '>', whole.start - dayMs)
    .where('start', '<', whole.end)
    .orderBy('start')
    .execute();
  let crossesBucketEdge = false;
  for (const row of rows) {
    if (yielder.due()) await yielder.yieldNow();
    const [first, last] = [spanAt(row.start), spanAt(row.start + row.step - 1)];
    const within = first === last && (row.step === dayMs || !late.has(row.start));
    if (within) {
      if (first !== null) mergeSummary(summaries[first]!, fromStored(row));
      continue;
    }
    const points = row.step === hourMs ? await sealedPoints(store, id, row.start) : null;
    if (points === null) {
      crossesBucketEdge ||= first !== last;
      if (first !== null) mergeSummary(summaries[first]!, fromStored(row));
      continue;
    }
    // Late points of this hour may replace sealed ones.
    const all = mergePoints(points, cut(hot, { start: row.start, end: row.start + hourMs }));
    late.delete(row.start);
    count(all, summaries, spanAt);
  }
  for (const start of late) count(cut(hot, { start, end: start + hourMs }), summaries, spanAt);
  return { summaries, crossesBucketEdge };
}

/** The span that contains a time. */
function spanFinder(spans: readonly Span[]): (time: number) => number | null {
  const starts = spans.map(({ start }) => start);
  return (time) => {
    const i = lowerBound(starts, time + 1) - 1;
    return i >= 0 && time < spans[i]!.end ? i : null;
  };
}

function count({ times, values }: Points, summaries: Summary[], spanAt: (time: number) => number | null): void {
  for (const [i, time] of times.entries()) {
    const span = spanAt(time);
    if (span !== null) addValue(summaries[span]!, values[i]!);
  }
}

async function sealedPoints(store: MetricStore, id: number, start: number): Promise<Points | null> {
  const row = await (await store.db())
    .selectFrom('rollups')
    .select('points')
    .where('series_id', '=', id)
    .where('step', '=', hourMs)
    .where('start', '=', start)
    .executeTakeFirst();
  return row?.points ? decodeChunk(row.points) : null;
}

export const floorTo = (time: number, step: number): number => Math.floor(time / step) * step;
