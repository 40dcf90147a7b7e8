import type { MetricTables } from '../../src/store/metric-tables.ts';
import type { MetricStore, Transaction } from '../../src/store/store.ts';
import { decodeChunk, encodeChunk, mergePoints, type Points } from './chunk.ts';
import { dayMs, floorTo, hourMs } from './reader.ts';
import { valueOf } from './recorder.ts';
import { addValue, emptySummary, fromStored, mergeSummary, type Summary, toStored } from './summary.ts';

/** Puts the points of past hours into one row each, and lets go of what is too old, coarser and coarser. */

/** So long after its end an hour is sealed: points are late now and then. Later ones open it again. */
const graceMs = 10 * 60_000;

type Rollup = MetricTables['rollups'];

/** Seals every hour that is over. */
export async function sealHours(store: MetricStore, now: number, signal: AbortSignal): Promise<void> {
  const db = await store.db();
  const until = floorTo(now - graceMs, hourMs);
  const due = await db.selectFrom('points').select('series_id').where('at', '<', until).distinct().execute();
  for (const { series_id } of due) {
    signal.throwIfAborted();
    await db.transaction().execute((trx) => sealSeries(trx, series_id, until));
  }
}

async function sealSeries(trx: Transaction<MetricTables>, id: number, until: number): Promise<void> {
  const rows = await trx
    .deleteFrom('points')
    .where('series_id', '=', id)
    .where('at', '<', until)
    .returning(['at', 'value', 'bits'])
    .execute();
  rows.sort((a, b) => a.at - b.at);
  const hours = Map.groupBy(rows, ({ at }) => floorTo(at, hourMs));
  for (const [start, points] of hours) {
    const fresh = { times: Float64Array.from(points, ({ at }) => at), values: Float64Array.from(points, valueOf) };
    const sealed = await rollupAt(trx, id, hourMs, start);
    await put(trx, sealed ? reopened(sealed, fresh) : rollupOf(id, start, fresh));
  }
}

const rollupAt = (
  trx: Transaction<MetricTables>,
  id: number,
  step: number,
  start: number,
): Promise<Rollup | undefined> =>
  trx
    .selectFrom('rollups')
    .selectAll()
    .where('series_id', '=', id)
    .where('step', '=', step)
    .where('start', '=', start)
    .executeTakeFirst();

function rollupOf(series_id: number, start: number, points: Points): Rollup {
  const summary = emptySummary();
  for (const value of points.values) addValue(summary, value);
  return { series_id, step: hourMs, start, ...toStored(summary), points: encodeChunk(points) };
}

/** A sealed hour with late points. Of one whose points are gone only the figures can take them in. */
function reopened(sealed: Rollup, late: Points): Rollup {
  if (sealed.points) return rollupOf(sealed.series_id, sealed.start, mergePoints(decodeChunk(sealed.points), late));
  const summary = fromStored(sealed);
  for (const value of late.values) addValue(summary, value);
  return { ...sealed, ...toStored(summary) };
}

async function put(trx: Transaction<MetricTables>, row: Rollup): Promise<void> {
  await trx
    .insertInto('rollups')
    .values(row)
    .onConflict((at) => at.columns(['series_id', 'step', 'start']).doUpdateSet(row))
    .execute();
}

export type Retention = { rawDays: number; hourDays: number; dayDays: number };

/** Lets points go, then makes days of hours, then lets days go. */
export async function letGo(store: MetricStore, now: number, retention: Retention, signal: AbortSignal): Promise<void> {
  const db = await store.db();
  const before = (days: number) => floorTo(now - days * dayMs, dayMs);
  await db
    .updateTable('rollups')
    .set({ points: null })
    .where('step', '=', hourMs)
    .where('start', '<', before(retention.rawDays))
    .where('points', 'is not', null)
    .execute();
  const old = before(retention.hourDays);
  const due = await db
    .selectFrom('rollups')
    .select('series_id')
    .where('step', '=', hourMs)
    .where('start', '<', old)
    .distinct()
    .execute();
  for (const { series_id } of due) {
    signal.throwIfAborted();
    await db.transaction().execute((trx) => hoursToDays(trx, series_id, old));
  }
  await db.deleteFrom('rollups').where('step', '=', dayMs).where('start', '<', before(retention.dayDays)).execute();
}

async function hoursToDays(trx: Transaction<MetricTables>, id: number, old: number): Promise<void> {
  const hours = await trx
    .deleteFrom('rollups')
    .where('series_id', '=', id)
    .where('step', '=', hourMs)
    .where('start', '<', old)
    .returningAll()
    .execute();
  for (const [start, rows] of Map.groupBy(hours, (row) => floorTo(row.start, dayMs))) {
    const day = await rollupAt(trx, id, dayMs, start);
    const summary: Summary = day ? fromStored(day) : emptySummary();
    for (const row of rows) mergeSummary(summary, fromStored(row));
    await put(trx, { series_id: id, step: dayMs, start, ...toStored(summary), points: null });
  }
}
