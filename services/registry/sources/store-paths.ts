import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';

/** Reads files and directories below a root, which others may write to. */

/** Maximum size of a file: metrics have one line per value, everything else is shorter. */
const maxBytes = 64 * 1024 * 1024;
/** A FIFO blocks a read until it is written to; it is opened without waiting, and then refused. */
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** `known`: the path without links, if the entry is none. */
type Entry = { name: string; path: string; known: string | null; isDirectory: boolean };

/**
 * Symbolic links are followed, but only within the root and the `linkRoots`: users who may write below the root must not
 * read other files of the server. Every method throws TowerError `unavailable`, with the path, for what exists and cannot
 * be read.
 */
export function createStorePaths(root: string, linkRoots: readonly string[], clock: Clock) {
  const unreadable = (path: string, why: string): TowerError =>
    new TowerError('unavailable', `${relative(root, path) || '.'} in the store ${root} ${why}`);
  const resolvePath = pathResolver(root, linkRoots, clock, unreadable);
  /**
   * The content of a file; null if it does not exist.
   * @param known - its path without links, if that is known
   */
  const read = async (path: string, known: string | null = null): Promise<string | null> => {
    const real = known ?? (await resolvePath(path));
    if (real === null) return null;
    const file = await open(real, openFlags).catch((error: NodeJS.ErrnoException) => {
      if (isAbsent(error)) return null;
      throw unreadable(path, `cannot be read (${error.code})`);
    });
    if (file === null) return null;
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw unreadable(path, 'is not a regular file');
      if (facts.size > maxBytes) throw unreadable(path, `has more than ${maxBytes} bytes`);
      return await textOf(file, facts.size);
    } catch (error) {
      if (error instanceof TowerError) throw error;
      throw unreadable(path, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
    } finally {
      await file.close();
    }
  };
  const entriesOf = async (directory: string): Promise<Entry[]> => {
    const real = await resolvePath(directory);
    if (real === null) return [];
    const entries = await readdir(real, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (isAbsent(error)) return [];
      throw unreadable(directory, `cannot be read (${error.code})`);
    });
    const found = await Promise.all(
      entries.map(async (entry): Promise<Entry | null> => {
        const path = join(directory, entry.name);
        if (!entry.isSymbolicLink())
          return { name: entry.name, path, known: join(real, entry.name), isDirectory: entry.isDirectory() };
        const target = await targetOf(path, real);
        return target && { name: entry.name, path, known: null, isDirectory: target === 'directory' };
      }),
    );
    return found.filter((entry) => entry !== null);
  };
  /** What a link leads to; null: nothing, or in a circle. A link to a file is not followed: only reading it would matter. */
  const targetOf = async (path: string, parent: string): Promise<'directory' | 'file' | null> => {
    const facts = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (isAbsent(error) || error.code === 'ELOOP') return null;
      throw unreadable(path, `cannot be read (${error.code})`);
    });
    if (!facts?.isDirectory()) return facts && 'file';
    const target = await resolvePath(path);
    return target === null || `${parent}${sep}`.startsWith(`${target}${sep}`) ? null : 'directory';
  };
  return { read, entriesOf, unreadable };
}

/** Resolves paths without links; null if there is nothing. */
function pathResolver(
  root: string,
  linkRoots: readonly string[],
  clock: Clock,
  unreadable: (path: string, why: string) => TowerError,
): (path: string) => Promise<string | null> {
  let roots: { paths: string[]; at: number } | null = null;
  /** Resolved at most once per second: the root itself may be a link that changes. */
  const resolvedRoots = async (): Promise<string[]> => {
    if (roots && Math.abs(clock.now() - roots.at) < 1_000) return roots.paths;
    const all = await Promise.all(
      [root, ...linkRoots].map((path) =>
        realpath(path).catch((error: NodeJS.ErrnoException) => {
          if (isAbsent(error)) return null;
          throw unreadable(path, `cannot be read (${error.code})`);
        }),
      ),
    );
    roots = { paths: all.filter((path) => path !== null), at: clock.now() };
    return roots.paths;
  };
  return async (path) => {
    const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
      if (isAbsent(error)) return null;
      throw unreadable(path, `cannot be read (${error.code})`);
    });
    if (real === null || (await resolvedRoots()).some((each) => real === each || real.startsWith(`${each}${sep}`)))
      return real;
    throw unreadable(path, 'is a link out of the store: add its target to MLFLOW_FILE_ROOTS');
  };
}

/** A path that does not exist, or whose parent is a file by now. */
const isAbsent = ({ code }: NodeJS.ErrnoException): boolean => code === 'ENOENT' || code === 'ENOTDIR';

/** The first `size` bytes; fewer if the file was truncated meanwhile. */
async function textOf(file: FileHandle, size: number): Promise<string> {
  const buffer = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await file.read(buffer, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.toString('utf8', 0, filled);
}
