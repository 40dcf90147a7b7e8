import { closeSync, constants, copyFileSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/**
 * Opens an MLflow store so that nothing is created beside it. A reader of a store in WAL mode needs the files `-wal` and
 * `-shm`, and creates them as its own user, after which MLflow may be unable to write. Such a store is read as it is while
 * its `-wal` is empty (`immutable`, without locks: what changes meanwhile is noticed and read again), else from a private
 * copy, which lasts as long as it is open.
 */
export type StoreFile = {
  file: DatabaseSync;
  /** Whether everything read so far is of one state. */
  isUnchanged(): boolean;
  close(): void;
};

/** @param attempt - 0 for the first; from the second on, a store in WAL mode is copied */
export function openStoreFile(path: string, attempt: number): StoreFile {
  if (!isWal(path)) return openRollback(path);
  return attempt === 0 && walBytes(path) === 0 ? openImmutable(path) : openCopy(path);
}

/** The file format's write version (bytes 18 and 19 of the header) is 2 in WAL mode. */
function isWal(path: string): boolean {
  const header = Buffer.alloc(20);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    // SQLite's error is more precise.
    return false;
  }
  try {
    return readSync(file, header, 0, 20, 0) === 20 && header[18] === 2;
  } finally {
    closeSync(file);
  }
}

/** Shared locks keep writers away while a statement reads. */
function openRollback(path: string): StoreFile {
  const file = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  const dataVersion = () => file.prepare('pragma data_version').get()?.['data_version'];
  const before = dataVersion();
  return { file, isUnchanged: () => dataVersion() === before, close: () => file.close() };
}

function openImmutable(path: string): StoreFile {
  const before = stampOf(path);
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  const file = new DatabaseSync(url, { readOnly: true });
  return {
    file,
    isUnchanged: () => before.isSettled && stampOf(path).text === before.text && walBytes(path) === 0,
    close: () => file.close(),
  };
}

/** Copies of a store that changes meanwhile are discarded. */
const maxCopies = 20;

function openCopy(path: string): StoreFile {
  const directory = mkdtempSync(join(tmpdir(), 'tower-store-'));
  try {
    const copy = join(directory, 'store.db');
    for (let attempt = 1; !tryCopy(path, copy); attempt += 1) {
      if (attempt === maxCopies) throw new Error('it changes constantly');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
    const file = new DatabaseSync(copy, { readOnly: true });
    const close = () => {
      file.close();
      rmSync(directory, { recursive: true, force: true });
    };
    return { file, isUnchanged: () => true, close };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The main file changes only when a checkpoint moves the log into it, and the log is only appended to until then: a
 * copy of both is consistent if the main file did not change meanwhile.
 */
function tryCopy(path: string, copy: string): boolean {
  const before = stampOf(path);
  if (!before.isSettled) return false;
  copyFileSync(path, copy, constants.COPYFILE_FICLONE);
  if (walBytes(path) > 0) copyFileSync(`${path}-wal`, `${copy}-wal`, constants.COPYFILE_FICLONE);
  else rmSync(`${copy}-wal`, { force: true });
  return stampOf(path).text === before.text;
}

/** Times of files are coarse: a file that was just written may change again without another time. */
const settledMs = 50;

function stampOf(path: string): { text: string; isSettled: boolean } {
  const { ino, size, mtimeMs } = statSync(path);
  return { text: `${ino}:${size}:${mtimeMs}`, isSettled: Math.abs(Date.now() - mtimeMs) > settledMs };
}

const walBytes = (path: string): number => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
