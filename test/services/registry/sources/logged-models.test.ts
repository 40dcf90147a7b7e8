import { describe, expect, it } from 'vitest';
import { modelInfo } from '#services/registry/schemas.ts';
import type { ModelVersion } from '#services/registry/snapshot/snapshot.ts';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { snapshotOf, sourceFor } from '../../../support/sources.ts';
import { testTower } from '../../../support/tower.ts';

const hex = (digit: string) => `m-${digit.repeat(32)}`;
const [first, second, third] = [hex('a'), hex('b'), hex('c')];
type Point = { key: string; value: number | string; step?: number; timestamp?: number; dataset_name?: string };
const logged = (modelId: string, metrics: Point[]) => ({
  info: { model_id: modelId, experiment_id: '1', source_run_id: 'shared' },
  data: { metrics: metrics.map((point) => ({ timestamp: 1, step: 0, ...point })) },
});

/** A run with accuracy 0.95 and loss 0.2, and one version per source. */
function registryOf(sources: string[], models: Record<string, ReturnType<typeof logged>>) {
  const registry = smallRegistry();
  registry.runs.push({
    info: { run_id: 'shared', experiment_id: '1', status: 'FINISHED', lifecycle_stage: 'active', end_time: 10 },
    data: {
      metrics: [
        { key: 'accuracy', value: 0.95, timestamp: 2, step: 1 },
        { key: 'loss', value: 0.2, timestamp: 2, step: 1 },
      ],
    },
  });
  registry.models.push({ name: 'net', creation_timestamp: 5 });
  for (const [i, source] of sources.entries())
    registry.versions.push({
      name: 'net',
      version: String(i + 1),
      run_id: 'shared',
      source,
      creation_timestamp: 6 + i,
    });
  registry.loggedModels = models;
  return registry;
}

const metricsOf = (versions: ModelVersion[]) =>
  versions
    .filter(({ name }) => name === 'net')
    .map(modelInfo)
    .map(({ metrics, metric_sources }) => ({ metrics, metric_sources }));

describe('versions of one run', () => {
  it('have the metrics of their own logged model, and those of the run that no model has', async () => {
    const registry = registryOf([`models:/${first}`, `models:/${second}`, 'runs:/shared/model'], {
      [first]: logged(first, [{ key: 'accuracy', value: 0.7 }]),
      [second]: logged(second, [{ key: 'accuracy', value: 0.95, step: 1 }]),
    });
    const { url } = await fakeMlflow(registry);
    const { versions } = await snapshotOf(sourceFor(url));
    expect(metricsOf(versions)).toEqual([
      { metrics: { accuracy: 0.7, loss: 0.2 }, metric_sources: { accuracy: 'logged_model', loss: 'run' } },
      { metrics: { accuracy: 0.95, loss: 0.2 }, metric_sources: { accuracy: 'logged_model', loss: 'run' } },
      { metrics: { accuracy: 0.95, loss: 0.2 }, metric_sources: { accuracy: 'run', loss: 'run' } },
    ]);
  });

  it('do not have what only the model of another version has', async () => {
    const registry = registryOf([`models:/${first}`, `models:/${second}`], {
      [first]: logged(first, []),
      [second]: logged(second, [{ key: 'accuracy', value: 0.95 }]),
    });
    const { url } = await fakeMlflow(registry);
    expect(metricsOf((await snapshotOf(sourceFor(url))).versions).map(({ metrics }) => metrics)).toEqual([
      { loss: 0.2 },
      { accuracy: 0.95, loss: 0.2 },
    ]);
  });

  it.each([
    ['the path of its artifacts', `mlflow-artifacts:/1/models/${third}/artifacts`],
    ['a copy of a version', 'models:/net/1'],
  ])('know their model by %s', async (_, source) => {
    const registry = registryOf([`models:/${third}`, source], {
      [third]: logged(third, [{ key: 'accuracy', value: 0.6 }]),
    });
    const { url } = await fakeMlflow(registry);
    const { versions } = await snapshotOf(sourceFor(url));
    expect(metricsOf(versions).map(({ metrics }) => metrics['accuracy'])).toEqual([0.6, 0.6]);
    expect(versions.filter(({ name }) => name === 'net').map(({ modelId }) => modelId)).toEqual([third, third]);
  });

  it.each([
    ['a model named like a logged model', `models:/${first}/1`],
    ['a copy of itself', 'models:/net/1'],
    ['a version that does not exist', 'models:/gone/7'],
  ])('have the metrics of the run if the source is %s', async (_, source) => {
    const { url } = await fakeMlflow(registryOf([source], {}));
    expect(metricsOf((await snapshotOf(sourceFor(url))).versions)[0]?.metrics).toEqual({ accuracy: 0.95, loss: 0.2 });
  });

  it('have the value of the greatest step, then the latest, then the greatest; NaN is null', async () => {
    const registry = registryOf([`models:/${first}`], {
      [first]: logged(first, [
        { key: 'accuracy', value: 0.9, step: 2, timestamp: 1 },
        { key: 'accuracy', value: 0.1, step: 1, timestamp: 9 },
        { key: 'f1', value: 0.3, timestamp: 2 },
        { key: 'f1', value: 0.4, timestamp: 2, dataset_name: 'test' },
        { key: 'bad', value: 'NaN' },
      ]),
    });
    const { url } = await fakeMlflow(registry);
    expect(metricsOf((await snapshotOf(sourceFor(url))).versions)[0]?.metrics).toEqual({
      accuracy: 0.9,
      bad: null,
      f1: 0.4,
      loss: 0.2,
    });
  });

  it('are read one by one where the server cannot search by id, and have the run’s metrics before MLflow 3', async () => {
    const registry = registryOf([`models:/${first}`], { [first]: logged(first, [{ key: 'accuracy', value: 0.7 }]) });
    const fake = await fakeMlflow(registry);
    fake.instead['logged-models/search'] = { status: 400, body: '{"error_code":"INVALID_PARAMETER_VALUE"}' };
    const accuracy = async () => metricsOf((await snapshotOf(sourceFor(fake.url))).versions)[0]?.metrics['accuracy'];
    expect(await accuracy()).toBe(0.7);
    fake.instead['logged-models/search'] = { status: 404, body: '<html>Not Found</html>' };
    expect(await accuracy()).toBe(0.95);
    fake.instead['logged-models/search'] = { status: 500, body: 'broken' };
    await expect(accuracy()).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('an instance over such a registry', () => {
  it('uses these metrics in lists, sorting, filters, comparison, gate and events', async () => {
    const registry = registryOf([`models:/${first}`, `models:/${second}`], {
      [first]: logged(first, [{ key: 'accuracy', value: 0.7 }]),
      [second]: logged(second, [{ key: 'accuracy', value: 0.95 }]),
    });
    const fake = await fakeMlflow(registry);
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: fake.url });
    await services.registry.refresh();
    const names = async (query: string) =>
      (await app.inject(`/models/all?name=net&fields=version&${query}`))
        .json<{ version: string }[]>()
        .map((v) => v.version);
    expect(await names('order_by=metrics.accuracy%20desc')).toEqual(['2', '1']);
    expect(await names('metric=accuracy>=0.9')).toEqual(['2']);
    const gate = async (version: string) =>
      (
        await app.inject({
          method: 'POST',
          url: `/model/net/${version}/gate`,
          payload: { rules: [{ metric: 'accuracy', min: 0.9 }] },
        })
      ).json<{ status: string }>().status;
    expect([await gate('1'), await gate('2')]).toEqual(['fail', 'pass']);
    const compared = (await app.inject('/model/net/compare?versions=1,2')).json<{ metrics: object[] }>();
    expect(compared.metrics).toEqual(
      expect.arrayContaining([expect.objectContaining({ name: 'accuracy', champion: 0.7, challenger: 0.95 })]),
    );
    registry.loggedModels[first] = logged(first, [{ key: 'accuracy', value: 0.75, step: 3 }]);
    expect((await app.inject({ method: 'POST', url: '/cache/refresh' })).statusCode).toBe(200);
    const events = (await app.inject('/models/events?type=model_version.metrics_changed')).json<object[]>();
    expect(events).toMatchObject([{ name: 'net', version: '1', before: { accuracy: 0.7 }, after: { accuracy: 0.75 } }]);
  });
});
