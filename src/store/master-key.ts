import { hkdfSync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { conflict, TowerError } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import type { Store } from './store.ts';

/** Derives a 32-byte key per purpose: deterministic, and no key reveals another. */
export type DeriveKey = (purpose: string) => Buffer;

/**
 * The secret of the store: TOWER_SECRET_KEY, else the file `tower.key` in the data directory, created at the first start
 * and readable by its owner only. Webhook signing secrets and the audit chain depend on it: back it up, but apart from
 * the backups of `tower.db`.
 * @throws TowerError `unavailable` if the file cannot be read or created
 */
export function openMasterKey(directory: string, given: string | undefined): DeriveKey {
  const master = given === undefined ? keyFile(join(directory, 'tower.key'), directory) : Buffer.from(given);
  return (purpose) => Buffer.from(hkdfSync('sha256', master, 'control-tower', purpose, 32));
}

function keyFile(path: string, directory: string): Buffer {
  try {
    makeDirectory(directory);
    try {
      // Fails if the file exists, also when two instances start at once.
      writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
      chmodSync(path, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const key = readFileSync(path, 'utf8').trim();
    if (key.length < 32) throw new Error('the key is too short');
    return Buffer.from(key);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TowerError('unavailable', `cannot use ${path}: ${reason}`, { cause: error });
  }
}

/**
 * Checks that all instances over one database share one secret; with different ones, none could verify what another
 * signed.
 * @throws TowerError `conflict` if the store was created with another secret
 */
export async function requireSameKey(store: Store, deriveKey: DeriveKey): Promise<void> {
  const value = deriveKey('key check').toString('hex');
  const db = await store.db();
  await db
    .insertInto('key_check')
    .values({ id: 1, value })
    .onConflict((on) => on.doNothing())
    .execute();
  const first = await db.selectFrom('key_check').select('value').executeTakeFirstOrThrow();
  if (first.value !== value)
    throw conflict(
      'TOWER_SECRET_KEY differs from the key of this database; all instances of one database must use the same key',
    );
}
