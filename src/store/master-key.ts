import { hkdfSync, randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { conflict, TowerError } from '#kernel/errors.ts';
import { makeFolder } from '#kernel/files.ts';
import type { Store } from './store.ts';

/** Gives a key of 32 bytes for a purpose; the same one each time, and none of them tells anything of another. */
export type DeriveKey = (purpose: string) => Buffer;

/**
 * The tower's own secret: TOWER_SECRET_KEY, else a file `tower.key` in the data folder that is made at the first
 * start and that only its owner can read. Signing secrets and the audit chain hang on it: keep it with the backups
 * of `tower.db`, apart from them.
 * @throws TowerError `unavailable` where the file cannot be read or made
 */
export function openMasterKey(directory: string, given: string | undefined): DeriveKey {
  const master = given === undefined ? keyFile(join(directory, 'tower.key'), directory) : Buffer.from(given);
  return (purpose) => Buffer.from(hkdfSync('sha256', master, 'control-tower', purpose, 32));
}

function keyFile(path: string, directory: string): Buffer {
  try {
    makeFolder(directory);
    try {
      // Fails where the file is there already, also when two towers start at once.
      writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
      chmodSync(path, 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const key = readFileSync(path, 'utf8').trim();
    if (key.length < 32) throw new Error('it is too short to be a key');
    return Buffer.from(key);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TowerError('unavailable', `${path} cannot be used: ${reason}`, { cause: error });
  }
}

/**
 * All towers over one database must sign with one secret, or none could check what another has signed.
 * @throws TowerError `conflict` where the store was begun with another one
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
      'TOWER_SECRET_KEY is not the one this database was begun with; all towers over it must have the same',
    );
}
