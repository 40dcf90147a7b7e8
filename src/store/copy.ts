import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { conflict } from '#kernel/errors.ts';
import type { Part } from './migrate.ts';
import { openMetricStore, openStore } from './open-store.ts';
import { openSqlite } from './sqlite.ts';
import type { Place, Store, Transaction } from './store.ts';

/** Rows from one engine to the other, all of a part or none. */

/** Every table but `leader`, in an order in which rows only point backwards, with what orders its rows. */
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
    key_check: ['id'],
    job_queue: ['id'],
    registry_snapshots: ['registry'],
    trained_models: ['service'],
  },
  'metrics.db': { series: ['id'], points: ['series_id', 'at'], rollups: ['series_id', 'step', 'start'] },
};

export const tablesOf = (part: Part): string[] => Object.keys(tables[part]);

/** Tables whose numbers are given once and never again. */
const numbered = ['registry_events', 'outbox', 'outbox_deliveries', 'series'];

const rowsAtOnce = 500;

/** What the copy goes through needs no types: it takes rows as they are. */
type Rows = Record<string, Record<string, unknown>>;

/** Writes a part of what is in PostgreSQL into a new database file of this folder. */
export async function copyOut(place: Place, part: Part, folder: string): Promise<void> {
  const from = await opened(place, part);
  try {
    const to = openSqlite<Rows>(folder, part);
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
 * Reads a part from the database file of a folder, which is left as it is, into an empty PostgreSQL.
 * @throws TowerError `conflict` where it is not empty
 */
export async function copyIn(folder: string, part: Part, place: Place): Promise<void> {
  const to = await opened(place, part);
  // Opening brings it to this program's schema: what is kept as a backup must not change.
  const aside = await mkdtemp(join(tmpdir(), 'tower-restore-'));
  try {
    await copyFile(join(folder, part), join(aside, part));
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

/** Takes every row out of a part of a PostgreSQL that was empty before. */
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

/** @throws TowerError `conflict` where there is something already */
export async function refuseFilled(place: Place, part: Part): Promise<void> {
  const store = await opened(place, part);
  try {
    const db = await store.db();
    for (const table of Object.keys(tables[part])) {
      const row = await db.selectFrom(table).selectAll().limit(1).executeTakeFirst();
      if (row && !(table === 'audit_head' && row['count'] === 0))
        throw conflict(`the database of DATABASE_URL holds rows in ${table} already: name an empty one`);
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
          // The one row a new store begins with.
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

/** The last number a table has given away, also of rows that are gone. */
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
