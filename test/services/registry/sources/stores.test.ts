import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { isoTime } from '#kernel/clock.ts';
import { writeSample } from '#services/registry/sources/sample.ts';
import { noSignal, snapshotOf, sourceFor } from '../../../support/sources.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const now = Date.UTC(2026, 10, 20, 13);

describe('the SQLite source', () => {
  it('reads an old schema without some columns and tables', async () => {
    const path = join(temporaryDirectory(), 'old.db');
    const file = new DatabaseSync(path);
    file.exec(`
      create table experiments (experiment_id integer, name text, artifact_location text, lifecycle_stage text);
      create table registered_models (name text, creation_time integer, last_updated_time integer, description text);
      create table model_versions (name text, version integer, creation_time integer, last_updated_time integer, description text, current_stage text, source text, run_id text, status text);
      create table runs (run_uuid text, experiment_id integer, name text, status text, lifecycle_stage text, start_time integer, end_time integer);
      create table latest_metrics (run_uuid text, key text, value real, timestamp integer, step integer, is_nan integer);
      insert into experiments values (910234567890123456, 'migrated', 's3://x', 'active');
      insert into registered_models values ('m', 1, 2, null);
      insert into model_versions values ('m', 1, 1, 2, null, 'Production', 's', 'r', 'READY'), ('m', 2, 1, 2, null, 'Deleted_Internal', 'REDACTED', '', 'READY');
      insert into runs values ('r', 910234567890123456, 'run', 'FINISHED', 'active', 1000, 2000);
      insert into latest_metrics values ('r', 'nan', 0, 1500, 0, 1), ('r', 'huge', 1.7976931348623157e308, 1500, 0, 0), ('r', 'ok', 0.5, 2500, 0, 0);
    `);
    file.close();
    const snapshot = await snapshotOf(sourceFor(`sqlite:///${path}`));
    expect(snapshot.experiments).toMatchObject([{ experimentId: '910234567890123456', createdAt: null, tags: {} }]);
    expect(snapshot.versions).toHaveLength(1);
    expect(snapshot.versions[0]?.run).toMatchObject({
      metrics: { huge: null, nan: null, ok: 0.5 },
      lateMetrics: ['ok'],
    });
  });

  it('reads only the configured workspace', async () => {
    const path = join(temporaryDirectory(), 'ws.db');
    const file = new DatabaseSync(path);
    file.exec(`
      create table experiments (experiment_id integer, name text, workspace text);
      create table registered_models (name text, workspace text);
      create table model_versions (name text, version integer, run_id text, workspace text);
      insert into registered_models values ('mine', 'team-a'), ('theirs', 'default');
      insert into model_versions values ('mine', 1, '', 'team-a'), ('theirs', 1, '', 'default');
    `);
    file.close();
    expect([...(await snapshotOf(sourceFor(`sqlite:///${path}`))).models.keys()]).toEqual(['theirs']);
    expect([...(await snapshotOf(sourceFor(`sqlite:///${path}`, { workspace: 'team-a' }))).models.keys()]).toEqual([
      'mine',
    ]);
  });

  it('reports "unchanged" until there is a write', async () => {
    const path = join(temporaryDirectory(), 'sample.db');
    writeSample(path, now);
    // By the file system's clock, which may differ from the process's.
    const writtenAt = () => statSync(path).mtimeMs;
    let time = writtenAt() + 60_000;
    const source = sourceFor(`sqlite:///${path}`, { clock: { now: () => time, sleep: async () => undefined } });
    const rows = await source.readRegistry(null, noSignal);
    if (!rows) throw new Error('nothing was read');
    const known = { rows, reread: async () => () => false };
    expect(await source.readRegistry(known, noSignal)).toBeNull();
    const file = new DatabaseSync(path);
    file.exec("update registered_models set description = 'changed' where name = 'fraud-detector'");
    file.close();
    time = writtenAt() + 60_000;
    const changed = await source.readRegistry(known, noSignal);
    expect(changed?.models.find((model) => model.name === 'fraud-detector')?.description).toBe('changed');
    // A file just written may be written again within the same tick of the file system's clock.
    time = writtenAt() + 1_000;
    expect(await source.readRegistry(known, noSignal)).not.toBeNull();
  });

  it.each([
    ['missing.db', null, /^cannot read the SQLite file .*missing\.db: unable to open database file/],
    [
      'text.db',
      'this text is not a database, but long enough for a header',
      /^cannot read the SQLite file .*text\.db: file is not a database/,
    ],
  ])('refuses %s with a clear error', async (name, content, text) => {
    const path = join(temporaryDirectory(), name);
    if (content !== null) writeFileSync(path, content);
    const source = sourceFor(`sqlite:///${path}`);
    await expect(source.readRegistry(null, noSignal)).rejects.toThrow(text);
  });

  it('refuses an SQLite file without MLflow tables', async () => {
    const path = join(temporaryDirectory(), 'other.db');
    new DatabaseSync(path).exec('create table t (x)');
    await expect(sourceFor(`sqlite:///${path}`).readRegistry(null, noSignal)).rejects.toThrow(/has no MLflow tables/);
  });
});

describe('invalid times', () => {
  it('are read as unknown, such as nanoseconds instead of milliseconds', async () => {
    const path = join(temporaryDirectory(), 'sample.db');
    writeSample(path, now);
    const file = new DatabaseSync(path);
    file.exec(
      'update registered_models set creation_time = 1780000000000000000; update latest_metrics set timestamp = 1780000000000000000',
    );
    file.exec('update model_versions set creation_time = 1780000000000000000');
    file.close();
    const snapshot = await snapshotOf(sourceFor(`sqlite:///${path}`));
    expect(snapshot.versions.length).toBeGreaterThan(50);
    expect(isoTime(snapshot.versions[0]?.createdAt ?? null)).toBeNull();
  });
});

describe('the sample registry', () => {
  it('is deterministic by day, and has models, stages, aliases, and versions without metrics', async () => {
    const [a, b] = [join(temporaryDirectory(), 'a.db'), join(temporaryDirectory(), 'b.db')];
    writeSample(a, now);
    writeSample(b, now + 3_600_000);
    const [first, second] = [
      await snapshotOf(sourceFor(`sqlite:///${a}`)),
      await snapshotOf(sourceFor(`sqlite:///${b}`)),
    ];
    expect(first.rows).toEqual(second.rows);
    expect(first.models.size).toBeGreaterThanOrEqual(24);
    expect(first.byStage.Production.filter((item) => item.stageSource === 'alias').length).toBeGreaterThan(5);
    expect(first.byStage.Staging.length).toBeGreaterThan(5);
    expect(first.models.get('invoice-amount')?.versions[0]?.run?.metrics).toEqual({});
  });

  it('has one production model that degrades, and others that do not', async () => {
    const path = join(temporaryDirectory(), 'a.db');
    writeSample(path, now);
    const source = sourceFor(`sqlite:///${path}`);
    const snapshot = await snapshotOf(source);
    const change = async (name: string) => {
      const version = snapshot.models.get(name)?.versions.at(-1);
      const points = (await source.readHistory([version?.runId ?? ''], ['accuracy'], noSignal)).filter(
        (point) => point.at > (version?.run?.endedAt ?? 0),
      );
      const mean = (from: number, to: number) =>
        points.slice(from, to).reduce((sum, point) => sum + (point.value ?? 0), 0) / (to - from);
      expect(points).toHaveLength(60);
      return mean(50, 60) - mean(0, 30);
    };
    expect(await change('credit-default-risk')).toBeLessThan(-0.05);
    expect(Math.abs(await change('churn-predictor'))).toBeLessThan(0.01);
  });
});

describe('the mlruns source', () => {
  const write = (root: string, files: Record<string, string>) => {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    }
  };
  const run = (id: string, more = '') =>
    `artifact_uri: x\nend_time: 2000\nexperiment_id: '910234567890123456'\nlifecycle_stage: active\nrun_id: ${id}\nrun_name: train\nstart_time: 1000\nstatus: 3\ntags: []\n${more}`;

  it('reads metrics of 2, 3 and 5 fields, nested keys, multi-line tags, old files', async () => {
    const root = join(temporaryDirectory(), 'mlruns');
    const e = '910234567890123456';
    write(root, {
      [`${e}/meta.yaml`]: `experiment_id: '${e}'\nname: main\nartifact_location: x\nlifecycle_stage: active\ncreation_time: 1\nlast_update_time: 2\n`,
      [`${e}/tags/note`]: 'two\nlines',
      [`${e}/r1/meta.yaml`]: run('r1'),
      [`${e}/r1/metrics/two`]: '1500 0.5\n',
      [`${e}/r1/metrics/three`]: '1500 0.1 0\n1600 0.2 2\n1700 0.3 1\n',
      [`${e}/r1/metrics/five`]: '1500 nan 0\n2500 0.9 4 data abc\n',
      [`${e}/r1/metrics/val/loss`]: '1500 inf 0\n',
      [`${e}/r1/params/lr`]: '',
      [`${e}/models/m-1/meta.yaml`]: 'status: 2\n',
      [`${e}/models/m-1/metrics/acc`]: '1500 0.7 0 r1 data abc\n',
      'broken/readme.txt': 'no card here',
      '.trash/7/meta.yaml': "experiment_id: '7'\nname: gone\nlifecycle_stage: deleted\n",
      'models/my model/meta.yaml':
        'name: my model\ncreation_timestamp: 1\nlast_updated_timestamp: 2\ndescription: null\naliases:\n  champion: 2\n',
      'models/my model/aliases/champion': '2',
      'models/my model/tags/team': 'x',
      'models/my model/version-2/meta.yaml':
        'name: my model\nversion: 2\ncurrent_stage: None\nrun_id: r1\nsource: s\nstatus: READY\ncreation_timestamp: 1\nlast_updated_timestamp: 2\n',
      'models/my model/version-10/meta.yaml':
        'name: my model\nversion: 10\ncurrent_stage: Staging\nrun_id: nowhere\nsource: s\nstatus: READY\n',
      'models/my model/version-3/meta.yaml':
        'name: my model\nversion: 3\ncurrent_stage: Deleted_Internal\nrun_id: r1\n',
    });
    const source = sourceFor(root);
    const snapshot = await snapshotOf(source);
    expect(snapshot.experiments.map((item) => [item.experimentId, item.name, item.lifecycleStage])).toEqual([
      ['7', 'gone', 'deleted'],
      [e, 'main', 'active'],
    ]);
    expect(snapshot.experiments[1]?.tags).toEqual({ note: 'two\nlines' });
    expect(snapshot.versions.map((item) => [item.version, item.stage, item.aliases])).toEqual([
      ['2', 'Production', ['champion']],
      ['10', 'Staging', []],
    ]);
    expect(snapshot.versions[0]?.run).toMatchObject({
      status: 'FINISHED',
      metrics: { five: 0.9, three: 0.2, two: 0.5, 'val/loss': null },
      lateMetrics: ['five'],
    });
    expect(snapshot.versions[1]?.run).toBeNull();
    expect(await source.readLoggedModel('m-1', noSignal)).toEqual([
      { metric: 'acc', value: 0.7, at: 1500, step: 0, runId: 'r1', dataset: 'data' },
    ]);
    expect(await source.readRuns(e, 10, noSignal)).toMatchObject([{ runId: 'r1', name: 'train', params: { lr: '' } }]);
    expect(await source.countRuns(e, noSignal)).toBe(1);
    expect((await source.readHistory(['r1'], ['three'], noSignal)).map((point) => point.value)).toEqual([
      0.1, 0.2, 0.3,
    ]);
  });

  it('refuses a missing or unrelated directory, and reads one without models as empty', async () => {
    const root = temporaryDirectory();
    await expect(sourceFor(`file://${root}`).readRegistry(null, noSignal)).rejects.toThrow(
      /has no MLflow experiments or models/,
    );
    write(root, { '0/meta.yaml': "experiment_id: '0'\nname: Default\n" });
    expect((await snapshotOf(sourceFor(`file://${root}`))).versions).toEqual([]);
    await expect(sourceFor(join(root, 'nope')).readRegistry(null, noSignal)).rejects.toThrow(
      /nope does not exist or is not a directory/,
    );
  });
});

describe('unsupported addresses', () => {
  it.each([
    ['postgresql://db/mlflow', /postgresql: addresses are not supported; start "mlflow server/],
    ['databricks://profile', /databricks: addresses are not supported/],
    ['http://:bad', /is not a valid URL/],
  ])('%s is refused with the name of the setting', async (uri, text) => {
    const error = thrownBy(() => sourceFor(uri));
    expect(String(error)).toMatch(/MLFLOW_TRACKING_URI/);
    expect(String(error)).toMatch(text);
  });
});

function thrownBy(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}
