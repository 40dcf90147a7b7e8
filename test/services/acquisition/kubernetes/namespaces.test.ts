import { describe, expect, it } from 'vitest';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { scaleWorkload, workloadsOf } from '#services/acquisition/kubernetes/workloads.ts';
import { fakeKubernetes } from '../../../fakes/kubernetes.ts';
import { cliOver } from '../../../support/cli.ts';
import { clusteredEnv } from '../../../support/cluster-series.ts';
import { quick } from '../../../support/small-cluster.ts';

describe('changes outside of the allowed namespaces', () => {
  it.each([[[]], [['shop-2', 'sho']], [['SHOP']]])('are refused before anything is sent: %o', async (namespaces) => {
    const fake = await fakeKubernetes();
    fake.workload('Deployment', 'web', 2, []);
    const client = createKubernetesClient({
      config: fake.file,
      context: undefined,
      timeoutMs: 5000,
      namespaces,
      clock: quick,
    });
    expect(await workloadsOf(client, 'shop')).toHaveLength(1);
    const refusal = { code: 'forbidden', details: { parameter: 'KUBERNETES_NAMESPACES', namespace: 'shop' } };
    await expect(scaleWorkload(client, 'shop', 'web', 0)).rejects.toMatchObject(refusal);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) {
      const path = '/apis/coordination.k8s.io/v1/namespaces/shop/leases/x';
      await expect(client.call({ method, path })).rejects.toMatchObject(refusal);
      const encoded = path.replace('shop', '%73hop');
      await expect(client.call({ method, path: encoded })).rejects.toMatchObject(refusal);
    }
    // A dry run changes nothing; what this service changed before may be restored.
    const path = '/apis/apps/v1/namespaces/shop/deployments/web/scale';
    const body = { spec: { replicas: 2 } };
    const type = 'application/merge-patch+json' as const;
    await client.call({ method: 'PATCH', path, body, type, query: { dryRun: 'All' } });
    await client.call({ method: 'PATCH', path, body, type, isRestore: true });
    expect(await workloadsOf(client, 'shop')).toMatchObject([{ replicas: 2 }]);
  });

  it('are refused by the API with 403, which names the setting', async () => {
    const { app } = await cliOver({ ...(await clusteredEnv()), KUBERNETES_NAMESPACES: 'other' });
    const post = (url: string, payload: object) => app.inject({ method: 'POST', url, payload });
    const experiments = await post('/api/v1/acquisition/experiments/jobs', {
      namespace: 'shop',
      services: ['web'],
    });
    const apply = await post('/api/v1/rightsizing/shop/web/apply', { dry_run: false });
    for (const { statusCode, json } of [experiments, apply])
      expect([statusCode, json().error.details.parameter]).toEqual([403, 'KUBERNETES_NAMESPACES']);
  });
});
