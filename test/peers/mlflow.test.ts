import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSnapshot, type Snapshot } from '#services/registry/snapshot/snapshot.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import { type MlflowServer, peerProgram, startMlflow } from '../support/mlflow-server.ts';
import { openFor } from '../support/open.ts';
import { oddNames, type Seeded, seededAt, seedMlflow } from './seed.ts';

const aliasTable = { Production: ['champion'], Staging: ['challenger'], Archived: [] };
const never = new AbortController().signal;

/** `refused`: names that this server rejects. `leavesDangling`: deleting a version leaves its alias. */
const stores = [
  { peer: 'mlflow2', store: 'mlruns', refused: [oddNames[0], 'vision/defects'], leavesDangling: false },
  { peer: 'mlflow2', store: 'sqlite', refused: [], leavesDangling: true },
  { peer: 'mlflow3', store: 'sqlite', refused: ['Detox: CAT', 'vision/defects'], leavesDangling: false },
  { peer: 'mlflow3', store: 'mlruns', refused: [oddNames[0], 'Detox: CAT', 'vision/defects'], leavesDangling: false },
];

describe.each(stores)('$peer over $store', ({ peer, store, refused, leavesDangling }) => {
  const program = peerProgram(peer, 'mlflow');
  const directory = mkdtempSync(join(tmpdir(), 'tower-peer-'));
  const fileUri =
    store === 'sqlite' ? `sqlite:///${join(directory, 'mlflow.db')}` : `file://${join(directory, 'mlruns')}`;
  let server: MlflowServer;
  let seeded: Seeded;
  let rest: RegistrySource;
  let file: RegistrySource;
  let overRest: Snapshot;
  let overFile: Snapshot;

  beforeAll(async () => {
    if (!program) return;
    server = await startMlflow(program, directory, store === 'sqlite' ? fileUri : join(directory, 'mlruns'));
    seeded = await seedMlflow(server.url);
    rest = openFor(server.url);
    file = openFor(fileUri);
    overRest = await snapshot(rest);
    overFile = await snapshot(file);
  });
  afterAll(async () => {
    await rest?.close();
    await file?.close();
    await server?.program.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it.skipIf(!program)('has the same snapshot by REST and from the store', () => {
    expect(comparable(overFile)).toEqual(comparable(overRest));
  });

  it.skipIf(!program)('has the snapshot that was written', () => {
    const versions = Object.fromEntries(overRest.versions.map((item) => [`${item.name} ${item.version}`, item]));
    expect(overRest.versions.filter((item) => item.name === 'dna').map((item) => item.version)).toEqual([
      '1',
      '2',
      '3',
      '4',
      '6',
      '7',
      '8',
      '9',
      '10',
      '11',
    ]);
    expect(versions['dna 1']).toMatchObject({
      stage: 'Production',
      currentStage: 'Production',
      stageSource: 'stage',
      aliases: ['champion'],
      modelType: 'classifier',
    });
    expect(versions['dna 1']?.run).toMatchObject({
      status: 'FINISHED',
      metrics: { accuracy: 0.93, 'val/loss': 0.123 },
      lateMetrics: ['accuracy'],
    });
    expect(versions['dna 2']?.run?.metrics).toEqual({ accuracy: null, f1_score: 0.88, gain: null });
    expect(versions['dna 3']?.run).toMatchObject({ deleted: true });
    expect(versions['dna 4']).toMatchObject({ stage: 'Production', run: { status: 'RUNNING', endedAt: null } });
    expect(versions['dna 6']).toMatchObject({ runId: null, run: null, stage: 'None', stageSource: 'none' });
    expect(versions['alias-only 2']).toMatchObject({
      stage: 'Production',
      currentStage: 'None',
      stageSource: 'alias',
      aliases: ['prod-eu'],
    });
    expect(versions['alias-only 2']?.run).toMatchObject({ metrics: { accuracy: 0.4 } });
    expect(versions['alias-only 1']).toMatchObject({ stage: 'Staging', aliases: ['Challenger'] });
    expect(overRest.models.get('empty-model')?.versions).toEqual([]);
    expect([...overRest.models.keys()]).not.toContain('a-prompt');
    expect(overRest.experiments.map((item) => [item.name, item.lifecycleStage])).toEqual(
      expect.arrayContaining([
        ['Default', 'active'],
        ['genomics', 'active'],
        ['retired', 'deleted'],
      ]),
    );
    expect(seeded.refusedNames).toEqual(refused);
    for (const name of oddNames.filter((item) => !refused.includes(item)))
      expect(overRest.models.get(name)?.versions).toHaveLength(1);
  });

  it.skipIf(!program)('has dangling aliases that are reported, not followed', () => {
    const dangling = leavesDangling ? [{ name: 'dna', alias: 'dangling', version: '5' }] : [];
    expect(overRest.danglingAliases).toEqual(dangling);
  });

  it.skipIf(!program)('is read a second time without finished runs, and changes are detected', async () => {
    const known = { rows: overRest.rows, reread: async () => () => false };
    const again = await rest.readRegistry(known, never);
    expect(comparable(await buildSnapshot(again ?? overRest.rows, 0, aliasTable))).toEqual(comparable(overRest));
  });

  it.skipIf(!program)('has the same run lists, newest first', async () => {
    const id = seeded.experimentIds['genomics'] ?? '';
    const [a, b] = await Promise.all([rest.readRuns(id, 10, never), file.readRuns(id, 10, never)]);
    expect(a.map((run) => run.name).sort()).toEqual(['broken-metrics', 'good', 'running']);
    expect(sorted(b)).toEqual(sorted(a));
    expect(a[0]?.params).toEqual({ lr: '0.001' });
    expect(await Promise.all([rest.countRuns(id, never), file.countRuns(id, never)])).toEqual([3, 3]);
  });

  it.skipIf(!program)('has the same metric histories, NaN as null', async () => {
    const ids = [seeded.runIds['good'] ?? '', seeded.runIds['broken-metrics'] ?? ''];
    const [a, b] = await Promise.all([
      rest.readHistory(ids, ['accuracy'], never),
      file.readHistory(ids, ['accuracy'], never),
    ]);
    const plain = (points: typeof a) => sorted(points).map((point) => [point.runId, point.at, point.value]);
    expect(plain(b)).toEqual(plain(a));
    expect(
      plain(a)
        .filter(([runId]) => runId === ids[0])
        .map(([, at, value]) => [(Number(at) - seededAt) / 3_600_000, value]),
    ).toEqual([
      [0, 0.91],
      [1, 0.945],
      [960, 0.93],
    ]);
    expect(
      plain(a)
        .filter(([runId]) => runId === ids[1])
        .map(([, , value]) => value),
    ).toEqual([null]);
  });

  it.skipIf(!program || peer === 'mlflow2')('has datasets for values recorded on a logged model', async () => {
    const modelId = await logModel(server.url, seeded, 0.8);
    const [a, b] = await Promise.all([rest.readLoggedModel(modelId, never), file.readLoggedModel(modelId, never)]);
    expect(a).toEqual([
      { metric: 'accuracy', value: 0.8, at: seededAt + 1000, step: 0, runId: seeded.runIds['running'], dataset: null },
    ]);
    expect(b).toEqual(a);
  });

  it.skipIf(!program || peer === 'mlflow2')(
    'gives versions of one run the metrics of their own logged model',
    async () => {
      const ids = [await logModel(server.url, seeded, 0.7), await logModel(server.url, seeded, 0.95)];
      await postMlflow(server.url, 'registered-models/create', { name: 'two-checkpoints' });
      const run_id = seeded.runIds['good'];
      const create = (source: string, model_id?: string) =>
        postMlflow(server.url, 'model-versions/create', { name: 'two-checkpoints', source, run_id, model_id });
      for (const id of ids) await create(`models:/${id}`, id);
      await create('models:/two-checkpoints/1');
      const [a, b] = await Promise.all([snapshot(rest), snapshot(file)]);
      expect(comparable(b)).toEqual(comparable(a));
      const versions = a.models.get('two-checkpoints')?.versions ?? [];
      expect(versions.map(({ metrics }) => metrics['accuracy'])).toEqual([0.7, 0.95, 0.7]);
      expect(versions.map(({ modelId }) => modelId)).toEqual([ids[0], ids[1], ids[0]]);
      // The run's own metric, which neither model has.
      expect(versions[0]?.metrics['val/loss']).toBe(0.123);
    },
  );

  it.skipIf(!program)('may lack logged models, which is no error', async () => {
    expect(await rest.readLoggedModel('m-00000000000000000000000000000000', never)).toEqual([]);
  });
});

async function snapshot(source: RegistrySource): Promise<Snapshot> {
  const rows = await source.readRegistry(null, never);
  if (!rows) throw new Error('nothing was read');
  return buildSnapshot(rows, 0, aliasTable);
}

/** The user-visible parts of a snapshot; only REST reports the server's version. */
const comparable = ({ models, versions, experiments, danglingAliases }: Snapshot) => ({
  models: [...models.values()],
  versions,
  experiments,
  danglingAliases,
});

const sorted = <T extends { runId: string; at?: number }>(items: T[]): T[] =>
  [...items].sort((a, b) => (a.runId === b.runId ? (a.at ?? 0) - (b.at ?? 0) : a.runId < b.runId ? -1 : 1));

/** Creates a logged model and records a metric on it from a later run, as an evaluation does. */
async function logModel(url: string, seeded: Seeded, accuracy: number): Promise<string> {
  const made = await postMlflow(url, 'logged-models', {
    experiment_id: seeded.experimentIds['genomics'],
    name: 'lm',
    source_run_id: seeded.runIds['good'],
    model_type: 'classifier',
  });
  const modelId = made.model?.info.model_id ?? '';
  await postMlflow(url, 'runs/log-metric', {
    run_id: seeded.runIds['running'],
    key: 'accuracy',
    value: accuracy,
    timestamp: seededAt + 1000,
    step: 0,
    model_id: modelId,
  });
  return modelId;
}

async function postMlflow(
  url: string,
  path: string,
  body: object,
): Promise<{ model?: { info: { model_id: string } } }> {
  const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as { model?: { info: { model_id: string } } };
}
