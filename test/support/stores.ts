import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { inject } from 'vitest';
import { createNotifier } from '#store/notifier.ts';
import { openMetricStore, openStore } from '#store/open-store.ts';
import type { MetricStore, Place, Store } from '#store/store.ts';
import { whenTestIsOver } from './cleanup.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** PostgreSQL of the project `postgres`; undefined in the others, whose stores are embedded. */
    postgresUrl?: string;
  }
}

const server = inject('postgresUrl');

/** Whether this run uses PostgreSQL: tests of files are skipped then. */
export const onPostgres = server !== undefined;

const made = new Map<string, Promise<string>>();

/** URL of the database for this directory; undefined = the directory itself. Dropped after the test. */
export async function databaseOf(directory: string): Promise<string | undefined> {
  if (server === undefined) return undefined;
  const name = `t_${createHash('sha256').update(directory).digest('hex').slice(0, 20)}`;
  const url = new URL(server);
  url.pathname = `/${name}`;
  if (!made.has(name)) {
    made.set(name, asAdmin(`create database ${name}`));
    whenTestIsOver(async () => {
      made.delete(name);
      await asAdmin(`drop database ${name} with (force)`);
    });
  }
  await made.get(name);
  return url.href;
}

async function asAdmin(statement: string): Promise<string> {
  const client = new Client({ connectionString: server! });
  await client.connect();
  await client.query(statement);
  await client.end();
  return statement;
}

export const placeIn = async (directory: string): Promise<Place> => ({
  directory,
  databaseUrl: await databaseOf(directory),
  connections: 3,
});

/** The store of a directory with the engine of this run, opened at first use; closed after the test. */
export const storeIn = (directory: string): Store => opening(async () => openStore(await placeIn(directory)));
export const metricStoreIn = (directory: string): MetricStore =>
  opening(async () => openMetricStore(await placeIn(directory)));

function opening<T>(open: () => Promise<Store<T>>): Store<T> {
  let opened: Promise<Store<T>> | null = null;
  const get = () => (opened ??= open());
  let isClosed = false;
  const store: Store<T> = {
    engine: onPostgres ? 'postgres' : 'sqlite',
    db: async () => (await get()).db(),
    serialised: async (transaction, name) => (await get()).serialised(transaction, name),
    now: async () => (await get()).now(),
    notifier: createNotifier(),
    fault: () => null,
    close: async () => {
      if (!isClosed) await (await opened)?.close();
      isClosed = true;
    },
  };
  whenTestIsOver(() => store.close());
  return store;
}

/** Raw access to the tables of a directory. */
export async function openRawSql(directory: string, part = 'tower.db') {
  const url = await databaseOf(directory);
  if (url === undefined) {
    const file = new DatabaseSync(join(directory, part));
    whenTestIsOver(() => file.close());
    return async (sql: string): Promise<Record<string, unknown>[]> => file.prepare(sql).all();
  }
  const client = new Client({ connectionString: url });
  await client.connect();
  whenTestIsOver(() => client.end());
  return async (sql: string): Promise<Record<string, unknown>[]> => (await client.query(sql)).rows as never;
}
