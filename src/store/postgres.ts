import type { ClientBase, ClientConfig, Pool, QueryArrayResult } from 'pg';
import { invalid, TowerError, unavailable } from '#kernel/errors.ts';
import { nextMigration, type Part } from './migrate.ts';
import { createNotifier } from './notifier.ts';
import { listen, within } from './postgres-notifier.ts';
import type { Store, Transaction, View } from './store.ts';

type Pg = typeof import('pg');

/** How long a connection may take to come about, and a statement to be answered. */
const connectMs = 5_000;
const statementMs = 15_000;
/** A tower that stands still in the middle of a transaction must not hold up the others for ever. */
const idleInTransactionMs = 30_000;
const oldestVersion = 15;

/**
 * Opens a part of the store in PostgreSQL and brings it to the current schema.
 * @param url `postgres://user:password@host:port/database`
 * @param connections that are used at once
 * @throws TowerError `unavailable` with host and reason, `conflict` for a newer schema or a database that does not fit
 */
export async function openPostgres<T>(url: string, part: Part, connections: number): Promise<Store<T>> {
  const pg = await import('pg');
  const config = configOf(pg, url);
  const pool = new pg.Pool({ ...config, max: connections, idleTimeoutMillis: 30_000 });
  // A connection that breaks while nobody uses it is no news: the next one is made when it is needed.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  try {
    await prepare(pool, part, addressOf(config));
  } catch (error) {
    await pool.end();
    throw error instanceof TowerError
      ? error
      : new TowerError('unavailable', `DATABASE_URL: ${addressOf(config)} cannot be used: ${reasonOf(error)}`, {
          cause: error,
        });
  }
  const { Kysely, PostgresDialect, sql } = await import('kysely');
  const db: View<T> = new Kysely<T>({ dialect: new PostgresDialect({ pool: explaining(pool, addressOf(config)) }) });
  const listening =
    part === 'tower.db' ? listen(pg, config, pool) : { notifier: createNotifier(), stop: async () => undefined };
  return {
    engine: 'postgres',
    db: async () => db,
    inTurn: async (transaction: Transaction<T>, name: string) => {
      await sql`select pg_advisory_xact_lock(hashtext(${name}))`.execute(transaction);
    },
    now: async () => {
      const { rows } = await sql<{ now: number }>`select ${sql.raw(databaseNow)} as now`.execute(db);
      return rows[0]!.now;
    },
    notifier: listening.notifier,
    close: async () => {
      await listening.stop();
      // A server that does not answer must not hold up the end.
      await within(connectMs, db.destroy()).catch(() => undefined);
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
      // Whole numbers of 64 bits, and sums of them.
      getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
        oid === 20 || oid === 1700 ? exactNumber : pg.types.getTypeParser(oid, format)) as Pg['types']['getTypeParser'],
    },
  };
}

/** @throws RangeError for what a double cannot hold; nothing of ours is that large */
function exactNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new RangeError(`${text} is too large a number`);
  return value;
}

/** Host and database, without who comes and by which password. */
const addressOf = ({ connectionString }: ClientConfig): string => {
  const { host, pathname } = new URL(connectionString ?? '');
  return `postgres://${host}${pathname}`;
};

/** Checks what the database is and brings the tables to this program's schema, in one transaction. */
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
      throw new TowerError('conflict', `${address} holds texts as ${encoding}; make a database with encoding 'UTF8'`);
    await migratePostgres(client, part, address);
    broken = false;
  } finally {
    client.release(broken);
  }
}

async function migratePostgres(client: ClientBase, part: Part, address: string): Promise<void> {
  await client.query('begin');
  // Several towers may start at the same moment.
  await client.query("select pg_advisory_xact_lock(hashtext('control-tower schema'))");
  await client.query('create table if not exists schema_versions (part text primary key, version bigint not null)');
  const found = await client.query<{ version: number }>('select version from schema_versions where part = $1', [part]);
  let seen = found.rows[0]?.version ?? 0;
  for (;;) {
    const up = nextMigration(part, seen, `${address} has`, 'name another database');
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
 * What is there of a part, without changing it; every row of its tables is read, which finds pages that cannot be.
 * @returns `schema` null where the part was never made
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
    const { rows } = await client.query<{ there: boolean }>(
      "select to_regclass('schema_versions') is not null as there",
    );
    const seen = rows[0]?.there
      ? await client.query<{ version: number }>('select version from schema_versions where part = $1', [part])
      : null;
    const schema = seen?.rows[0]?.version ?? null;
    let bytes = 0;
    for (const table of schema === null ? [] : tables) {
      const size = await client.query<{ bytes: number | null; rows: string }>(
        // The text of a row needs all of it.
        `select pg_total_relation_size(to_regclass($1)) as bytes, (select count(t::text) from ${table} t) as rows`,
        [table],
      );
      bytes += size.rows[0]?.bytes ?? 0;
    }
    return { schema, bytes };
  } catch (error) {
    throw unavailable(`${addressOf(config)} cannot be read: ${reasonOf(error)}`, error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The pool, but for the words of its errors. */
function explaining(pool: Pool, address: string) {
  const said = async <R>(work: Promise<R>, isTroubleAnyway = false): Promise<R> => {
    try {
      return await work;
    } catch (error) {
      // The one character its texts cannot hold; SQLite's can.
      if ((error as { code?: unknown }).code === '22021') throw invalid('a text must not hold the character U+0000');
      if (!isTroubleAnyway && !isTrouble(error)) throw error;
      throw unavailable(`${address} cannot be used now: ${reasonOf(error)}`, error);
    }
  };
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      const client = await said(pool.connect(), true);
      let isBroken = false;
      return {
        query: (text: unknown, parameters?: unknown) =>
          said(
            (client.query(text as string, parameters as unknown[]) as unknown as Promise<QueryArrayResult>).catch(
              (error: unknown) => {
                // What is not the server's own word may still be under way there: nobody else gets this connection.
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

/** Classes of SQLSTATE that tell of the server, not of what was asked (PostgreSQL, appendix A). */
const troubles = /^(08|53|57|58|XX|25006|40001|40P01|55P03)/;

const isTrouble = (error: unknown): boolean => {
  if (error instanceof RangeError) return false;
  return !isAnswer(error) || troubles.test(String((error as { code?: unknown }).code));
};

/** Whether the server said so itself; anything else is about the connection. */
const isAnswer = (error: unknown): boolean => {
  const { code } = error as { code?: unknown };
  // A RangeError is ours, of what the server has answered.
  return error instanceof RangeError || (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code));
};

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  // Of several addresses tried, each with its own error, none stands in the message.
  return message || code || String(error);
}
