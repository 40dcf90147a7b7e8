import { createYielder } from '#kernel/yield-event-loop.ts';
import type { MetricTables } from '#store/metric-tables.ts';
import type { MetricStore, Transaction } from '#store/store.ts';
import { decodeChunk, encodeChunk, mergePoints, type Points } from './chunk.ts';
import { dayMs, floorTo, hourMs } from './reader.ts';
import { valueOf } from './recorder.ts';
import { addValue, emptySummary, fromStored, mergeSummary, type Summary, toStored } from './summary.ts';

/** Seals past hours into one row each, and deletes expired data in stages: points, hours, days. */

/** Delay before an ended hour is sealed, for late points. Later ones reopen it. */
const graceMs = 10 * 60_000;

type Rollup = MetricTables['rollups'];

/** Seals every past hour. An error in one series does not stop the others; it is thrown at the end. */
export async function sealHours(store: MetricStore, now: number, signal: AbortSignal): Promise<void> {
  const db = await store.db();
  const until = floorTo(now - graceMs, hourMs);
  const due = await db.selectFrom('points').select('series_id').where('at', '<', until).distinct().execute();
  await eachSeries(due, signal, ({ series_id }) =>
    db.transaction().execute((trx) => sealSeries(trx, series_id, until)),
  );
}

/** The database never yields to the event loop itself. */
async function eachSeries<T>(all: T[], signal: AbortSignal, work: (one: T) => Promise<unknown>): Promise<void> {
  const yielder = createYielder();
  let failed: unknown = null;
  for (const one of all) {
    signal.throwIfAborted();
    if (yielder.due()) await yielder.yieldNow();
    await work(one).catch((error: unknown) => (failed ??= error));
  }
  if (failed !== null) throw failed;
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

/** Merges late points into a sealed hour; without its points, only into the figures. */
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

/** Deletes expired points, rolls hours up to days, deletes expired days, and then empty series. */
export async function deleteExpired(
  store: MetricStore,
  now: number,
  retention: Retention,
  signal: AbortSignal,
): Promise<void> {
  const db = await store.db();
  const before = (days: number) => floorTo(now - days * dayMs, dayMs);
  const [points, hours, days] = [before(retention.rawDays), before(retention.hourDays), before(retention.dayDays)];
  const series = await db.selectFrom('series').select('id').execute();
  await eachSeries(series, signal, ({ id }) =>
    db.transaction().execute(async (trx) => {
      await trx
        .updateTable('rollups')
        .set({ points: null })
        .where('series_id', '=', id)
        .where('step', '=', hourMs)
        .where('start', '<', points)
        .where('points', 'is not', null)
        .execute();
      await hoursToDays(trx, id, hours);
      await trx
        .deleteFrom('rollups')
        .where('series_id', '=', id)
        .where('step', '=', dayMs)
        .where('start', '<', days)
        .execute();
      await forgetEmpty(trx, id);
    }),
  );
}

async function forgetEmpty(trx: Transaction<MetricTables>, id: number): Promise<void> {
  for (const table of ['points', 'rollups'] as const)
    if (await trx.selectFrom(table).select('series_id').where('series_id', '=', id).limit(1).executeTakeFirst()) return;
  await trx.deleteFrom('series').where('id', '=', id).execute();
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
