import { describe, expect, it } from 'vitest';
import type { ModelDrift } from '#services/drift/schemas.ts';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { handClock } from '../../../support/sources.ts';
import { testTower } from '../../../support/tower.ts';

const day = 86_400_000;
type Name = { name: string; createdAt: number };

/** An instance over a registry with one model, of one version in production, which is monitored and observed. */
async function watched() {
  const clock = handClock();
  const fake = await fakeMlflow();
  const has = (...models: Name[]) => {
    fake.registry.models = models.map(({ name, createdAt }) => ({ name, creation_timestamp: createdAt }));
    fake.registry.versions = models.map(({ name, createdAt }) => ({
      name,
      version: '1',
      creation_timestamp: createdAt + 1,
      current_stage: createdAt === 1_000 ? 'Production' : 'None',
    }));
  };
  has({ name: 'redo', createdAt: 1_000 });
  const { app, services } = await testTower({ MLFLOW_TRACKING_URI: fake.url }, { clock });
  const poll = async () => {
    await clock.advance(60_000);
    await services.registry.refresh();
  };
  await poll();
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url, payload });
  await post('/models/redo/1/monitor', { model_type: 'classifier', registered_by: 'a' });
  const observations = Array.from({ length: 24 }, (_, i) => ({
    at: new Date(clock.now() - (25 - i) * day).toISOString(),
    metric: 'accuracy',
    value: i < 12 ? 0.95 : 0.7 + i / 1e4,
  }));
  await post('/model/redo/1/observations', { observations });
  const get = async <T>(url: string) => (await app.inject(url)).json<T>();
  const statusOf = async (name: string) => (await get<ModelDrift>(`/model/${name}/drift`))[0]?.status;
  const monitored = async () => (await get<{ name: string }[]>('/models/monitored')).map(({ name }) => name);
  const target = async (name: string) =>
    (await get<{ rollback_target: string | null }>(`/model/${name}/history`)).rollback_target;
  return { app, has, poll, post, observations, statusOf, monitored, target };
}

describe('what is attached to a version', () => {
  it('stays with it', async () => {
    const { poll, statusOf, monitored } = await watched();
    await poll();
    expect([await statusOf('redo'), await monitored()]).toEqual(['drift', ['redo']]);
  });

  it.each([[2], [0]])('does not pass to a new model of its name, gone for %i polls', async (gone) => {
    const { has, poll, post, observations, statusOf, monitored, target } = await watched();
    for (let i = 0; i < gone; i += 1) {
      has();
      await poll();
    }
    has({ name: 'redo', createdAt: 2_000 });
    await poll();
    expect([await statusOf('redo'), await monitored(), await target('redo')]).toEqual(['no_data', [], null]);
    // The new one can be monitored and observed, also by the same ids.
    expect((await post('/model/redo/1/observations', { observations })).json()).toEqual({
      accepted: 24,
      duplicates: 0,
    });
    expect((await post('/models/redo/1/monitor', { model_type: 'regressor', registered_by: 'b' })).statusCode).toBe(
      201,
    );
    await poll();
    expect([await statusOf('redo'), await monitored()]).toEqual(['drift', ['redo']]);
  });

  it('is there again when the same version comes back, such as after a lost permission', async () => {
    const { has, poll, statusOf, monitored } = await watched();
    for (let i = 0; i < 3; i += 1) {
      has();
      await poll();
    }
    has({ name: 'redo', createdAt: 1_000 });
    await poll();
    expect([await statusOf('redo'), await monitored()]).toEqual(['drift', ['redo']]);
  });

  it('is there again when another version was in its place meanwhile', async () => {
    const { has, poll, statusOf, monitored } = await watched();
    has({ name: 'redo', createdAt: 2_000 });
    await poll();
    expect(await statusOf('redo')).toBe('no_data');
    has({ name: 'redo', createdAt: 1_000 });
    await poll();
    expect([await statusOf('redo'), await monitored()]).toEqual(['drift', ['redo']]);
  });

  it('follows a renamed model', async () => {
    const { has, poll, statusOf, monitored } = await watched();
    has({ name: 'renamed', createdAt: 1_000 });
    await poll();
    await poll();
    expect([await statusOf('renamed'), await monitored()]).toEqual(['drift', ['renamed']]);
  });

  it('follows a renamed model to a name that another one had', async () => {
    const { has, poll, post, statusOf, monitored } = await watched();
    has({ name: 'redo', createdAt: 1_000 }, { name: 'taken', createdAt: 3_000 });
    await poll();
    await post('/models/taken/1/monitor', { model_type: 'classifier', registered_by: 'a' });
    has({ name: 'redo', createdAt: 1_000 });
    await poll();
    await poll();
    has({ name: 'taken', createdAt: 1_000 });
    await poll();
    await poll();
    expect([await statusOf('taken'), await monitored()]).toEqual(['drift', ['taken']]);
  });
});
