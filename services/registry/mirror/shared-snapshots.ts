import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Log } from '#kernel/log.ts';
import type { Store } from '#store/store.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';
import { decodeCache, encodeCache } from './cache-file.ts';

/** What is shared of the registry, but for its rows. `named`: models read again by name since the whole was read, and when. */
export type Head = { revision: number; readAt: number; named: ReadonlyMap<string, number> };

/** The registry as the towers over one store read it: each change of it is a revision, so that nobody goes back in time. */
export type SharedSnapshots = {
  /** What is there of this source; null where there is nothing. */
  head(fingerprint: string): Promise<Head | null>;
  /** The rows of what is there, and which revision that is. `mine`: this tower's rows, given back where they are the same. */
  take(fingerprint: string, mine: RegistryRows | null): Promise<{ rows: RegistryRows; head: Head } | null>;
  /** Leaves rows as the next revision. @returns its number; null where another tower was faster than `after` */
  put(
    rows: RegistryRows,
    about: About,
    named: ReadonlyMap<string, number>,
    after: number | null,
  ): Promise<number | null>;
};

type About = { fingerprint: string; source: string; readAt: number; rounds: number };

const [zip, unzip] = [promisify(gzip), promisify(gunzip)];

export function createSharedSnapshots(store: Store, registry: string, log: Log): SharedSnapshots {
  /** The content this tower left or took last, by its name and as it is in memory. */
  let known: { content: string; rows: RegistryRows } | null = null;
  const found = finder(store, registry, log);
  return {
    head: async (fingerprint) => {
      const row = await found(fingerprint);
      return row && headOf(row);
    },
    take: async (fingerprint, mine) => {
      const row = await found(fingerprint);
      if (!row) return null;
      if (mine && known?.rows === mine && known.content === row.content) return { rows: mine, head: headOf(row) };
      const db = await store.db();
      // Whole in one statement: it may be a later revision by now.
      const whole = await db
        .selectFrom('registry_snapshots')
        .select(['revision', 'content', 'named', 'read_at', 'body'])
        .where('registry', '=', registry)
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      if (!whole) return null;
      const cache = await decodeCache(await unzip(whole.body), fingerprint);
      // Of another version of this program, perhaps: the next read of a tower replaces it.
      if (cache.status !== 'loaded') return null;
      known = { content: whole.content, rows: cache.rows };
      return { rows: cache.rows, head: headOf(whole) };
    },
    put: async (rows, about, named, after) => {
      const isSame = known?.rows === rows;
      const made = isSame ? null : await encoded(rows, about);
      const content = made?.content ?? known?.content ?? '';
      const revision = await write(store, registry, about, named, after, content, made?.body ?? null);
      if (revision === null) {
        // What is there may be other bytes for the same: then all of it is written.
        if (isSame) known = null;
        return null;
      }
      known = { content, rows };
      store.notifier.notify('snapshots', registry);
      return revision;
    },
  };
}

/** Finds what is there of a source, without its rows. */
function finder(store: Store, registry: string, log: Log) {
  let isWarned = false;
  return async (fingerprint: string) => {
    const db = await store.db();
    const row = await db
      .selectFrom('registry_snapshots')
      .select(['fingerprint', 'source', 'revision', 'content', 'named', 'read_at'])
      .where('registry', '=', registry)
      .executeTakeFirst();
    if (!row || row.fingerprint === fingerprint) return row ?? null;
    const text = 'another tower over this store reads the registry from another source; all should read the same';
    if (!isWarned) log.warn({ registry, theirs: row.source }, text);
    isWarned = true;
    return null;
  };
}

const headOf = (row: { revision: number; read_at: number; named: string }): Head => ({
  revision: row.revision,
  readAt: row.read_at,
  named: new Map(JSON.parse(row.named) as [string, number][]),
});

async function encoded(rows: RegistryRows, about: About): Promise<{ content: string; body: Buffer }> {
  const bytes: Uint8Array[] = [];
  for await (const chunk of encodeCache(rows, about)) bytes.push(chunk);
  // The head holds the time; what comes after it is the content.
  const content = createHash('sha256');
  for (const chunk of bytes.slice(1, -1)) content.update(chunk);
  return { content: content.digest('hex'), body: await zip(Buffer.concat(bytes), { level: 1 }) };
}

/** `body`: null where it is what is there already. */
async function write(
  store: Store,
  registry: string,
  { fingerprint, source, readAt }: About,
  named: ReadonlyMap<string, number>,
  after: number | null,
  content: string,
  body: Uint8Array | null,
): Promise<number | null> {
  const db = await store.db();
  const row = { fingerprint, source, content, named: JSON.stringify([...named]), read_at: readAt };
  if (after === null) {
    if (body === null) return null;
    // The first of this source: another source's takes its place.
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('registry_snapshots')
      .values({ registry, ...row, body, revision: 1 })
      .onConflict((on) =>
        on
          .column('registry')
          .doUpdateSet((at) => ({ ...row, body, revision: at('registry_snapshots.revision', '+', 1) }))
          .where('registry_snapshots.fingerprint', '!=', fingerprint),
      )
      .executeTakeFirstOrThrow();
    if (!numInsertedOrUpdatedRows) return null;
    const now = db.selectFrom('registry_snapshots').select('revision').where('registry', '=', registry);
    return (await now.executeTakeFirstOrThrow()).revision;
  }
  const update = db
    .updateTable('registry_snapshots')
    .set({ ...row, ...(body === null ? {} : { body }), revision: after + 1 })
    .where('registry', '=', registry)
    .where('fingerprint', '=', fingerprint)
    .where('revision', '=', after);
  const { numUpdatedRows } = await (body === null ? update.where('content', '=', content) : update).executeTakeFirst();
  return numUpdatedRows === 1n ? after + 1 : null;
}
