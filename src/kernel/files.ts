import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { invalid, unavailable } from './errors.ts';

/**
 * Writes a file atomically: temporary file in the same directory, fsync, rename, fsync of the directory. A reader (also after
 * a SIGKILL or a power cut) sees either the old file or the new one.
 */
export function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  // Serialized: concurrent writes would share one temporary file.
  const done = (writing.get(path) ?? Promise.resolve()).catch(() => undefined).then(() => writeOne(path, chunks));
  writing.set(path, done);
  return done.finally(() => {
    if (writing.get(path) === done) writing.delete(path);
  });
}

const writing = new Map<string, Promise<void>>();

async function writeOne(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  makeDirectory(dirname(path));
  const temporary = `${path}.${temporaryOwner}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    for await (const chunk of chunks) {
      await file.writeFile(chunk);
    }
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** As `writeAtomically`, for text. */
export const writeText = (path: string, text: string): Promise<void> =>
  writeAtomically(
    path,
    (async function* () {
      yield Buffer.from(text);
    })(),
  );

/**
 * Creates a directory and its parents, one at a time: Node's recursive mkdir never returns if the parent exists but
 * accepts no directories (as under /proc).
 */
export function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have created it.
    if (!existsSync(path)) throw error;
  }
}

// Host and process id: a restarted container has the same two and overwrites its own leftover, while two instances that
// share a directory never write into one temporary file.
const temporaryOwner = `${hostname().replaceAll(/[^\w-]/g, '_')}-${process.pid}`;

/** Removes temporary files that a killed process on this host left beside `path`. */
export async function removeLeftovers(path: string): Promise<void> {
  const [host] = temporaryOwner.split(/-(?=\d+$)/);
  const names = await readdir(dirname(path)).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith('.tmp')) continue;
    const owner = /\.([\w-]+)-(\d+)\.tmp$/.exec(name);
    if (owner && owner[1] === host && !isAlive(Number(owner[2]))) {
      await unlink(join(dirname(path), name)).catch(() => undefined);
    }
  }
}

/** Renames an unusable file to a name that says why; null if there was none. */
export async function quarantine(path: string, reason: string): Promise<string | null> {
  const aside = `${path}.${reason}`;
  try {
    await rename(path, aside);
    return aside;
  } catch {
    return null;
  }
}

/** Names in a directory; none if it does not exist. @throws TowerError `unavailable` if it cannot be read */
export const namesIn = (path: string): Promise<string[]> =>
  readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw unreadable(path, error);
  });

/** The text of a file; null if it does not exist. @throws TowerError `unavailable` if it cannot be read */
export const readIfPresent = (path: string): Promise<string | null> =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw unreadable(path, error);
  });

const unreadable = (path: string, error: NodeJS.ErrnoException) =>
  unavailable(`cannot read ${path} (${error.code ?? error.message})`, error);

/** Size in bytes and time of the last change; null if there is no file. */
export async function fileFacts(path: string): Promise<{ bytes: number; modifiedAt: number } | null> {
  const facts = await stat(path).catch(() => null);
  return facts ? { bytes: facts.size, modifiedAt: facts.mtimeMs } : null;
}

async function syncDirectory(path: string): Promise<void> {
  // Some file systems refuse to open a directory; the rename is still atomic there.
  const directory = await open(path, 'r').catch(() => null);
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The text of the file that a setting names; undefined if the setting is empty. @throws TowerError `invalid` */
export function readNamedFile(setting: string, path: string | undefined): string | undefined {
  if (!path) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`${setting}: cannot read ${path} (${(error as NodeJS.ErrnoException).code})`, {
      parameter: setting,
    });
  }
}
