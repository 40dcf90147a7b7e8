import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { conflict } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import { cannotOpen } from './sqlite.ts';
import { isBusy } from './sqlite-driver.ts';

/**
 * Makes this process the only server of a data directory, until `release` or the end of the process. The lock is that of an
 * SQLite file, which the operating system releases also after SIGKILL; a file with a process id could be stale.
 * @throws TowerError `conflict` if another server uses the directory, `unavailable` if it cannot be used
 */
export function lockDirectory(directory: string): { release: () => void } {
  const path = join(directory, 'server.lock');
  let file: DatabaseSync | null = null;
  try {
    makeDirectory(directory);
    file = new DatabaseSync(path);
    file.exec('begin exclusive');
    const held = file;
    return { release: () => held.close() };
  } catch (error) {
    file?.close();
    if (!isBusy(error)) throw cannotOpen(path, error);
    throw conflict(
      `another server uses ${directory} (DATA_DIRECTORY): stop it, or set another directory. Several instances share a PostgreSQL (DATABASE_URL)`,
      { parameter: 'DATA_DIRECTORY' },
    );
  }
}
