import { hkdfSync, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { conflict, TowerError } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import type { Executor, Store, Transaction } from './store.ts';

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
    if (key.length < 32) throw new Error('the key is shorter than 32 characters; restore the file from your backup');
    return Buffer.from(key);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TowerError('unavailable', `cannot use ${path}: ${reason}`, { cause: error });
  }
}

/**
 * Opens the key of a store. The store knows a check value of its key: another key, or none, is refused, since with it no
 * signature could be verified.
 * @throws TowerError `conflict` for a lost or another key, `unavailable` if the file cannot be read or created
 */
export async function openKeyOf(store: Store, directory: string, given: string | undefined): Promise<DeriveKey> {
  const known = await storedCheck(store);
  if (given === undefined) {
    finishRotation(directory, known);
    const path = join(directory, 'tower.key');
    if (!existsSync(path) && (known !== null || (await hasAuditLog(store))))
      throw conflict(
        `${path} is missing: restore it from your backup, or set TOWER_SECRET_KEY. If it is lost for ever, "tower store rotate-key --lost" makes a new one`,
        { parameter: 'TOWER_SECRET_KEY' },
      );
  }
  const deriveKey = openMasterKey(directory, given);
  const value = checkOf(deriveKey);
  // Another instance may write its own first.
  if (known === null) await writeCheck(await store.db(), value, 'keep');
  if ((known ?? (await storedCheck(store))) !== value)
    throw conflict(
      `${given === undefined ? join(directory, 'tower.key') : 'TOWER_SECRET_KEY'} is not the key of this store: restore the one of the time of the store’s backup; all instances of one database use the same`,
      { parameter: 'TOWER_SECRET_KEY' },
    );
  return deriveKey;
}

/** Tells whether two keys are the same, without revealing them. */
const checkOf = (deriveKey: DeriveKey): string => deriveKey('key check').toString('hex');

const storedCheck = async (store: Store): Promise<string | null> => checkIn(await store.db());

async function checkIn(db: Executor): Promise<string | null> {
  const row = await db.selectFrom('key_check').select('value').executeTakeFirst();
  return row?.value ?? null;
}

/** @throws TowerError `conflict` if the key was replaced since it was opened */
export async function requireKeyOf(transaction: Transaction, deriveKey: DeriveKey): Promise<void> {
  const known = await checkIn(transaction);
  if (known !== null && known !== checkOf(deriveKey))
    throw conflict('the secret key of this store was replaced meanwhile; nothing was changed: try again');
}

const hasAuditLog = async (store: Store): Promise<boolean> =>
  (await (await store.db()).selectFrom('audit').select('seq').limit(1).executeTakeFirst()) !== undefined;

async function writeCheck(db: Executor, value: string, existing: 'keep' | 'replace'): Promise<void> {
  await db
    .insertInto('key_check')
    .values({ id: 1, value })
    .onConflict((on) => (existing === 'keep' ? on.doNothing() : on.column('id').doUpdateSet({ value })))
    .execute();
}

const nextKeyFile = (directory: string): string => join(directory, 'tower.key.new');

/** A new key for `commitKey`, in a file beside the current one until the store is signed with it. */
export function prepareKey(directory: string): { text: string; deriveKey: DeriveKey } {
  const text = randomBytes(32).toString('base64url');
  makeDirectory(directory);
  writeFileSync(nextKeyFile(directory), `${text}\n`, { mode: 0o600, flush: true });
  syncDirectory(directory);
  return { text, deriveKey: openMasterKey(directory, text) };
}

/** Makes a prepared key that of the store, in the transaction that signs the store with it. */
export const commitKey = (transaction: Transaction, deriveKey: DeriveKey): Promise<void> =>
  writeCheck(transaction, checkOf(deriveKey), 'replace');

/** Replaces `tower.key` by the prepared key if the store is signed with that, also after a crash. */
export function finishRotation(directory: string, known: string | null): void {
  const path = nextKeyFile(directory);
  if (!existsSync(path)) return;
  const isCommitted = checkOf(openMasterKey(directory, readFileSync(path, 'utf8').trim())) === known;
  // Another command may run while a rotation is not committed yet.
  if (!isCommitted) return;
  renameSync(path, join(directory, 'tower.key'));
  syncDirectory(directory);
}

/** Drops a prepared key, which is not kept in a file. */
export const dropPrepared = (directory: string): void => rmSync(nextKeyFile(directory), { force: true });

/** Makes the names of new files survive a power cut. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
