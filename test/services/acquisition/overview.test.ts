import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createOverview } from '#services/acquisition/overview.ts';
import type { CollectionStatus, HealthAnswer, SystemHealth } from '#services/acquisition/overview-schemas.ts';
import { fakeKubernetes } from '../../fakes/kubernetes.ts';
import { writeExperiments } from '../../support/experiments.ts';
import { freePort } from '../../support/processes.ts';
import { temporaryDirectory, testTower } from '../../support/tower.ts';

async function towerWith(env: Record<string, string> = {}) {
  const { app } = await testTower({ PROMETHEUS_MAX_RETRIES: '0', ...env });
  return async <Answer>(path: string): Promise<Answer> => {
    const answer = await app.inject(`/api/v1/acquisition/${path}`);
    expect(answer.statusCode).toBe(200);
    return answer.json<Answer>();
  };
}

it.each([
  [{ status: 'succeeded', result: { failures: [] } }, 'completed'],
  [{ status: 'succeeded', result: { failures: [{ experiment_id: 'web_browsing_replicas_1_users_5' }] } }, 'completed'],
  [
    { status: 'succeeded', result: { failures: [{ experiment_id: 'cart_browsing_replicas_1_users_5' }] } },
    'incomplete',
  ],
  [{ status: 'cancelled', result: null }, 'incomplete'],
  [{ status: 'failed', result: null }, 'incomplete'],
  [{ status: 'running', result: null }, 'in_progress'],
])('the status of a service whose latest job is %o is %s', async (job, expected) => {
  const directory = temporaryDirectory();
  writeExperiments(directory, 'cart');
  const jobs = async () => [
    { ...job, services: ['cart', 'web'] },
    { status: 'succeeded', services: ['cart'] },
  ];
  const deps = { client: null, directory, jobs, models: async () => [], testConnection: async () => ({}) };
  const { services } = await createOverview(deps as unknown as Parameters<typeof createOverview>[0]).status('cart');
  expect(services['cart']!.status).toBe(expected);
});

describe('acquisition health', () => {
  it('is healthy without configuration, and lists what is not configured', async () => {
    const ask = await towerWith();
    expect(await ask<HealthAnswer>('health')).toEqual({
      status: 'healthy',
      checks: { kubernetes: null, prometheus: null, data_pipeline: true, ml_pipeline: true },
      details: {
        kubernetes: 'KUBERNETES_CONFIG is not set',
        prometheus: 'PROMETHEUS_URL is not set',
        data_pipeline: 'the directory of experiments is readable and writable',
        ml_pipeline: '0 models',
      },
    });
  });

  it('is unhealthy if a server does not answer, and names it', { timeout: 20_000 }, async () => {
    const fake = await fakeKubernetes();
    fake.close();
    const ask = await towerWith({
      KUBERNETES_CONFIG: fake.file,
      PROMETHEUS_URL: `http://127.0.0.1:${await freePort()}`,
      EXPERIMENTS_DIRECTORY: import.meta.filename,
    });
    const system = await ask<SystemHealth & Pick<HealthAnswer, 'details'>>('system?namespace=shop');
    expect(system).toMatchObject({
      kubernetes: 'unreachable',
      prometheus: 'unreachable',
      shop: { pods_running: null, services_available: null },
      overall_status: 'unhealthy',
    });
    const { details } = system;
    expect(details.kubernetes).toMatch(/^(cannot reach Kubernetes \(ECONNREFUSED\)|no answer within 5 s)$/);
    expect(details.prometheus).toContain('cannot reach Prometheus');
    expect(details.data_pipeline).toBe('the directory of experiments is not readable and writable (EEXIST)');
  });

  it('counts workloads of a namespace, with the documented keys', async () => {
    const fake = await fakeKubernetes({ namespace: 'hipster-shop' });
    fake.workload('Deployment', 'frontend', 2, [{ name: 'server' }]);
    fake.workload('Deployment', 'idle', 0, [{ name: 'server' }]);
    const ask = await towerWith({ KUBERNETES_CONFIG: fake.file });
    const system = await ask<SystemHealth>('system');
    expect(system).toMatchObject({
      minikube: 'running',
      kubernetes: 'running',
      prometheus: 'not configured',
      hipster_shop: { pods_running: 2, services_available: 1 },
      overall_status: 'healthy',
    });
    expect(system.system_resources.memory_usage).toMatch(/^\d+\.\d%$/);
    // A namespace may have the name of a field of the answer, which keeps its meaning.
    expect(await ask<SystemHealth>('system?namespace=prometheus')).toMatchObject({ prometheus: 'not configured' });
  });

  it('reports the progress of each service', async () => {
    const directory = temporaryDirectory();
    writeExperiments(directory, 'cart');
    const ask = await towerWith({ EXPERIMENTS_DIRECTORY: directory });
    const { services, data_collection } = await ask<CollectionStatus>('status');
    expect(services['cart']).toMatchObject({ status: 'completed', models_trained: false });
    expect(services['cart']!.experiments).toBe(data_collection.total_csv_files);
    expect(data_collection.in_progress).toBe(false);
    expect((await ask<CollectionStatus>('status?service=web')).services).toEqual({
      web: { status: 'not_started', experiments: 0, models_trained: false },
    });
    // An experiment without JSON is incomplete.
    writeFileSync(join(directory, 'web_browsing_replicas_1_users_5.csv'), 'timestamp\n');
    expect((await ask<CollectionStatus>('status?service=web')).services['web']).toMatchObject({ experiments: 0 });
    expect(await ask('collection')).toMatchObject({ process_running: false, estimated_completion: null, jobs: [] });
  });
});
