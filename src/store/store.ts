import type { Kysely, Transaction as KyselyTransaction } from 'kysely';
import type { Bell } from './bell.ts';
import type { MetricTables } from './metric-tables.ts';
import { openSqlite } from './sqlite.ts';
import type { Tables } from './tables.ts';

/** Everything done on it is kept whole or not at all. Others' statements wait until it is over. */
export type Transaction<T = Tables> = KyselyTransaction<T>;

/** What statements are made on: the database, or a transaction of it. */
export type View<T = Tables> = Kysely<T>;

/** The door to everything that cannot be rebuilt. */
export type Store<T = Tables> = {
  /** `sqlite`: embedded, for one machine; `postgres`: several towers may share it. */
  engine: 'sqlite' | 'postgres';
  /** The query builder, loaded at the first query: its 300 modules would hold up every start. */
  db(): Promise<View<T>>;
  /**
   * Makes transactions of one name wait for each other until their ends. Those of SQLite do so anyway; those of
   * PostgreSQL may otherwise be committed in another order than their rows were numbered in.
   */
  inTurn(transaction: Transaction<T>, name: string): Promise<void>;
  /** Milliseconds by the clock that all towers over the store have in common. */
  now(): Promise<number>;
  bell: Bell;
  close(): Promise<void>;
};

/** The metric points. */
export type MetricStore = Store<MetricTables>;

/** Where the store is: a folder, or a PostgreSQL that has precedence over it. */
export type Place = { directory: string; databaseUrl?: string | undefined; connections?: number };

/**
 * Opens `tower.db` in a folder and makes it where it is missing, or the same tables in PostgreSQL, and brings them to the
 * current schema. A write that has returned survives SIGKILL and power cuts (WAL, synchronous=FULL; PostgreSQL's
 * synchronous_commit).
 * @throws TowerError `unavailable` with the place and the reason, `conflict` for a newer schema
 */
export const openStore = (place: Place): Promise<Store> => open<Tables>(place, 'tower.db');

/**
 * Opens `metrics.db` beside it. A write that has returned survives SIGKILL; a power cut may take the last seconds, never
 * the file (WAL, synchronous=NORMAL): sixteen times as many commits a second. PostgreSQL keeps them as it keeps the rest.
 * @throws TowerError as `openStore`
 */
export const openMetricStore = (place: Place): Promise<MetricStore> => open<MetricTables>(place, 'metrics.db');

async function open<T>(place: Place, part: 'tower.db' | 'metrics.db'): Promise<Store<T>> {
  if (place.databaseUrl === undefined) return openSqlite<T>(place.directory, part);
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres<T>(place.databaseUrl, part, place.connections ?? 5);
}
