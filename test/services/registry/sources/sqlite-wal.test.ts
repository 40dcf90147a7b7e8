import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStoreFile } from '#services/registry/sources/sqlite-open.ts';
import { snapshotOf, sourceFor } from '../../../support/sources.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const schema = `pragma journal_mode = wal;
  create table experiments (experiment_id integer primary key, name text, lifecycle_stage text);
  create table registered_models (name text primary key, creation_time integer, last_updated_time integer, description text);
  create table model_versions (name text, version integer, creation_time integer, run_id text, source text, status text);
  create table runs (run_uuid text, experiment_id integer, status text, lifecycle_stage text);
  insert into registered_models values ('ranker', 1760000000000, 1760000000000, '');
  insert into model_versions values ('ranker', 1, 1760000000000, null, 's3://b/m', 'READY');`;

/** A store in WAL mode with one model; closed, so that nothing is beside it. */
function walStore() {
  const directory = join(temporaryDirectory(), 'store');
  mkdirSync(directory);
  const path = join(directory, 'mlflow.db');
  const file = new DatabaseSync(path);
  file.exec(schema);
  file.close();
  settle(path);
  return { directory, path, source: sourceFor(`sqlite:///${path}`) };
}

/** As if it had been written a while ago. */
const settle = (path: string) => utimesSync(path, 1_700_000_000, 1_700_000_000);
const models = async (source: ReturnType<typeof sourceFor>) => [...(await snapshotOf(source)).models.keys()];
const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith('tower-store-')).length;

describe('a store in WAL mode', () => {
  it('has no new files beside it after a read, and MLflow can write to it', async () => {
    const { directory, path, source } = walStore();
    expect(await models(source)).toEqual(['ranker']);
    await source.close();
    expect(readdirSync(directory)).toEqual(['mlflow.db']);
    const file = new DatabaseSync(path);
    file.exec("update registered_models set description = 'x'");
    file.close();
  });

  it('is read with what is only in its log, while it is open and after a crash', async () => {
    const { directory, path, source } = walStore();
    const mlflow = new DatabaseSync(path);
    mlflow.exec("insert into registered_models values ('new', 1, 1, '')");
    const before = readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mtimeMs]);
    const copiesBefore = copies();
    expect(await models(source)).toEqual(['new', 'ranker']);
    expect(readdirSync(directory).map((name) => [name, statSync(join(directory, name)).mtimeMs])).toEqual(before);
    const crashed = join(temporaryDirectory(), 'crashed');
    cpSync(directory, crashed, { recursive: true });
    mlflow.close();
    expect(await models(sourceFor(`sqlite:///${join(crashed, 'mlflow.db')}`))).toEqual(['new', 'ranker']);
    expect(copies()).toBe(copiesBefore);
    expect(readdirSync(directory)).toEqual(['mlflow.db']);
  });

  it.runIf(process.getuid?.() === 0)('is readable in a directory that others own, and stays writable for them', () => {
    const { directory, path } = walStore();
    chmodSync(join(directory, '..'), 0o755);
    const as = (uid: number, program: string) =>
      execFileSync(
        process.execPath,
        ['--input-type=module', '-e', `process.setegid(3000); process.seteuid(${uid}); ${program}`],
        {
          encoding: 'utf8',
        },
      ).trim();
    const opened = new URL('../../../../services/registry/sources/sqlite-open.ts', import.meta.url).href;
    const read = `const { openStoreFile } = await import('${opened}'); const { file, close } = openStoreFile('${path}', 0);
      console.log(file.prepare('select count(*) as n from registered_models').get().n); close();`;
    const write = `const { DatabaseSync } = await import('node:sqlite'); const file = new DatabaseSync('${path}');
      file.exec("insert into registered_models values ('m' || random(), 1, 1, '')"); file.close();`;
    chownSync(path, 1000, 3000);
    chownSync(directory, 1000, 3000);
    for (const mode of [0o2775, 0o2755]) {
      chmodSync(directory, mode);
      settle(path);
      const count = Number(as(2000, read));
      as(1000, write);
      expect(readdirSync(directory)).toEqual(['mlflow.db']);
      settle(path);
      expect(Number(as(2000, read))).toBe(count + 1);
    }
  });

  it('is never seen in a state that was not committed, whatever is written between reads', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('write', 'checkpoint', 'close', 'read'), { maxLength: 25 }), (steps) => {
        const { path } = walStore();
        let mlflow = null as DatabaseSync | null;
        let written = 1;
        const open = () => (mlflow ??= new DatabaseSync(path));
        for (const step of [...steps, 'read']) {
          if (step === 'write') {
            written += 1;
            open().exec(`insert into registered_models values ('m${written}', 1, 1, '')`);
          }
          if (step === 'checkpoint') open().exec('pragma wal_checkpoint(truncate)');
          if (step === 'close') {
            mlflow?.close();
            mlflow = null;
          }
          if (step !== 'read') continue;
          settle(path);
          const { file, isUnchanged, close } = openStoreFile(path, 0);
          expect(file.prepare('select count(*) as n from registered_models').get()).toEqual({ n: written });
          expect(isUnchanged()).toBe(true);
          close();
        }
        mlflow?.close();
      }),
      { numRuns: 30 },
    );
  });

  it('is read again if it changes while it is read without locks', () => {
    const { path } = walStore();
    const { file, isUnchanged, close } = openStoreFile(path, 0);
    onTestFinished(close);
    expect(file.prepare('select count(*) as n from registered_models').get()).toEqual({ n: 1 });
    const mlflow = new DatabaseSync(path);
    mlflow.exec("insert into registered_models values ('new', 1, 1, '')");
    expect(isUnchanged()).toBe(false);
    mlflow.close();
    expect(existsSync(`${path}-wal`)).toBe(false);
    expect(isUnchanged()).toBe(false);
  });
});
