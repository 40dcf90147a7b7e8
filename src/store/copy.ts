import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conflict } from '#kernel/errors.ts';
import type { Part } from './migrate.ts';
import { openMetricStore, openStore } from './open-store.ts';
import { openSqlite } from './sqlite.ts';
import type { Place, Store, Transaction } from './store.ts';

/** Copies rows from one engine to the other; a part is copied completely or not at all. */

/**
 * Every table but `leader`, ordered so that foreign keys point to earlier tables, with the columns that order its rows.
 */
const tables: Record<Part, Record<string, string[]>> = {
  'tower.db': {
    monitored_models: ['registry', 'name', 'version'],
    jobs: ['name'],
    registry_journals: ['registry'],
    registry_state: ['registry', 'name', 'version'],
    registry_events: ['id'],
    webhooks: ['id'],
    outbox: ['id'],
    outbox_deliveries: ['id'],
    seen_deliveries: ['id'],
    api_keys: ['id'],
    audit: ['seq'],
    audit_head: ['id'],
    observations: ['registry', 'name', 'version', 'key'],
    drift_baselines: ['registry', 'name', 'version', 'subject'],
    drift_alerts: ['registry', 'name', 'version'],
    key_check: ['id'],
    job_queue: ['id'],
    registry_snapshots: ['registry'],
    trained_models: ['service'],
  },
  'metrics.db': { series: ['id'], points: ['series_id', 'at'], rollups: ['series_id', 'step', 'start'] },
};

export const tablesOf = (part: Part): string[] => Object.keys(tables[part]);

/** Tables with auto-increment ids, which must never be reused. */
const numbered = ['registry_events', 'outbox', 'outbox_deliveries', 'series'];

const rowsAtOnce = 500;

/** Untyped rows: the copy does not interpret them. */
type Rows = Record<string, Record<string, unknown>>;

/** Writes one part of a PostgreSQL store into a new SQLite file in this directory. */
export async function exportToSqlite(place: Place, part: Part, directory: string): Promise<void> {
  const from = await opened(place, part);
  try {
    const to = openSqlite<Rows>(directory, part);
    try {
      await copyRows(from, to, part);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/**
 * Reads one part from the SQLite file of a directory, without changing that file, into an empty PostgreSQL.
 * @throws TowerError `conflict` if the PostgreSQL is not empty
 */
export async function importFromSqlite(directory: string, part: Part, place: Place): Promise<void> {
  const to = await opened(place, part);
  // Opening a file migrates it to the current schema, so a copy is opened: the backup must not change.
  const aside = await mkdtemp(join(tmpdir(), 'tower-restore-'));
  try {
    await copyFile(join(directory, part), join(aside, part));
    const from = openSqlite<Rows>(aside, part);
    try {
      await copyRows(from, to, part);
    } finally {
      await from.close();
    }
  } finally {
    await rm(aside, { recursive: true, force: true });
    await to.close();
  }
}

const opened = async (place: Place, part: Part): Promise<Store<Rows>> =>
  (await (part === 'tower.db' ? openStore(place) : openMetricStore(place))) as unknown as Store<Rows>;

/** Deletes every row of one part of a PostgreSQL store that was empty before the restore. */
export async function emptyPart(place: Place, part: Part): Promise<void> {
  const store = await opened(place, part);
  try {
    const db = await store.db();
    for (const table of Object.keys(tables[part]).toReversed()) await db.deleteFrom(table).execute();
    if (part === 'tower.db')
      await db
        .insertInto('audit_head')
        .values({ id: 1, count: 0, hash: '0'.repeat(64), seal: '' })
        .execute();
  } finally {
    await store.close();
  }
}

/** @throws TowerError `conflict` if the part has rows */
export async function requireEmpty(place: Place, part: Part): Promise<void> {
  const store = await opened(place, part);
  try {
    const db = await store.db();
    for (const table of Object.keys(tables[part])) {
      const row = await db.selectFrom(table).selectAll().limit(1).executeTakeFirst();
      if (row && !(table === 'audit_head' && row['count'] === 0))
        throw conflict(`the database of DATABASE_URL already has rows in ${table}: use an empty one`);
    }
  } finally {
    await store.close();
  }
}

async function copyRows(from: Store<Rows>, to: Store<Rows>, part: Part): Promise<void> {
  const [source, target] = [await from.db(), await to.db()];
  const { sql } = await import('kysely');
  await source
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute((reading) =>
      target.transaction().execute(async (writing) => {
        for (const [table, order] of Object.entries(tables[part])) {
          // A new store begins with this one row.
          if (table === 'audit_head') await writing.deleteFrom(table).execute();
          for (let last: Record<string, unknown> | null = null; ; ) {
            const key = sql.join(order.map((column) => sql.ref(column)));
            let query = reading.selectFrom(table).selectAll();
            if (last)
              query = query.where(sql<boolean>`(${key}) > (${sql.join(order.map((column) => last?.[column]))})`);
            for (const column of order) query = query.orderBy(column);
            const rows = await query.limit(rowsAtOnce).execute();
            if (rows.length > 0) await writing.insertInto(table).values(rows).execute();
            if (rows.length < rowsAtOnce) break;
            last = rows.at(-1) ?? null;
          }
          if (numbered.includes(table)) await setNumber(to, writing, table, await numberOf(from, reading, table));
        }
      }),
    );
}

/** The highest id a table has assigned, including those of deleted rows. */
async function numberOf(store: Store<Rows>, view: Transaction<Rows>, table: string): Promise<number> {
  const { sql } = await import('kysely');
  const found =
    store.engine === 'sqlite'
      ? await sql<{ last: number | null }>`select seq as last from sqlite_sequence where name = ${table}`.execute(view)
      : await sql<{ last: number | null }>`
          select pg_sequence_last_value(pg_get_serial_sequence(${table}, 'id')::regclass) as last`.execute(view);
  return found.rows[0]?.last ?? 0;
}

async function setNumber(store: Store<Rows>, view: Transaction<Rows>, table: string, last: number): Promise<void> {
  if (last === 0) return;
  const { sql } = await import('kysely');
  if (store.engine === 'postgres') {
    await sql`select setval(pg_get_serial_sequence(${table}, 'id'), ${last})`.execute(view);
    return;
  }
  await sql`delete from sqlite_sequence where name = ${table}`.execute(view);
  await sql`insert into sqlite_sequence (name, seq) values (${table}, ${last})`.execute(view);
}
