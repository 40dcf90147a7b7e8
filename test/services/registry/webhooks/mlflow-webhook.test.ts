import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { signedHeaders } from '../../../support/signed.ts';
import { handClock, settle } from '../../../support/sources.ts';
import { testTower } from '../../../support/tower.ts';

async function pushedTower() {
  const registry = smallRegistry();
  setAliases(registry, 'DNA', []);
  const fake = await fakeMlflow(registry);
  const clock = handClock();
  const tower = await testTower({ MLFLOW_TRACKING_URI: fake.url, MLFLOW_WEBHOOK_SECRET: 'shared' }, { clock });
  await tower.services.registry.refresh();
  fake.calls.length = 0;
  const push = (data: object, more: { at?: number; id?: string; secret?: string; body?: string } = {}) => {
    const body = more.body ?? JSON.stringify({ entity: 'model_version_alias', action: 'created', data });
    const headers = signedHeaders(more.secret ?? 'shared', body, { at: clock.now(), ...more });
    return tower.app.inject({ method: 'POST', url: '/webhooks/mlflow', headers, payload: body });
  };
  const events = async () => (await tower.services.changes.events({})).events;
  const until = async (what: () => Promise<boolean>) => {
    const deadline = Date.now() + 30_000;
    while (!(await what()) && Date.now() < deadline) await settle();
  };
  return { ...tower, fake, registry, clock, push, events, until };
}

const setAliases = (registry: ReturnType<typeof smallRegistry>, name: string, aliases: object[]) => {
  const model = registry.models.find((item) => item['name'] === name);
  if (model) model['aliases'] = aliases;
};

describe('webhooks of MLflow', () => {
  it('cause a read of the model, and an event', async () => {
    const { app, fake, registry, push, events, until } = await pushedTower();
    setAliases(registry, 'DNA', [{ alias: 'blue', version: '2' }]);
    const response = await push({ name: 'DNA', alias: 'blue', version: '2' });
    expect(response.statusCode).toBe(202);
    expect(response.json()).toEqual({ status: 'accepted', event: 'model_version_alias.created', model_name: 'DNA' });
    await until(async () => (await events()).length > 0);
    expect(await events()).toMatchObject([
      { type: 'model_version_alias.created', name: 'DNA', alias: 'blue', after: '2' },
    ]);
    const [version] = (await app.inject('/models/all?name=DNA&alias=blue')).json<
      { version: string; metrics: object }[]
    >();
    expect(version).toMatchObject({ version: '2', metrics: { accuracy: 0.91 } });
    expect(new Set(fake.calls)).toEqual(
      new Set([
        'GET /api/2.0/mlflow/registered-models/search',
        'GET /api/2.0/mlflow/model-versions/search',
        'POST /api/2.0/mlflow/runs/search',
      ]),
    );
    expect(fake.requests.at(-1)?.body['filter'] ?? '').toContain('run_id IN');
    expect(fake.requests.some(({ query }) => query.get('filter') === "name = 'DNA'")).toBe(true);
  });

  it('are trusted for nothing but the name', async () => {
    const { push, events, until, fake } = await pushedTower();
    await push({ name: 'DNA', alias: 'invented', version: '7' });
    await push({ name: 'example_model', version: '1' });
    await until(async () => fake.requests.some(({ query }) => query.get('filter') === "name = 'example_model'"));
    await settle();
    expect(await events()).toEqual([]);
  });

  it('are accepted once', async () => {
    const { push, fake } = await pushedTower();
    const id = 'b6b3a9a0-0000-4000-8000-000000000001';
    expect((await push({ name: 'DNA' }, { id })).json()).toMatchObject({ status: 'accepted' });
    await settle();
    const calls = fake.calls.length;
    expect((await push({ name: 'DNA' }, { id })).json()).toMatchObject({ status: 'duplicate' });
    await settle();
    expect(fake.calls.length).toBe(calls);
  });

  it.each([
    ['another secret', { secret: 'guess' }, /^X-MLflow-Signature is missing or invalid$/],
    ['an old time', { at: Date.UTC(2026, 10, 19, 23, 54) }, /^X-MLflow-Timestamp must be within 300 s/],
    ['a time to come', { at: Date.UTC(2026, 10, 20, 0, 6) }, /^X-MLflow-Timestamp must be within 300 s/],
  ])('are refused with %s', async (_what, more, text) => {
    const { push, fake } = await pushedTower();
    const response = await push({ name: 'DNA' }, more);
    expect(response.statusCode).toBe(401);
    expect(response.json<{ detail: string }>().detail).toMatch(text);
    expect(fake.calls).toEqual([]);
  });

  it('are verified over the received bytes', async () => {
    const { push } = await pushedTower();
    const body = '{"entity": "model_version",  "action":"created", "data": {"name": "caf\\u00e9"}}';
    expect((await push({}, { body })).json()).toMatchObject({ status: 'accepted', model_name: 'café' });
  });

  it.each([
    '',
    'not json',
    '[]',
    'null',
    '{"entity":"x"}',
    '[[[[',
  ])('that are malformed are refused: %j', async (body) => {
    const { push } = await pushedTower();
    expect((await push({}, { body })).statusCode).toBe(400);
  });

  it('about other entities are ignored', async () => {
    const { push, fake } = await pushedTower();
    const body = JSON.stringify({ entity: 'budget_policy', action: 'exceeded', data: { name: 'DNA' } });
    expect((await push({}, { body })).json()).toMatchObject({ status: 'ignored' });
    expect(fake.calls).toEqual([]);
  });

  it('during a full read are not undone by it', async () => {
    const { fake, registry, push, events, until, services } = await pushedTower();
    const gate = Promise.withResolvers<void>();
    let held = false;
    fake.betweenPages = (path) => {
      if (!path.endsWith('model-versions/search') || held) return;
      held = true;
      fake.hold = gate.promise;
    };
    const whole = services.registry.refresh();
    await until(async () => held);
    fake.hold = null;
    setAliases(registry, 'DNA', [{ alias: 'blue', version: '2' }]);
    await push({ name: 'DNA' });
    await until(async () => (await events()).length > 0);
    gate.resolve();
    await whole;
    expect((await services.registry.model('DNA')).aliases).toEqual({ blue: '2' });
    expect((await events()).map((event) => event.type)).toEqual(['model_version_alias.created']);
  });

  it('with an unreadable name cause a full read', async () => {
    const { push, until, fake } = await pushedTower();
    await push({ name: `it's "quoted"` });
    await until(async () => fake.calls.includes('GET /api/2.0/mlflow/experiments/search'));
    expect(fake.calls).toContain('GET /api/2.0/mlflow/experiments/search');
  });
});
