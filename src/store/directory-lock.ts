import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { conflict } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';

/**
 * Makes this process the only server of a data directory, until `release` or the end of the process. The lock is that of an
 * SQLite file, which the operating system releases also after SIGKILL; a file with a process id could be stale.
 * @throws TowerError `conflict` if another server uses the directory
 */
export function lockDirectory(directory: string): { release: () => void } {
  makeDirectory(directory);
  const path = join(directory, 'server.lock');
  const file = new DatabaseSync(path);
  try {
    file.exec('begin exclusive');
  } catch (error) {
    file.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 !== 5) throw error;
    throw conflict(
      `another server uses ${directory} (DATA_DIRECTORY): stop it, or set another directory. Several instances share a PostgreSQL (DATABASE_URL)`,
      { parameter: 'DATA_DIRECTORY' },
    );
  }
  return { release: () => file.close() };
}
