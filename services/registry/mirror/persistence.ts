import { unlink } from 'node:fs/promises';
import { unavailable } from '#kernel/errors.ts';
import { fileFacts, quarantine, removeLeftovers } from '#kernel/files.ts';
import type { Log } from '#kernel/log.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';
import { loadCache, saveCache } from './cache-file.ts';
import type { MirrorState } from './mirror-state.ts';

/** The mirror's cache file: loaded at start, saved after each full read. */
export type Persistence = ReturnType<typeof createPersistence>;

/**
 * @param path - null: no cache file
 */
export function createPersistence(path: string | null, state: MirrorState, log: Log) {
  let lastError: string | null = null;
  state.subscribe(async (swap) => {
    if (path === null || swap.origin === 'sample' || (swap.cause !== 'read' && swap.cause !== 'shared')) return;
    const { fingerprint, label } = swap.source;
    const { rows, readAt } = swap.snapshot;
    try {
      await saveCache(path, rows, { fingerprint, source: label, readAt, rounds: state.rounds() });
      lastError = null;
    } catch (error) {
      lastError = error instanceof Error ? error.message : String(error);
      log.warn({ err: error, file: path }, 'failed to write the cache file');
    }
  });
  return {
    /** The file's rows, if it is intact and of this source. Otherwise the file is renamed and the reason logged. */
    load: async (fingerprint: string): Promise<{ rows: RegistryRows; readAt: number; rounds: number } | null> => {
      if (path === null) return null;
      await removeLeftovers(path);
      const cache = await loadCache(path, fingerprint);
      if (cache.status === 'loaded') return cache;
      if (cache.status === 'unusable') {
        const aside = await quarantine(path, cache.reason);
        log.warn({ file: path, set_aside_as: aside }, `ignoring the cache file: ${cache.why}`);
      }
      return null;
    },
    lastError: () => lastError,
    facts: async () => (path === null ? null : fileFacts(path)),
    /** @returns whether there was a file. @throws `unavailable` if it cannot be deleted */
    remove: async (): Promise<boolean> => {
      if (path === null) return false;
      try {
        await unlink(path);
        return true;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT') return false;
        throw unavailable(`cannot delete the cache file (${code})`, error);
      }
    },
  };
}
