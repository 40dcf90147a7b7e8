import { TowerError } from '#kernel/errors.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { MetricTables } from '#store/metric-tables.ts';
import type { MetricStore, Transaction } from '#store/store.ts';
import { labelsText, type NewPoint } from './keys.ts';

type Waiting = {
  points: readonly NewPoint[];
  done: (refused: Set<NewPoint>) => void;
  failed: (error: unknown) => void;
};

/** Rows per statement, whose number of parameters is limited. */
const maxRows = 1_000;
/** Points per transaction: a larger one would keep other writers waiting. */
const maxPoints = 10_000;

/** Writes points: those that arrive within one turn of the event loop share a transaction. */
export function createRecorder({ store, maxSeries }: { store: MetricStore; maxSeries: number }) {
  let waiting: Waiting[] = [];
  let writing: Promise<void> | null = null;
  /** Cache of series ids by key, as large as the maximum number of series. */
  const ids = new Map<string, number>();
  const write = async () => {
    // Others of this turn are included.
    await new Promise((next) => setImmediate(next));
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      await writeTogether(batch).catch(async (error: unknown) => {
        if (error instanceof TowerError && error.code === 'unavailable') {
          for (const each of batch) each.failed(error);
          return;
        }
        // One failing point must not fail the others.
        for (const each of batch) await writeTogether([each]).catch(each.failed);
      });
    }
    writing = null;
  };
  const writeTogether = async (batch: Waiting[]) => {
    const refused = new Set<NewPoint>();
    try {
      await writeAll(
        store,
        batch.flatMap(({ points }) => points),
        ids,
        maxSeries,
        refused,
      );
    } catch (error) {
      // Series created by the transaction were rolled back with it.
      ids.clear();
      throw error;
    }
    for (const { done } of batch) done(refused);
  };
  return {
    /**
     * Resolves after the commit, with the points refused because there are too many series. A point replaces an earlier
     * one of the same time.
     */
    record: (points: readonly NewPoint[]): Promise<Set<NewPoint>> =>
      new Promise((done, failed) => {
        waiting.push({ points, done, failed });
        writing ??= write();
      }),
  };
}

/** Reason for refusing a point of a series beyond the limit. */
export const tooManySeries =
  'the maximum number of series (METRICS_MAX_SERIES) is reached; does a label have unbounded values?';

async function writeAll(
  store: MetricStore,
  points: readonly NewPoint[],
  ids: Map<string, number>,
  maxSeries: number,
  refused: Set<NewPoint>,
): Promise<void> {
  for (let from = 0; from < points.length; from += maxPoints)
    await writeSome(store, points.slice(from, from + maxPoints), ids, maxSeries, refused);
}

async function writeSome(
  store: MetricStore,
  points: readonly NewPoint[],
  ids: Map<string, number>,
  maxSeries: number,
  refused: Set<NewPoint>,
): Promise<void> {
  const db = await store.db();
  const yielder = createYielder();
  await db.transaction().execute(async (trx) => {
    const rows = new Map<string, MetricTables['points']>();
    const limit = { remaining: null as number | null, max: maxSeries };
    for (const point of points) {
      if (yielder.due()) await yielder.yieldNow();
      const series_id = await idOf(trx, point, ids, limit);
      if (series_id === null) refused.add(point);
      // Of several points at one time, the last wins.
      else rows.set(`${series_id} ${point.at}`, { series_id, at: point.at, ...storedValue(point.value) });
    }
    const all = [...rows.values()];
    for (let from = 0; from < all.length; from += maxRows) {
      if (yielder.due()) await yielder.yieldNow();
      await trx
        .insertInto('points')
        .values(all.slice(from, from + maxRows))
        .onConflict((at) =>
          at
            .columns(['series_id', 'at'])
            .doUpdateSet((row) => ({ value: row.ref('excluded.value'), bits: row.ref('excluded.bits') })),
        )
        .execute();
    }
  });
}

/** Remaining number of series; counted when the first new one arrives. */
type SeriesLimit = { remaining: number | null; max: number };

/** The id of the point's series, created if the limit allows; else null. */
async function idOf(
  trx: Transaction<MetricTables>,
  { metric, resource, labels }: NewPoint,
  ids: Map<string, number>,
  limit: SeriesLimit,
): Promise<number | null> {
  const row = { metric, resource, labels: labelsText(labels) };
  const key = JSON.stringify([metric, resource, row.labels]);
  const known = ids.get(key);
  if (known !== undefined) return known;
  const existing = await trx
    .selectFrom('series')
    .select('id')
    .where('metric', '=', metric)
    .where('resource', '=', resource)
    .where('labels', '=', row.labels)
    .executeTakeFirst();
  const id = existing?.id ?? (await newSeries(trx, row, limit));
  if (id !== null) ids.set(key, id);
  return id;
}

async function newSeries(
  trx: Transaction<MetricTables>,
  row: { metric: string; resource: string; labels: string },
  limit: SeriesLimit,
): Promise<number | null> {
  limit.remaining ??=
    limit.max -
    (
      await trx
        .selectFrom('series')
        .select((each) => each.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow()
    ).count;
  if (limit.remaining <= 0) return null;
  limit.remaining -= 1;
  return (await trx.insertInto('series').values(row).returning('id').executeTakeFirstOrThrow()).id;
}

/** SQL has no NaN, and NaNs differ in their bits, which are stored. */
export function storedValue(value: number): { value: number | null; bits: Uint8Array | null } {
  if (!Number.isNaN(value)) return { value, bits: null };
  return { value: null, bits: new Uint8Array(Float64Array.of(value).buffer) };
}

export const valueOf = ({ value, bits }: { value: number | null; bits: Uint8Array | null }): number =>
  bits ? new DataView(bits.buffer, bits.byteOffset, 8).getFloat64(0, true) : value!;
