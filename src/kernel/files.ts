import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { invalid } from './errors.ts';

/**
 * Writes a file whole or not at all: temporary file beside it, fsync, rename, fsync of the folder.
 * A reader (or a process that starts after a SIGKILL or a power cut) sees the old file or the new one.
 */
export function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  // One at a time: two would write into one temporary file.
  const done = (writing.get(path) ?? Promise.resolve()).catch(() => undefined).then(() => writeOne(path, chunks));
  writing.set(path, done);
  return done.finally(() => {
    if (writing.get(path) === done) writing.delete(path);
  });
}

const writing = new Map<string, Promise<void>>();

async function writeOne(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  makeFolder(dirname(path));
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
  await syncFolder(dirname(path));
}

/** The same for a text. */
export const writeText = (path: string, text: string): Promise<void> =>
  writeAtomically(
    path,
    (async function* () {
      yield Buffer.from(text);
    })(),
  );

/**
 * Makes a folder and those above it, one at a time: Node's own recursive way never comes back where the parent
 * exists but takes no folders (as under /proc).
 */
export function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been faster.
    if (!existsSync(path)) throw error;
  }
}

// Host and process id: a restarted container has the same two and overwrites its own leftover,
// while two towers that share a folder never write into one temporary file.
const temporaryOwner = `${hostname().replaceAll(/[^\w-]/g, '_')}-${process.pid}`;

/** Removes temporary files that a killed process of this host left beside `path`. */
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

/** Moves a file that cannot be used out of the way, under a name that says why; null if it was not there. */
export async function setAside(path: string, reason: string): Promise<string | null> {
  const aside = `${path}.${reason}`;
  try {
    await rename(path, aside);
    return aside;
  } catch {
    return null;
  }
}

/** Size in bytes and time of last change, or null where there is no file. */
export async function fileFacts(path: string): Promise<{ bytes: number; modifiedAt: number } | null> {
  const facts = await stat(path).catch(() => null);
  return facts ? { bytes: facts.size, modifiedAt: facts.mtimeMs } : null;
}

async function syncFolder(path: string): Promise<void> {
  // Some file systems refuse to open a folder; the rename itself is still atomic there.
  const folder = await open(path, 'r').catch(() => null);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
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

/** The text of the file a setting names; undefined where it names none. @throws TowerError `invalid` */
export function readNamedFile(setting: string, path: string | undefined): string | undefined {
  if (!path) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(`${setting}: the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, {
      parameter: setting,
    });
  }
}
