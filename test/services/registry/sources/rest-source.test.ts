import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { noSignal, snapshotOf, sourceFor } from '../../../support/sources.ts';

describe('the REST source', () => {
  it('reads an empty registry from a server that answers {}', async () => {
    const fake = await fakeMlflow();
    const snapshot = await snapshotOf(sourceFor(fake.url));
    expect(snapshot.versions).toEqual([]);
    expect(snapshot.experiments).toEqual([]);
  });

  it('joins aliases from models, prefers stages to aliases, reports dangling aliases', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const snapshot = await snapshotOf(sourceFor(fake.url));
    const facts = snapshot.versions.map((item) => [
      item.name,
      item.version,
      item.stage,
      item.stageSource,
      item.aliases,
    ]);
    expect(facts).toEqual([
      ['DNA', '1', 'Production', 'stage', ['champion']],
      ['DNA', '2', 'Staging', 'stage', []],
      ['DNA', '10', 'None', 'none', []],
      ['aliased', '1', 'None', 'none', []],
      ['aliased', '2', 'Production', 'alias', ['Champion']],
    ]);
    expect(snapshot.danglingAliases).toEqual([{ name: 'aliased', alias: 'gone', version: '9' }]);
    expect(snapshot.models.get('empty')?.versions).toEqual([]);
  });

  it('reads NaN and infinity as null, and a running run without an end', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const { versions } = await snapshotOf(sourceFor(fake.url));
    expect(versions[0]?.run?.metrics).toEqual({ accuracy: 0.945, bad: null });
    expect(versions[1]?.run?.metrics).toEqual({ accuracy: 0.91, inf: null });
    expect(versions[2]?.run).toMatchObject({ status: 'RUNNING', endedAt: null });
  });

  it('reads in bulk: the number of calls does not depend on the number of versions', async () => {
    const registry = smallRegistry();
    for (let i = 0; i < 350; i += 1) {
      registry.versions.push({ name: 'many', version: String(i + 1), run_id: `bulk${i}`, current_stage: 'None' });
      registry.runs.push({
        info: { run_id: `bulk${i}`, experiment_id: '1', status: 'FINISHED', lifecycle_stage: 'active' },
        data: {},
      });
    }
    const fake = await fakeMlflow(registry);
    const snapshot = await snapshotOf(sourceFor(fake.url));
    expect(snapshot.versions).toHaveLength(355);
    expect(snapshot.versions.filter((item) => item.run === null)).toHaveLength(1);
    expect(fake.calls.filter((call) => call.endsWith('runs/search'))).toHaveLength(4);
    expect(fake.calls).toHaveLength(8);
    expect(fake.maxInFlight).toBeLessThanOrEqual(4);
  });

  it('always sends experiment ids as strings and max_results', async () => {
    const registry = smallRegistry();
    const longId = '910234567890123456';
    registry.experiments = [{ experiment_id: longId, name: 'long', lifecycle_stage: 'active' }];
    for (const run of registry.runs) run.info['experiment_id'] = longId;
    const fake = await fakeMlflow(registry);
    const source = sourceFor(fake.url);
    const { versions, experiments } = await snapshotOf(source);
    expect(experiments[0]?.experimentId).toBe(longId);
    expect(versions[0]?.run?.metrics['accuracy']).toBe(0.945);
    expect(await source.readRuns(longId, 5, noSignal)).toHaveLength(3);
  });

  it('neither loses nor repeats a version if one is deleted between pages', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const source = sourceFor(fake.url);
    const before = await source.readRegistry(null, noSignal);
    if (!before) throw new Error('nothing was read');
    fake.maxPage = 2;
    let edits = 0;
    fake.betweenPages = (path) => {
      // A version is deleted between the first two pages: everything behind it moves up by one.
      if (path.endsWith('model-versions/search') && edits === 0) {
        edits += 1;
        fake.registry.versions.splice(0, 1);
      }
    };
    const after = await source.readRegistry({ rows: before, reread: async () => () => false }, noSignal);
    const keys = after?.versions.map((item) => `${item.name} ${item.version}`).sort();
    expect(keys).toEqual(expect.arrayContaining(['DNA 10', 'DNA 2', 'aliased 1', 'aliased 2']));
    expect(new Set(keys).size).toBe(keys?.length);
  });

  it('requests lists in a stable order', async () => {
    const fake = await fakeMlflow(smallRegistry());
    await snapshotOf(sourceFor(fake.url));
    const orders = fake.requests
      .filter(({ path }) => /(models|versions)\/search$/.test(path))
      .map(({ query }) => query.getAll('order_by'));
    expect(orders).toEqual(expect.arrayContaining([['name ASC'], ['name ASC', 'version_number ASC']]));
  });

  it('detects alias and tag changes without a changed timestamp', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const source = sourceFor(fake.url);
    const first = await source.readRegistry(null, noSignal);
    if (!first) throw new Error('nothing was read');
    Object.assign(fake.registry.models[0] ?? {}, { aliases: [{ alias: 'champion', version: '2' }] });
    Object.assign(fake.registry.versions[1] ?? {}, { tags: [{ key: 'validated', value: 'no' }] });
    const second = await source.readRegistry({ rows: first, reread: async () => () => false }, noSignal);
    expect(second?.models[0]?.aliases).toEqual({ champion: '2' });
    expect(second?.versions[1]?.tags).toEqual({ validated: 'no' });
  });

  it('does not read metrics of finished runs again, except monitored ones', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const source = sourceFor(fake.url);
    const first = await source.readRegistry(null, noSignal);
    if (!first) throw new Error('nothing was read');
    for (const run of fake.registry.runs)
      run.data['metrics'] = [{ key: 'accuracy', value: 0.1, timestamp: 1, step: 2 }];
    const second = await source.readRegistry(
      { rows: first, reread: async () => (runId) => runId === 'run2' },
      noSignal,
    );
    const accuracy = Object.fromEntries((second?.runs ?? []).map((run) => [run.runId, run.metrics['accuracy']]));
    expect(accuracy).toEqual({ run1: 0.945, run2: 0.1, run3: 0.1 });
  });

  it('drops prompts, whether or not the server filters them', async () => {
    const registry = smallRegistry();
    const tags = [{ key: 'mlflow.prompt.is_prompt', value: 'true' }];
    registry.models.push({ name: 'a prompt', tags });
    registry.versions.push(
      { name: 'a prompt', version: '1', current_stage: 'None', tags },
      { name: 'orphan prompt', version: '1', tags },
    );
    const fake = await fakeMlflow(registry);
    const snapshot = await snapshotOf(sourceFor(fake.url));
    expect([...snapshot.models.keys()]).toEqual(['DNA', 'aliased', 'empty']);
  });

  it('keeps versions if the model search returns nothing (2.21.2 to 2.22.0)', async () => {
    const fake = await fakeMlflow({ ...smallRegistry(), models: [] });
    const snapshot = await snapshotOf(sourceFor(fake.url));
    expect([...snapshot.models.keys()]).toEqual(['DNA', 'aliased']);
    expect(snapshot.byStage.Production.map((item) => item.name)).toEqual(['DNA']);
  });

  it('accepts a server without logged models (404 in HTML)', async () => {
    const fake = await fakeMlflow(smallRegistry());
    fake.instead['/logged-models/m-1'] = { status: 404, type: 'text/html', body: '<h1>Not Found</h1>' };
    expect(await sourceFor(fake.url).readLoggedModel('m-1', noSignal)).toEqual([]);
  });

  it('reads histories in bulk with bare NaN, else one by one with max_results', async () => {
    const fake = await fakeMlflow(smallRegistry());
    fake.registry.histories = {
      'run1 accuracy': [
        { key: 'accuracy', value: 0.9, timestamp: 1000, step: 0 },
        { key: 'accuracy', value: 'NaN', timestamp: 2000, step: 1 },
      ],
      'run2 accuracy': [{ key: 'accuracy', value: 0.8, timestamp: 3000, step: 0 }],
    };
    const source = sourceFor(fake.url);
    const bulk = await source.readHistory(['run1', 'run2'], ['accuracy'], noSignal);
    expect(bulk.map((point) => [point.runId, point.at, point.value])).toEqual([
      ['run1', 1000, 0.9],
      ['run1', 2000, null],
      ['run2', 3000, 0.8],
    ]);
    expect(fake.calls).toHaveLength(1);
    fake.instead['get-history-bulk'] = { status: 404, type: 'text/html', body: '<h1>Not Found</h1>' };
    fake.maxPage = 1;
    expect(await source.readHistory(['run1', 'run2'], ['accuracy'], noSignal)).toEqual(bulk);
  });

  it('sends credentials, workspace and path prefix with every call, and no Origin', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const source = sourceFor(`${fake.url}/`, { workspace: 'team-a', user: 'dana', password: 'p@ss' });
    await source.readRegistry(null, noSignal);
    for (const { headers } of fake.requests) {
      expect(headers.authorization).toBe(`Basic ${Buffer.from('dana:p@ss').toString('base64')}`);
      expect(headers['x-mlflow-workspace']).toBe('team-a');
      expect(headers.origin).toBeUndefined();
    }
    const bearer = sourceFor(`${fake.url}/prefix/`, { token: 't0ken' });
    await bearer.readRegistry(null, noSignal).catch(() => undefined);
    expect(fake.requests.at(-1)?.headers.authorization).toBe('Bearer t0ken');
    expect(fake.requests.at(-1)?.path).toMatch(/^\/prefix\//);
  });

  it('keeps aliases and tags of a model hidden between pages', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const source = sourceFor(fake.url);
    const before = await source.readRegistry(null, noSignal);
    if (!before) throw new Error('nothing was read');
    fake.maxPage = 1;
    let edits = 0;
    fake.betweenPages = (path) => {
      if (path.endsWith('registered-models/search') && edits++ === 0) fake.registry.models.splice(0, 1);
    };
    const after = await source.readRegistry({ rows: before, reread: async () => () => false }, noSignal);
    expect(after?.models.find((model) => model.name === 'aliased')?.aliases).toEqual({ Champion: '2', gone: '9' });
  });

  it('reads a history longer than any page', async () => {
    const fake = await fakeMlflow(smallRegistry());
    fake.registry.histories['run1 accuracy'] = Array.from({ length: 150_000 }, (_, step) => ({
      key: 'accuracy',
      value: 1,
      timestamp: step + 1,
      step,
    }));
    expect(await sourceFor(fake.url).readHistory(['run1'], ['accuracy'], noSignal)).toHaveLength(150_000);
  });
});
