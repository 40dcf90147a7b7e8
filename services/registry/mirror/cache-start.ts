import { unlink } from 'node:fs/promises';
import { unavailable } from '#kernel/errors.ts';
import { removeLeftovers, setAside } from '#kernel/files.ts';
import type { Log } from '#kernel/log.ts';
import type { RegistryRows } from '../snapshot/snapshot.ts';
import { loadCache } from './cache-file.ts';

/** The cache file's rows, if it is whole and ours; what is not is set aside, said, and not an obstacle. */
export async function takeCache(
  path: string,
  fingerprint: string,
  log: Log,
): Promise<{ rows: RegistryRows; readAt: number; rounds: number } | null> {
  await removeLeftovers(path);
  const cache = await loadCache(path, fingerprint);
  if (cache.status === 'loaded') return cache;
  if (cache.status === 'unusable') {
    const aside = await setAside(path, cache.reason);
    log.warn(
      { file: path, set_aside_as: aside },
      `the cache file is not used: ${cache.why}; the registry will be read afresh`,
    );
  }
  return null;
}

/** @returns whether there was a file. @throws `unavailable` where it cannot be removed */
export async function removeCacheFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    throw unavailable(`the cache file cannot be removed (${code})`, error);
  }
}
