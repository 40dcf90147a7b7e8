import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { Log } from '#kernel/log.ts';
import type { Store } from '#store/store.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';
import { decodeCache, encodeCache } from './cache-file.ts';

/** Metadata of the shared snapshot. `named`: models reread by name since the full read, with the time. */
export type Head = { revision: number; readAt: number; named: ReadonlyMap<string, number> };

/**
 * The registry as shared by the instances over one store: each change is a revision, so that no instance goes back to
 * an older one.
 */
export type SharedSnapshots = {
  /** The current metadata for this source; null if there is none. */
  head(fingerprint: string): Promise<Head | null>;
  /** The current rows and their revision. `ownRows`: this instance's rows, returned if they are identical. */
  read(fingerprint: string, ownRows: RegistryRows | null): Promise<{ rows: RegistryRows; head: Head } | null>;
  /** Stores rows as the next revision. @returns its number; null if another instance stored one after `after` first */
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
  /** The content this instance stored or read last, by hash. */
  let known: { content: string; rows: RegistryRows } | null = null;
  const found = finder(store, registry, log);
  return {
    head: async (fingerprint) => {
      const row = await found(fingerprint);
      return row && headOf(row);
    },
    read: async (fingerprint, ownRows) => {
      const row = await found(fingerprint);
      if (!row) return null;
      if (ownRows && known?.rows === ownRows && known.content === row.content)
        return { rows: ownRows, head: headOf(row) };
      const db = await store.db();
      // One statement, for a consistent row: it may be a later revision by now.
      const whole = await db
        .selectFrom('registry_snapshots')
        .select(['revision', 'content', 'named', 'read_at', 'body'])
        .where('registry', '=', registry)
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      if (!whole) return null;
      const cache = await decodeCache(await unzip(whole.body), fingerprint);
      // Perhaps from another version of the program: the next read of any instance replaces it.
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
        // The stored bytes may differ for equal content: then all of it is written.
        if (isSame) known = null;
        return null;
      }
      known = { content, rows };
      store.notifier.notify('snapshots', registry);
      return revision;
    },
  };
}

/** Metadata of the shared snapshot of a source, without its rows. */
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
    const text = 'another instance of this store has another MLFLOW_TRACKING_URI; set the same one for all instances';
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
  // The header has the time; the content follows it.
  const content = createHash('sha256');
  for (const chunk of bytes.slice(1, -1)) content.update(chunk);
  return { content: content.digest('hex'), body: await zip(Buffer.concat(bytes), { level: 1 }) };
}

/** `body`: null if the stored content is unchanged. */
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
    // The first snapshot of this source replaces that of another source.
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
