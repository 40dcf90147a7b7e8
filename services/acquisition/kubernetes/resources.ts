import { notFound, TowerError } from '../../../src/kernel/errors.ts';
import type { KubernetesClient } from './client.ts';
import type { Container, List, Pod, Quantities, Workload } from './objects.ts';
import { type WorkloadKind, workloadPath } from './workloads.ts';

/** Requests and limits of containers: what they are, and what they are set to. */

export type Resources = { requests?: Quantities; limits?: Quantities };
export type Sized = { name: string; resources: Resources };
export type Found = { kind: WorkloadKind; selector: string; replicas: number; containers: Sized[] };

/** @throws TowerError `not_found`, `unavailable` */
export async function findWorkload(
  client: KubernetesClient,
  namespace: string,
  service: string,
  signal?: AbortSignal,
): Promise<Found> {
  for (const kind of ['Deployment', 'StatefulSet'] as const) {
    try {
      const path = workloadPath(namespace, kind, service);
      const { spec } = await client.call<Workload>({ method: 'GET', path }, signal);
      const labels = Object.entries(spec.selector.matchLabels ?? {});
      return {
        kind,
        selector: labels.map(([label, value]) => `${label}=${value}`).join(','),
        replicas: spec.replicas ?? 1,
        containers: spec.template.spec.containers.map(sizedOf),
      };
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    }
  }
  throw notFound(`${namespace} has no Deployment or StatefulSet ${service}`, { namespace, service });
}

const sizedOf = ({ name, resources }: Container): Sized => ({
  name,
  resources: {
    ...(resources?.requests ? { requests: resources.requests } : {}),
    ...(resources?.limits ? { limits: resources.limits } : {}),
  },
});

/**
 * Sets them in the template, so that pods are replaced; what is not named stays. `dryRun`: the API server judges it, quotas and
 * admission included, and changes nothing.
 * @throws TowerError `invalid` for what it refuses, `unavailable`
 */
export async function setResources(
  client: KubernetesClient,
  { namespace, service, kind }: { namespace: string; service: string; kind: WorkloadKind },
  containers: readonly Sized[],
  { dryRun = false, signal }: { dryRun?: boolean; signal?: AbortSignal } = {},
): Promise<void> {
  await client.call(
    {
      method: 'PATCH',
      path: workloadPath(namespace, kind, service),
      type: 'application/strategic-merge-patch+json',
      body: { spec: { template: { spec: { containers } } } },
      ...(dryRun ? { query: { dryRun: 'All' } } : {}),
    },
    signal,
  );
}

/** What sets them back to what they were: what was not there goes. */
export const undoing = (former: readonly Sized[]) =>
  former.map(({ name, resources }) => {
    const all = (of: Quantities | undefined) => ({ cpu: of?.cpu ?? null, memory: of?.memory ?? null });
    return { name, resources: { requests: all(resources.requests), limits: all(resources.limits) } as Resources };
  });

/** Of one pod, in place (Kubernetes 1.33 and later). @throws TowerError `not_found` where that is not known, `invalid`, `unavailable` */
export async function resizePod(
  client: KubernetesClient,
  namespace: string,
  pod: string,
  containers: readonly Sized[],
  signal?: AbortSignal,
): Promise<void> {
  await client.call(
    {
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${pod}/resize`,
      type: 'application/strategic-merge-patch+json',
      body: { spec: { containers } },
    },
    signal,
  );
}

/** @throws TowerError `unavailable` */
export async function podsOf(
  client: KubernetesClient,
  namespace: string,
  selector: string,
  signal?: AbortSignal,
): Promise<Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  return (await client.call<List<Pod>>({ method: 'GET', path, query: { labelSelector: selector } }, signal)).items;
}
