import { conflict, notFound, TowerError } from '#kernel/errors.ts';
import { createPageGuard } from '#kernel/page-guard.ts';
import type { KubernetesClient } from './client.ts';
import { type Autoscaler, amountOf, type Container, type List, type Scale, type Workload } from './objects.ts';

/** Deployments and StatefulSets: resources and replicas. */

export type WorkloadKind = 'Deployment' | 'StatefulSet';
export type WorkloadAbout = {
  kind: WorkloadKind;
  name: string;
  replicas: number;
  ready_replicas: number;
  containers: {
    name: string;
    cpu_request_cores: number | null;
    cpu_limit_cores: number | null;
    memory_request_bytes: number | null;
    memory_limit_bytes: number | null;
  }[];
  /** Names of the autoscalers that act on the workload; `vpa` is null if reading VPAs is forbidden. */
  hpa: string[];
  vpa: string[] | null;
};

export const plurals: Record<WorkloadKind, string> = { Deployment: 'deployments', StatefulSet: 'statefulsets' };
const kinds = Object.keys(plurals) as WorkloadKind[];

export const workloadPath = (namespace: string, kind: WorkloadKind, name = ''): string =>
  `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/${plurals[kind]}${name && `/${encodeURIComponent(name)}`}`;

/** Page size of lists. */
const pageSize = '250';

async function listAll<Item>(client: KubernetesClient, path: string, signal?: AbortSignal): Promise<Item[]> {
  const items: Item[] = [];
  const guard = createPageGuard('Kubernetes');
  let next: string | undefined;
  do {
    const query: Record<string, string> = { limit: pageSize, ...(next ? { continue: next } : {}) };
    const page = await client.call<List<Item>>({ method: 'GET', path, query }, signal);
    items.push(...page.items);
    next = page.metadata.continue;
    if (next) guard(next);
  } while (next);
  return items;
}

/** Workloads by name. @throws TowerError `unavailable` */
export async function workloadsOf(
  client: KubernetesClient,
  namespace: string,
  signal?: AbortSignal,
): Promise<WorkloadAbout[]> {
  const [hpas, vpas, ...lists] = await Promise.all([
    autoscalersOf(client, namespace, 'hpa', signal),
    autoscalersOf(client, namespace, 'vpa', signal),
    ...kinds.map(async (kind) => ({
      kind,
      items: await listAll<Workload>(client, workloadPath(namespace, kind), signal),
    })),
  ]);
  const named = (scalers: Autoscaler[], kind: WorkloadKind, name: string) =>
    scalers.filter((each) => targetsWorkload(each, kind, name)).map(({ metadata }) => metadata.name);
  return lists
    .flatMap(({ kind, items }) =>
      items.map(
        ({ metadata: { name }, spec, status }): WorkloadAbout => ({
          kind,
          name,
          replicas: spec.replicas ?? 1,
          ready_replicas: status?.readyReplicas ?? 0,
          containers: spec.template.spec.containers.map(containerAbout),
          hpa: named(hpas ?? [], kind, name),
          vpa: vpas && named(vpas, kind, name),
        }),
      ),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether an autoscaler acts on a workload. */
export function targetsWorkload({ spec }: Autoscaler, kind: WorkloadKind, name: string): boolean {
  const target = spec.scaleTargetRef ?? spec.targetRef;
  return target?.kind === kind && target.name === name;
}

const containerAbout = ({ name, resources }: Container): WorkloadAbout['containers'][number] => ({
  name,
  cpu_request_cores: amountOf(resources?.requests?.cpu),
  cpu_limit_cores: amountOf(resources?.limits?.cpu),
  memory_request_bytes: amountOf(resources?.requests?.memory),
  memory_limit_bytes: amountOf(resources?.limits?.memory),
});

export const autoscalerPath = (namespace: string): string =>
  `/apis/autoscaling/v2/namespaces/${encodeURIComponent(namespace)}/horizontalpodautoscalers`;
const autoscalerPaths = {
  hpa: autoscalerPath,
  vpa: (namespace: string) => `/apis/autoscaling.k8s.io/v1/namespaces/${namespace}/verticalpodautoscalers`,
};

/** Autoscalers of a namespace; empty if the resource does not exist, null if reading VPAs is forbidden. */
export async function autoscalersOf(
  client: KubernetesClient,
  namespace: string,
  which: 'hpa' | 'vpa',
  signal?: AbortSignal,
): Promise<Autoscaler[] | null> {
  try {
    return await listAll<Autoscaler>(client, autoscalerPaths[which](namespace), signal);
  } catch (error) {
    if (!(error instanceof TowerError)) throw error;
    if (error.code === 'not_found') return [];
    if (which === 'vpa' && error.code === 'unavailable' && error.message.includes('does not allow')) return null;
    throw error;
  }
}

/** The Deployment of that name, else the StatefulSet. @throws TowerError `not_found`, `unavailable` */
export async function scaleOf(
  client: KubernetesClient,
  namespace: string,
  service: string,
  signal?: AbortSignal,
): Promise<{ kind: WorkloadKind; path: string; scale: Scale }> {
  for (const kind of kinds) {
    const path = `${workloadPath(namespace, kind, service)}/scale`;
    try {
      return { kind, path, scale: await client.call<Scale>({ method: 'GET', path }, signal) };
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    }
  }
  throw notFound(`${namespace} has no Deployment or StatefulSet ${service}`, { namespace, service });
}

/** Maximum number of retries after a conflict. */
export const maxConflicts = 8;

/**
 * Sets the replicas through the scale subresource; retries after concurrent changes.
 * @returns the former replicas and the pod selector
 * @throws TowerError `not_found`, `conflict` if other clients keep changing it, `unavailable`
 */
export async function scaleWorkload(
  client: KubernetesClient,
  namespace: string,
  service: string,
  replicas: number,
  signal?: AbortSignal,
): Promise<{ former: number; selector: string }> {
  for (let attempt = 1; ; attempt += 1) {
    const { path, scale } = await scaleOf(client, namespace, service, signal);
    const [former, selector] = [scale.spec.replicas ?? 0, scale.status?.selector ?? ''];
    if (selector === '') throw conflict(`${service} has no pod selector yet`);
    if (former === replicas) return { former, selector };
    try {
      await client.call({ method: 'PUT', path, body: { ...scale, spec: { ...scale.spec, replicas } } }, signal);
      return { former, selector };
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'conflict') || attempt >= maxConflicts) throw error;
    }
  }
}
