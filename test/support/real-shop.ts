import { former } from './apply-world.ts';
import { controlPlane } from './control-plane.ts';

/** A namespace of a real control plane, and a ServiceAccount with the permissions that deploy/ grants there. */

export const workload = (kind: 'Deployment' | 'StatefulSet', name: string, replicas: number) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'server', image: 'none', resources: former }] },
    },
  },
});

/** A namespace with a service, and an instance with the permissions of deploy/. */
export async function realShop() {
  const plane = await controlPlane();
  const { kubectl } = plane;
  for (const name of ['shop', 'control-tower']) await kubectl(['create', 'namespace', name]);
  await kubectl(['apply', '-n', 'control-tower', '-f', 'deploy/kubernetes/tower.yaml']);
  for (const name of ['experiments', 'apply'])
    await kubectl(['apply', '-n', 'shop', '-f', `deploy/kubernetes/${name}.yaml`]);
  const add = async (object: object) => kubectl(['apply', '-n', 'shop', '-f', '-'], JSON.stringify(object));
  const file = await plane.fileOf('control-tower', 'control-tower');
  const leases = async () => kubectl(['get', 'leases', '-n', 'shop', '-o', 'name']);
  return { ...plane, file, add, leases };
}

type Listed = { items: { metadata: { name: string; labels?: Record<string, string> } }[] };

/** Simulates a metrics server: every pod uses the given CPU. Its API is a custom resource. */
export async function measuredPods({ kubectl, client }: Awaited<ReturnType<typeof controlPlane>>, cpu: string) {
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'pods.metrics.k8s.io', annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' } },
    spec: {
      group: 'metrics.k8s.io',
      scope: 'Namespaced',
      names: { plural: 'pods', kind: 'PodMetrics', listKind: 'PodMetricsList' },
      versions: [
        {
          name: 'v1beta1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
  await kubectl(['apply', '-f', '-'], JSON.stringify(crd));
  await kubectl(['wait', '--for', 'condition=Established', 'crd/pods.metrics.k8s.io', '--timeout=30s']);
  const path = '/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods';
  const measured = new Set<string>();
  /** New pods only. */
  const measure = async () => {
    const { items } = await client.call<Listed>({ method: 'GET', path: '/api/v1/namespaces/shop/pods' });
    for (const { metadata } of items.filter(({ metadata }) => !measured.has(metadata.name))) {
      const { name, labels } = metadata;
      const timestamp = new Date(Date.now() + 3_600_000).toISOString();
      const body = {
        apiVersion: 'metrics.k8s.io/v1beta1',
        kind: 'PodMetrics',
        metadata: { name, labels },
        timestamp,
        window: '10s',
        containers: [{ name: 'server', usage: { cpu, memory: '50Mi' } }],
      };
      await client.call({ method: 'POST', path, body });
      measured.add(name);
    }
  };
  await measure();
  return measure;
}
