import type { Kysely, Transaction as KyselyTransaction } from 'kysely';
import type { MetricTables } from './metric-tables.ts';
import type { Notifier } from './notifier.ts';
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
  notifier: Notifier;
  close(): Promise<void>;
};

/** The metric points. */
export type MetricStore = Store<MetricTables>;

/** Where the store is: a folder, or a PostgreSQL that has precedence over it. */
export type Place = { directory: string; databaseUrl?: string | undefined; connections?: number };
