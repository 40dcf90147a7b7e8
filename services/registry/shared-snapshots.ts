import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { unavailable } from '../../src/kernel/errors.ts';
import type { Store } from '../../src/store/store.ts';
import { decodeCache, encodeCache } from './cache-file.ts';
import type { RegistryRows } from './snapshot.ts';

/** What one tower read of the registry, for the others over the same store: they need not ask MLflow themselves. */
export type SharedSnapshots = {
  /** Leaves a read for the others, unless they have a later one. */
  publish(rows: RegistryRows, about: ReadAbout): Promise<void>;
  /**
   * What was left later than this tower's own read, from the same source; `rows` is null where they are this tower's.
   * A few models may have been read again since the whole was, so of one time what another left counts.
   * @throws `unavailable` for one that is damaged
   */
  newer(fingerprint: string, mine: Read | null): Promise<{ rows: RegistryRows | null; readAt: number } | null>;
};

type Read = { rows: RegistryRows; readAt: number };
export type ReadAbout = { fingerprint: string; source: string; readAt: number; rounds: number };

const [zip, unzip] = [promisify(gzip), promisify(gunzip)];

export function createSharedSnapshots(store: Store, registry: string): SharedSnapshots {
  /** The content this tower published or took last, by its name and as it is in memory. */
  let known: { content: string; rows: RegistryRows } | null = null;
  return {
    publish: async (rows, about) => {
      const { fingerprint, source, readAt: read_at } = about;
      const db = await store.db();
      if (known?.rows === rows && (await touch(store, registry, known.content, read_at))) return;
      const bytes: Uint8Array[] = [];
      for await (const chunk of encodeCache(rows, about)) bytes.push(chunk);
      // The head holds the time; what comes after it is the content.
      const content = createHash('sha256');
      for (const chunk of bytes.slice(1, -1)) content.update(chunk);
      known = { content: content.digest('hex'), rows };
      const body = await zip(Buffer.concat(bytes), { level: 1 });
      const row = { fingerprint, source, content: known.content, read_at, body };
      await db
        .insertInto('registry_snapshots')
        .values({ registry, ...row })
        .onConflict((on) =>
          on
            .column('registry')
            .doUpdateSet(row)
            .where((at) =>
              at.or([
                at('registry_snapshots.read_at', '<=', read_at),
                at('registry_snapshots.fingerprint', '!=', fingerprint),
              ]),
            ),
        )
        .execute();
      store.bell.ring('snapshots', registry);
    },
    newer: async (fingerprint, mine) => {
      const db = await store.db();
      const rows = db.selectFrom('registry_snapshots').where('registry', '=', registry);
      const head = await rows.select(['fingerprint', 'content', 'read_at']).executeTakeFirst();
      if (!head || head.fingerprint !== fingerprint || (mine && head.read_at < mine.readAt)) return null;
      if (mine && head.content === known?.content && known.rows === mine.rows)
        return head.read_at > mine.readAt ? { rows: null, readAt: head.read_at } : null;
      const row = await rows.select(['content', 'body']).executeTakeFirstOrThrow();
      const cache = decodeCache(await unzip(row.body), fingerprint);
      if (cache.status !== 'loaded')
        throw unavailable('what another tower has left of the registry is damaged; the next read replaces it');
      known = { content: row.content, rows: cache.rows };
      return { rows: cache.rows, readAt: cache.readAt };
    },
  };
}

/** Says that the content was read again and is the same. @returns false where it is not what is there */
async function touch(store: Store, registry: string, content: string, read_at: number): Promise<boolean> {
  const db = await store.db();
  const { numUpdatedRows } = await db
    .updateTable('registry_snapshots')
    .set({ read_at })
    .where('registry', '=', registry)
    .where('content', '=', content)
    .where('read_at', '<=', read_at)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  store.bell.ring('snapshots', registry);
  return true;
}
