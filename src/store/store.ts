import type { Kysely, Transaction as KyselyTransaction } from 'kysely';
import type { MetricTables } from './metric-tables.ts';
import type { Notifier } from './notifier.ts';
import type { Tables } from './tables.ts';

/** A transaction: atomic and isolated from other statements. */
export type Transaction<T = Tables> = KyselyTransaction<T>;

/** The database or a transaction, which executes statements. */
export type Executor<T = Tables> = Kysely<T>;

/** The database of everything that cannot be rebuilt. */
export type Store<T = Tables> = {
  /** `sqlite`: embedded, for one machine; `postgres`: may be shared by several instances. */
  engine: 'sqlite' | 'postgres';
  /** The query builder, loaded at the first query: its 300 modules would delay every start. */
  db(): Promise<Executor<T>>;
  /**
   * Serializes transactions of one name until they commit. SQLite always does; in PostgreSQL, transactions may
   * otherwise commit in another order than their rows are numbered.
   */
  serialised(transaction: Transaction<T>, name: string): Promise<void>;
  /** Milliseconds by the clock that all instances over this store share. */
  now(): Promise<number>;
  notifier: Notifier;
  /** Why the files could not be used the last time: a full disk, damage; null if they could, and for PostgreSQL. */
  fault(): string | null;
  close(): Promise<void>;
};

/** The store of metric points. */
export type MetricStore = Store<MetricTables>;

/** Location of the store: a directory, or a PostgreSQL that takes precedence over it. */
export type Place = { directory: string; databaseUrl?: string | undefined; connections?: number };
