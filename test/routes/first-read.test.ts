import { describe, expect, it } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { testTower } from '../support/tower.ts';

async function unread(env: Record<string, string> = {}) {
  const fake = await fakeMlflow(smallRegistry());
  const gate = Promise.withResolvers<void>();
  fake.hold = gate.promise;
  const tower = await testTower({ MLFLOW_TRACKING_URI: fake.url, ...env });
  return { ...tower, fake, answer: gate.resolve };
}

describe('before the first read has ended', () => {
  it('lists wait for it and have its result; all of them share one read', async () => {
    const { app, fake, answer } = await unread();
    const paths = ['/models', '/models/production', '/experiments', '/model/DNA/versions', '/models/all?stage=Staging'];
    const calls = paths.map((path) => app.inject(path));
    answer();
    const answers = await Promise.all(calls);
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(paths.map(() => 200));
    for (const response of answers) expect(response.json<unknown[]>().length).toBeGreaterThan(0);
    expect(fake.calls.filter((call) => call.endsWith('model-versions/search'))).toHaveLength(1);
  });

  it('lists fail with the reason if MLflow does not answer', async () => {
    const { app, fake, answer } = await unread({ MLFLOW_MAX_RETRIES: '0' });
    fake.instead['registered-models/search'] = { status: 500, body: 'broken' };
    const calls = [app.inject('/models'), app.inject('/experiments')];
    answer();
    for (const response of await Promise.all(calls)) {
      expect(response.statusCode).toBe(503);
      expect(response.headers['retry-after']).toBeDefined();
    }
    // Until the next attempt, the failure is answered at once.
    expect((await app.inject('/models')).statusCode).toBe(503);
  });

  it('lists wait no longer than a call to MLflow may take', { timeout: 20_000 }, async () => {
    const { app, answer } = await unread({ MLFLOW_TIMEOUT_SECONDS: '1', MLFLOW_MAX_RETRIES: '2' });
    const response = await app.inject('/models');
    expect([response.statusCode, response.json<{ error: { type: string } }>().error.type]).toEqual([
      503,
      'unavailable',
    ]);
    answer();
  });

  it('the monitored set and the health report do not wait', async () => {
    const { app, answer } = await unread();
    expect((await app.inject('/health')).statusCode).toBe(200);
    expect((await app.inject('/models/monitored/status?model_name=DNA&model_version=1')).statusCode).toBeLessThan(500);
    answer();
  });
});
