import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MlflowServer, peerProgram, startMlflow } from '../support/mlflow-server.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

type Event = { id: number; type: string; alias: string | null; after: unknown; name: string };

/** A real MLflow that may call this machine, with one model of two versions. */
describe('a change in a real MLflow', () => {
  const program = peerProgram('mlflow3', 'mlflow');
  const directory = mkdtempSync(join(tmpdir(), 'tower-peer-'));
  let server: MlflowServer;

  const call = async (method: string, path: string, body: object) => {
    const response = await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    expect(response.status, `${path}: ${text}`).toBe(200);
    return JSON.parse(text) as Record<string, Record<string, string>>;
  };

  beforeAll(async () => {
    if (!program) return;
    server = await startMlflow(program, directory, `sqlite:///${join(directory, 'mlflow.db')}`, [], {
      MLFLOW_WEBHOOK_ALLOWED_SCHEMES: 'http,https',
      MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS: 'true',
      MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY: randomBytes(32)
        .toString('base64')
        .replaceAll('+', '-')
        .replaceAll('/', '_'),
    });
    await call('POST', 'registered-models/create', { name: 'churn' });
    for (const source of ['s3://b/1', 's3://b/2'])
      await call('POST', 'model-versions/create', { name: 'churn', source });
  });
  afterAll(async () => {
    await server?.program.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Waits for the next event; returns it and the time since `since`. */
  async function nextEvent(tower: { url: string }, alias: string, since: number, withinMs: number) {
    for (;;) {
      const events = (await (await fetch(`${tower.url}/models/events?limit=10`)).json()) as Event[];
      const found = events.find((event) => event.alias === alias);
      const took = Date.now() - since;
      if (found || took > withinMs) return { found, took };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it.skipIf(!program)("is detected within a second, by MLflow's own webhook", async () => {
    const secret = 'a-shared-secret';
    const tower = await servingTower(temporaryDirectory(), {
      MLFLOW_TRACKING_URI: server.url,
      MLFLOW_WEBHOOK_SECRET: secret,
      RATE_LIMIT_PER_MINUTE: '100000',
    });
    await fetch(`${tower.url}/cache/refresh`, { method: 'POST' });
    const events = [
      { entity: 'MODEL_VERSION_ALIAS', action: 'CREATED' },
      { entity: 'MODEL_VERSION_TAG', action: 'SET' },
    ];
    const made = await call('POST', 'webhooks', { name: 'tower', url: `${tower.url}/webhooks/mlflow`, events, secret });
    const id = made['webhook']?.['webhook_id'] ?? '';
    // MLflow's own delivery takes most of the time, and its first one is slow: the median of three counts.
    const times: number[] = [];
    for (const alias of ['champion', 'second', 'third']) {
      const since = Date.now();
      await call('POST', 'registered-models/alias', { name: 'churn', alias, version: '2' });
      const { found, took } = await nextEvent(tower, alias, since, 10_000);
      expect(found).toMatchObject({ type: 'model_version_alias.created', name: 'churn', after: '2' });
      times.push(took);
    }
    expect(times.toSorted((a, b) => a - b)[1], `${times.join(', ')} ms`).toBeLessThan(1000);

    // MLflow's test delivery is signed, but about a model that does not exist: nothing is mirrored.
    const response = await fetch(`${server.url}/api/2.0/mlflow/webhooks/${id}/test`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    const { result } = (await response.json()) as { result: { success: boolean; response_status: number } };
    expect(result).toMatchObject({ success: true, response_status: 202 });
    expect((await fetch(`${tower.url}/model/example_model/versions`)).status).toBe(404);
    await tower.stop();
  });

  it.skipIf(!program)('is detected within one interval without a webhook', async () => {
    const tower = await servingTower(temporaryDirectory(), {
      MLFLOW_TRACKING_URI: server.url,
      CACHE_REFRESH_INTERVAL_MINUTES: '0.05',
      RATE_LIMIT_PER_MINUTE: '100000',
    });
    await fetch(`${tower.url}/cache/refresh`, { method: 'POST' });
    const since = Date.now();
    await call('POST', 'registered-models/alias', { name: 'churn', alias: 'challenger', version: '1' });
    const { found, took } = await nextEvent(tower, 'challenger', since, 20_000);
    expect(found).toMatchObject({ type: 'model_version_alias.created', after: '1' });
    // 3 s with a tenth of jitter, and the time of one refresh.
    expect(took, `${took} ms`).toBeLessThan(4500);
    await tower.stop();
  });

  it.skipIf(!program)('is detected in one of two registries while the other is down', async () => {
    const other = await startMlflow(program ?? '', directory, `sqlite:///${join(directory, 'other.db')}`);
    const tower = await servingTower(temporaryDirectory(), {
      MLFLOW_TRACKING_URI: `prod=${server.url},lab=${other.url}`,
      CACHE_REFRESH_INTERVAL_MINUTES: '0.05',
      RATE_LIMIT_PER_MINUTE: '100000',
    });
    const health = async () =>
      (await (await fetch(`${tower.url}/health`)).json()) as {
        registries: { name: string; status: string; stale: boolean }[];
      };
    const until = async (what: () => Promise<boolean>) => {
      const deadline = Date.now() + 20_000;
      while (!(await what()) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await until(async () => (await health()).registries.every((item) => item.status === 'healthy'));
    await other.program.stop('SIGKILL');
    await until(async () => (await health()).registries[1]?.status === 'degraded');
    const since = Date.now();
    await call('POST', 'registered-models/alias', { name: 'churn', alias: 'shadow', version: '1' });
    const { found } = await nextEvent(tower, 'shadow', since, 20_000);
    expect(found).toMatchObject({ type: 'model_version_alias.created', registry: 'prod' });
    expect((await health()).registries).toMatchObject([
      { name: 'prod', status: 'healthy', stale: false },
      { name: 'lab', status: 'degraded', stale: true },
    ]);
    const list = await fetch(`${tower.url}/models/all?registry=prod`);
    expect(list.headers.get('x-cache-stale')).toBe('false');
    await tower.stop();
  });
});
