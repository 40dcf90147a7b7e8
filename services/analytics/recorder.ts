import { TowerError } from '../../src/kernel/errors.ts';
import type { MetricTables } from '../../src/store/metric-tables.ts';
import type { MetricStore, Transaction } from '../../src/store/store.ts';
import { labelsText, type NewPoint } from './keys.ts';

type Waiting = { points: readonly NewPoint[]; done: () => void; failed: (error: unknown) => void };

/** Rows of one statement: its parameters are bounded. */
const mostRows = 1_000;

/** Writes points: what arrives within one turn of the event loop is one transaction. */
export function createRecorder({ store, mostSeries }: { store: MetricStore; mostSeries: number }) {
  let waiting: Waiting[] = [];
  let writing: Promise<void> | null = null;
  /** Ids of series by their keys; as many as there may be series. */
  const ids = new Map<string, number>();
  const write = async () => {
    // Others of this turn come along.
    await new Promise((next) => setImmediate(next));
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      await writeTogether(batch).catch(async () => {
        // One of them must not spoil the others'.
        for (const each of batch) await writeTogether([each]).catch(each.failed);
      });
    }
    writing = null;
  };
  const writeTogether = async (batch: Waiting[]) => {
    try {
      await writeAll(
        store,
        batch.flatMap(({ points }) => points),
        ids,
        mostSeries,
      );
    } catch (error) {
      // Series the transaction made are gone with it.
      ids.clear();
      throw error;
    }
    for (const { done } of batch) done();
  };
  return {
    /**
     * Resolves when all of them are committed. A point at a time that is there already takes its place.
     * @throws TowerError `limited` where that would be too many series; nothing is recorded then
     */
    record: (points: readonly NewPoint[]): Promise<void> =>
      new Promise((done, failed) => {
        waiting.push({ points, done, failed });
        writing ??= write();
      }),
  };
}

async function writeAll(
  store: MetricStore,
  points: readonly NewPoint[],
  ids: Map<string, number>,
  mostSeries: number,
): Promise<void> {
  const db = await store.db();
  await db.transaction().execute(async (trx) => {
    const rows = new Map<string, MetricTables['points']>();
    for (const point of points) {
      const series_id = await idOf(trx, point, ids, mostSeries);
      // Of several at one time the last one counts.
      rows.set(`${series_id} ${point.at}`, { series_id, at: point.at, ...storedValue(point.value) });
    }
    const all = [...rows.values()];
    for (let from = 0; from < all.length; from += mostRows)
      await trx
        .insertInto('points')
        .values(all.slice(from, from + mostRows))
        .onConflict((at) =>
          at
            .columns(['series_id', 'at'])
            .doUpdateSet((row) => ({ value: row.ref('excluded.value'), bits: row.ref('excluded.bits') })),
        )
        .execute();
  });
}

async function idOf(
  trx: Transaction<MetricTables>,
  { metric, resource, labels }: NewPoint,
  ids: Map<string, number>,
  mostSeries: number,
): Promise<number> {
  const row = { metric, resource, labels: labelsText(labels) };
  const key = JSON.stringify([metric, resource, row.labels]);
  const known = ids.get(key);
  if (known !== undefined) return known;
  const there = await trx
    .selectFrom('series')
    .select('id')
    .where('metric', '=', metric)
    .where('resource', '=', resource)
    .where('labels', '=', row.labels)
    .executeTakeFirst();
  const id = there?.id ?? (await newSeries(trx, row, mostSeries));
  ids.set(key, id);
  return id;
}

async function newSeries(
  trx: Transaction<MetricTables>,
  row: { metric: string; resource: string; labels: string },
  mostSeries: number,
): Promise<number> {
  const { count } = await trx
    .selectFrom('series')
    .select((row) => row.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  if (count >= mostSeries)
    throw new TowerError(
      'limited',
      `there are ${mostSeries} series already, as many as METRICS_MAX_SERIES allows; is a label never the same twice?`,
    );
  const { id } = await trx.insertInto('series').values(row).returning('id').executeTakeFirstOrThrow();
  return id;
}

/** SQL has no NaN, and one NaN is not the other: its bits are kept. */
export function storedValue(value: number): { value: number | null; bits: Uint8Array | null } {
  if (!Number.isNaN(value)) return { value, bits: null };
  return { value: null, bits: new Uint8Array(Float64Array.of(value).buffer) };
}

export const valueOf = ({ value, bits }: { value: number | null; bits: Uint8Array | null }): number =>
  bits ? new DataView(bits.buffer, bits.byteOffset, 8).getFloat64(0, true) : value!;
