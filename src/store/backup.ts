import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, copyFile, open, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';
import { conflict, invalid, notFound, TowerError } from '#kernel/errors.ts';
import { makeDirectory } from '#kernel/files.ts';
import { emptyPart, exportToSqlite, importFromSqlite, requireEmpty, tablesOf } from './copy.ts';
import { migrations, type Part } from './migrate.ts';
import type { Place } from './store.ts';

/**
 * Backups of the data directory: a consistent copy of both databases, taken while instances may write, and the trained
 * models. The secret key (`tower.key`) is not part of a backup: a stolen backup must not contain the key.
 */

export type BackedUp = { name: string; bytes: number; sha256: string };
export type Manifest = { format: 1; made_at: string; version: string; files: BackedUp[] };
export type Checked = { name: string; bytes: number; schema: number | null; problems: string[] };

const databases = Object.keys(migrations) as Part[];
const manifestName = 'backup.json';

/**
 * Backs up the store into a new directory. A PostgreSQL store is written into SQLite files too, so a backup of either
 * engine can be restored into either.
 * @throws TowerError `not_found` if there is no store, `conflict` if the target is not empty, `unavailable`
 */
export async function backupStore(place: Place, to: string, version: string, now: number): Promise<Manifest> {
  const { directory, databaseUrl } = place;
  if (databaseUrl === undefined && !databases.some((name) => existsSync(join(directory, name))))
    throw notFound(`no store in ${directory}`, { parameter: 'DATA_DIRECTORY' });
  if (existsSync(to) && (!statSync(to).isDirectory() || readdirSync(to).length > 0))
    throw conflict(`${to} is not empty: choose a new directory`);
  const half = `${to}.half-${process.pid}`;
  try {
    makeDirectory(half);
    const files: BackedUp[] = [];
    for (const name of databases) {
      if (databaseUrl !== undefined) await exportToSqlite(place, name, half);
      else if (existsSync(join(directory, name))) await copyDatabase(join(directory, name), join(half, name));
      else continue;
      files.push(await described(half, name));
    }
    for (const name of modelsIn(directory)) {
      makeDirectory(dirname(join(half, name)));
      await copyFile(join(directory, name), join(half, name));
      files.push(await described(half, name));
    }
    const manifest: Manifest = { format: 1, made_at: new Date(now).toISOString(), version, files };
    await writeFile(join(half, manifestName), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
    // Hashes of keys and addresses of webhooks are in it.
    for (const { name } of files) await chmod(join(half, name), 0o600);
    await syncAll(half, [...files.map(({ name }) => name), manifestName]);
    if (existsSync(to)) await rmdir(to);
    await rename(half, to);
    return manifest;
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    throw explained(error, to);
  }
}

/** Copies with SQLite's online backup API and checks the integrity of the copy. */
async function copyDatabase(from: string, to: string): Promise<void> {
  const source = new DatabaseSync(from, { readOnly: true });
  try {
    // All pages in one step: SQLite restarts a stepwise backup whenever another process writes.
    await backup(source, to, { rate: 2 ** 31 - 1 });
  } finally {
    source.close();
  }
  const { problems } = check(dirname(to), to.slice(dirname(to).length + 1));
  if (problems.length > 0) throw invalid(`${from} is damaged: ${problems.join('; ')}`);
}

const modelsIn = (directory: string): string[] =>
  existsSync(join(directory, 'models'))
    ? readdirSync(join(directory, 'models'))
        .filter((name) => name.endsWith('.json'))
        .map((name) => join('models', name))
    : [];

async function described(directory: string, name: string): Promise<BackedUp> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(join(directory, name)), hash);
  return { name, bytes: statSync(join(directory, name)).size, sha256: hash.digest('hex') };
}

async function syncAll(directory: string, names: string[]): Promise<void> {
  for (const name of [...names, '.']) {
    const file = await open(join(directory, name), 'r');
    await file.sync();
    await file.close();
  }
}

/** Reads every row of a PostgreSQL store without changing anything. @throws TowerError `unavailable` */
export async function verifyPostgres(databaseUrl: string): Promise<Checked[]> {
  const { inspectPostgres } = await import('./postgres.ts');
  const found: Checked[] = [];
  for (const part of databases) {
    const { schema, bytes } = await inspectPostgres(databaseUrl, part, tablesOf(part));
    const known = migrations[part].length;
    const problems =
      schema === null
        ? ['missing; "tower store migrate" or a start creates it']
        : schema > known
          ? [newerSchema(schema, known)]
          : [];
    found.push({ name: part, bytes, schema, problems });
  }
  return found;
}

const newerSchema = (schema: number, known: number): string =>
  `its schema ${schema} is newer than this version supports (${known})`;

/**
 * Checks the integrity of a data directory or a backup: every page of both databases, and the checksums of a backup.
 * @throws TowerError `not_found` if the directory has neither
 */
export async function verifyStore(directory: string): Promise<Checked[]> {
  const names = databases.filter((name) => existsSync(join(directory, name)));
  if (names.length === 0) throw notFound(`no store in ${directory}`, { parameter: 'DATA_DIRECTORY' });
  const found = names.map((name) => check(directory, name));
  if (!existsSync(join(directory, manifestName))) return found;
  for (const each of readManifest(directory).files) {
    const known = found.find(({ name }) => name === each.name);
    const problem = existsSync(join(directory, each.name))
      ? (await described(directory, each.name)).sha256 === each.sha256
        ? null
        : 'its checksum differs from the backup'
      : 'it is missing';
    if (known && problem) known.problems.push(problem);
    if (!known) found.push({ name: each.name, bytes: each.bytes, schema: null, problems: problem ? [problem] : [] });
  }
  return found;
}

function check(directory: string, name: string): Checked {
  const path = join(directory, name);
  const bytes = statSync(path).size;
  try {
    const file = new DatabaseSync(path, { readOnly: true });
    try {
      const schema = Number(file.prepare('pragma user_version').get()?.['user_version']);
      const lines = file.prepare('pragma integrity_check(20)').all() as { integrity_check: string }[];
      const problems = lines.map((line) => line.integrity_check).filter((text) => text !== 'ok');
      const known = migrations[name as Part].length;
      if (schema > known) problems.push(newerSchema(schema, known));
      return { name, bytes, schema, problems };
    } finally {
      file.close();
    }
  } catch (error) {
    return { name, bytes, schema: null, problems: [error instanceof Error ? error.message : String(error)] };
  }
}

function readManifest(directory: string): Manifest {
  try {
    const manifest = JSON.parse(readFileSync(join(directory, manifestName), 'utf8')) as Manifest;
    if (manifest.format === 1 && Array.isArray(manifest.files)) return manifest;
  } catch {
    // Reported below.
  }
  throw invalid(`${directory} is not a backup: ${manifestName} is missing or damaged`);
}

/**
 * Restores a backup into a data directory without a store, or into an empty PostgreSQL (the models into the directory).
 * @throws TowerError `invalid` if the backup is incomplete, `conflict` if a store exists already
 */
export async function restoreStore(from: string, place: Place): Promise<Manifest> {
  const { directory, databaseUrl } = place;
  const manifest = readManifest(from);
  const outside = manifest.files.find(
    ({ name }) => !databases.includes(name as Part) && !/^models[\\/][^\\/]+\.json$/.test(name),
  );
  if (outside) throw invalid(`${outside.name} does not belong to a backup`);
  const wrong = (await verifyStore(from)).filter(({ problems }) => problems.length > 0);
  if (wrong.length > 0)
    throw invalid(wrong.map(({ name, problems }) => `${join(from, name)}: ${problems.join('; ')}`).join('\n'));
  // SQLite would replay a leftover write-ahead log into the restored database.
  const left = databases.flatMap((name) => ['', '-wal', '-shm', '-journal'].map((end) => `${name}${end}`));
  const isDatabase = ({ name }: BackedUp) => databases.includes(name as Part);
  const files = databaseUrl === undefined ? manifest.files : manifest.files.filter((file) => !isDatabase(file));
  const conflictingFiles = [...(databaseUrl === undefined ? left : []), ...files.map(({ name }) => name)];
  const existing = conflictingFiles.find((name) => existsSync(join(directory, name)));
  if (existing !== undefined)
    throw conflict(
      `${join(directory, existing)} already exists: move the data directory away, or set another DATA_DIRECTORY`,
    );
  const parts = databaseUrl === undefined ? [] : manifest.files.filter(isDatabase).map(({ name }) => name as Part);
  for (const part of parts) await requireEmpty(place, part);
  try {
    makeDirectory(directory);
    for (const { name } of files) {
      makeDirectory(dirname(join(directory, name)));
      await copyFile(join(from, name), join(directory, `${name}.restored`));
    }
    for (const part of parts)
      await importFromSqlite(from, part, place).catch(async (error: unknown) => {
        // The target was empty: either every part is restored or none.
        for (const each of parts) await emptyPart(place, each);
        throw error;
      });
    for (const { name } of files) await rename(join(directory, `${name}.restored`), join(directory, name));
    await syncAll(
      directory,
      files.map(({ name }) => name),
    );
    return manifest;
  } catch (error) {
    throw explained(error, directory);
  }
}

function explained(error: unknown, path: string): TowerError {
  if (error instanceof TowerError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new TowerError('unavailable', `cannot write ${path}: ${reason}`, { cause: error });
}
