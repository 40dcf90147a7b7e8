import type { ClientBase, ClientConfig, Pool, QueryArrayResult } from 'pg';
import { invalid, TowerError, unavailable } from '#kernel/errors.ts';
import { nextMigration, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import { listen, withTimeout } from './postgres-notifier.ts';
import type { Executor, Store, Transaction } from './store.ts';

type Pg = typeof import('pg');

/** Timeouts of connecting and of a statement. */
const connectMs = 5_000;
const statementMs = 15_000;
/** An instance that is suspended inside a transaction must not block others forever. */
const idleInTransactionMs = 30_000;
const oldestVersion = 15;

/**
 * Opens a part of the store in PostgreSQL and migrates it to the current schema.
 * @param url `postgres://user:password@host:port/database`
 * @param connections in the pool
 * @throws TowerError `unavailable` with host and reason, `conflict` for a newer schema or an unsuitable database
 */
export async function openPostgres<T>(
  url: string,
  part: Part,
  connections: number,
  { isPrepared = false }: { /** The tables exist: nothing is checked or migrated. */ isPrepared?: boolean } = {},
): Promise<Store<T>> {
  const pg = await import('pg');
  const config = configOf(pg, url);
  const pool = new pg.Pool({ ...config, max: connections, idleTimeoutMillis: 30_000 });
  // An idle connection that breaks needs no report: the pool connects again when needed.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  try {
    if (!isPrepared) await prepare(pool, part, addressOf(config));
  } catch (error) {
    await pool.end();
    throw error instanceof TowerError
      ? error
      : new TowerError('unavailable', `DATABASE_URL: cannot use ${addressOf(config)}: ${reasonOf(error)}`, {
          cause: error,
        });
  }
  const { Kysely, PostgresDialect, sql } = await import('kysely');
  const db: Executor<T> = new Kysely<T>({
    dialect: new PostgresDialect({ pool: explaining(pool, addressOf(config)) }),
  });
  const listening =
    part === 'tower.db' ? listen(pg, config, pool) : { notifier: createNotifier(), stop: async () => undefined };
  return {
    engine: 'postgres',
    db: async () => db,
    serialised: async (transaction: Transaction<T>, name: string) => {
      await sql`select pg_advisory_xact_lock(hashtext(${name}))`.execute(transaction);
    },
    now: async () => {
      const { rows } = await sql<{ now: number }>`select ${sql.raw(databaseNow)} as now`.execute(db);
      return rows[0]!.now;
    },
    notifier: listening.notifier,
    fault: () => null,
    close: async () => {
      await listening.stop();
      // A server that does not respond must not block shutdown.
      await withTimeout(connectMs, db.destroy()).catch(() => undefined);
    },
  };
}

/** Milliseconds by the database's clock. */
const databaseNow = '(extract(epoch from clock_timestamp()) * 1000)::bigint';

function configOf(pg: Pg, url: string): ClientConfig {
  return {
    connectionString: url,
    application_name: 'control-tower',
    connectionTimeoutMillis: connectMs,
    statement_timeout: statementMs,
    query_timeout: statementMs + connectMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: {
      // bigint, and sums of bigint.
      getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
        oid === 20 || oid === 1700 ? exactNumber : pg.types.getTypeParser(oid, format)) as Pg['types']['getTypeParser'],
    },
  };
}

/** @throws RangeError for an integer beyond a double's precision; the store has none that large */
function exactNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new RangeError(`${text} is too large a number`);
  return value;
}

/** Host and database, without credentials. */
const addressOf = ({ connectionString }: ClientConfig): string => {
  const { host, pathname } = new URL(connectionString ?? '');
  return `postgres://${host}${pathname}`;
};

/** Checks the database's settings and migrates the tables, in one transaction. */
async function prepare(pool: Pool, part: Part, address: string): Promise<void> {
  const client = await pool.connect();
  let broken = true;
  try {
    const { rows } = await client.query<{ version: string; encoding: string }>(
      "select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding",
    );
    const [{ version, encoding } = { version: '0', encoding: '' }] = rows;
    if (Number(version) < oldestVersion * 10_000)
      throw new TowerError('conflict', `${address} is older than PostgreSQL ${oldestVersion}`);
    if (encoding !== 'UTF8')
      throw new TowerError('conflict', `${address} has encoding ${encoding}; create a database with encoding 'UTF8'`);
    await migratePostgres(client, part, address);
    broken = false;
  } finally {
    client.release(broken);
  }
}

async function migratePostgres(client: ClientBase, part: Part, address: string): Promise<void> {
  await client.query('begin');
  // Several instances may start at the same time.
  await client.query("select pg_advisory_xact_lock(hashtext('control-tower schema'))");
  await client.query('create table if not exists schema_versions (part text primary key, version bigint not null)');
  const found = await client.query<{ version: number }>('select version from schema_versions where part = $1', [part]);
  let seen = found.rows[0]?.version ?? 0;
  for (;;) {
    const up = nextMigration(part, seen, `${address} has`, 'set another DATABASE_URL');
    if (!up) break;
    for (const statement of up.postgres) await client.query(statement);
    seen += 1;
  }
  await client.query(
    'insert into schema_versions values ($1, $2) on conflict (part) do update set version = excluded.version',
    [part, seen],
  );
  await client.query('commit');
}

/**
 * Inspects a part without changing it; reads every row of its tables, which finds unreadable pages.
 * @returns `schema` null if the part was never created
 * @throws TowerError `unavailable`
 */
export async function inspectPostgres(
  url: string,
  part: Part,
  tables: string[],
): Promise<{ schema: number | null; bytes: number }> {
  const pg = await import('pg');
  const config = configOf(pg, url);
  const client = new pg.Client({ ...config, query_timeout: undefined, statement_timeout: undefined });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ exists: boolean }>(
      "select to_regclass('schema_versions') is not null as exists",
    );
    const seen = rows[0]?.exists
      ? await client.query<{ version: number }>('select version from schema_versions where part = $1', [part])
      : null;
    const schema = seen?.rows[0]?.version ?? null;
    let bytes = 0;
    for (const table of schema === null ? [] : tables) {
      const size = await client.query<{ bytes: number | null; rows: string }>(
        // Casting a row to text reads all its columns.
        `select pg_total_relation_size(to_regclass($1)) as bytes, (select count(t::text) from ${table} t) as rows`,
        [table],
      );
      bytes += size.rows[0]?.bytes ?? 0;
    }
    return { schema, bytes };
  } catch (error) {
    throw unavailable(`cannot read ${addressOf(config)}: ${reasonOf(error)}`, error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The pool, with errors translated to TowerError. */
function explaining(pool: Pool, address: string) {
  const explained = async <R>(work: Promise<R>, isAlwaysUnavailable = false): Promise<R> => {
    try {
      return await work;
    } catch (error) {
      // NUL is the one character that PostgreSQL's text cannot hold, while SQLite's can.
      if ((error as { code?: unknown }).code === '22021') throw invalid('texts must not contain the character U+0000');
      if (!isAlwaysUnavailable && !isServerError(error)) throw error;
      throw unavailable(`${address} is unavailable: ${reasonOf(error)}`, error);
    }
  };
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await explained(pool.connect(), true);
      let isBroken = false;
      return {
        query: (text: unknown, parameters?: unknown) =>
          explained(
            (client.query(text as string, parameters as unknown[]) as unknown as Promise<QueryArrayResult>).catch(
              (error: unknown) => {
                // After an error that the server did not send, the statement may still be running: the connection is
                // not reused.
                isBroken ||= !isAnswer(error);
                throw error;
              },
            ),
          ) as never,
        release: (destroy?: boolean) => client.release(destroy || isBroken),
      };
    },
  };
}

/** SQLSTATE classes of server faults rather than faults of the statement (PostgreSQL, appendix A). */
const troubles = /^(08|53|57|58|XX|25006|40001|40P01|55P03)/;

const isServerError = (error: unknown): boolean => {
  if (error instanceof RangeError) return false;
  return !isAnswer(error) || troubles.test(String((error as { code?: unknown }).code));
};

/** Whether the server sent the error; any other error is about the connection. */
const isAnswer = (error: unknown): boolean => {
  const { code } = error as { code?: unknown };
  // A RangeError comes from our parser of the server's answer.
  return error instanceof RangeError || (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code));
};

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  // With several addresses, each has its own error and the message of the whole is empty.
  return message || code || String(error);
}
