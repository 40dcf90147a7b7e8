import { conflict, notFound, TowerError } from '#kernel/errors.ts';
import { type HeldShares, managerOf, sharesOf } from './autoscalers.ts';
import type { KubernetesClient } from './client.ts';
import { isByAdmission } from './cluster-errors.ts';
import {
  type Autoscaler,
  type Container,
  isSameAmount,
  type List,
  type Pod,
  type Quantities,
  type Workload,
} from './objects.ts';
import { autoscalersOf, scaleOf, targetsWorkload, type WorkloadKind, workloadPath } from './workloads.ts';

/** Requests and limits of containers: reads, changes and restores them. */

export type Resources = { requests?: Quantities; limits?: Quantities };
export type Sized = { name: string; resources: Resources };
export type Found = {
  kind: WorkloadKind;
  selector: string;
  replicas: number;
  containers: Sized[];
  /**
   * The HorizontalPodAutoscaler, its targets that are a percentage of requests, and its owner, such as a ScaledObject.
   */
  scaler: { name: string; shares: ReturnType<typeof sharesOf>; managedBy: string | null } | null;
  /** Whether all pods match the template. */
  rolledOut: boolean;
};
type Named = { namespace: string; service: string; kind: WorkloadKind };

const parts = ['requests', 'limits'] as const;
const resources = ['cpu', 'memory'] as const;

/**
 * The workload to change, and its controllers.
 * @throws TowerError `not_found`, `conflict` if a change would not reach the pods or another controller would revert
 *   it, `unavailable`
 */
export async function findWorkload(
  client: KubernetesClient,
  namespace: string,
  service: string,
  signal?: AbortSignal,
): Promise<Found> {
  const { kind, scale } = await scaleOf(client, namespace, service, signal);
  const path = workloadPath(namespace, kind, service);
  const workload = await client.call<Workload>({ method: 'GET', path }, signal);
  const { spec } = workload;
  if (spec.paused) throw conflict(`the rollout of ${service} is paused: its pods would not be replaced`);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (type === 'OnDelete' || (rollingUpdate?.partition ?? 0) > 0)
    throw conflict(`${service} has the update strategy OnDelete or a partition: not all of its pods would be replaced`);
  const vpas = await autoscalersOf(client, namespace, 'vpa', signal);
  const vpa = vpas?.find((each) => targetsWorkload(each, kind, service));
  if (vpa && vpa.spec.updatePolicy?.updateMode !== 'Off')
    throw conflict(
      `the VerticalPodAutoscaler ${vpa.metadata.name} sets the requests of ${service} and would revert the change`,
    );
  const hpas = await autoscalersOf(client, namespace, 'hpa', signal);
  const [hpa, other] = (hpas ?? []).filter((each) => targetsWorkload(each, kind, service));
  if (hpa && other) throw conflict(`two autoscalers scale ${service}: ${hpa.metadata.name} and ${other.metadata.name}`);
  return {
    kind,
    selector: scale.status?.selector ?? '',
    replicas: spec.replicas ?? 1,
    containers: spec.template.spec.containers.map(sizedOf),
    scaler: hpa ? { name: hpa.metadata.name, shares: sharesOf(hpa), managedBy: managerOf(hpa) } : null,
    rolledOut: isRolledOut(workload),
  };
}

/** State of a workload that is read for a recommendation, whether or not it can be changed. */
export type Written = {
  /** Containers of the template. */
  containers: string[];
  /** Its HorizontalPodAutoscaler with all metrics. */
  scaler: (Pick<Autoscaler, 'metadata' | 'spec'> & { managedBy: string | null }) | null;
};

/** @throws TowerError `not_found`, `unavailable` */
export async function writtenOf(
  client: KubernetesClient,
  namespace: string,
  service: string,
  signal?: AbortSignal,
): Promise<Written> {
  for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet'] as const) {
    try {
      const path = kind === 'DaemonSet' ? daemonSetPath(namespace, service) : workloadPath(namespace, kind, service);
      const { spec } = await client.call<Workload>({ method: 'GET', path }, signal);
      const containers = spec.template.spec.containers.map(({ name }) => name);
      if (kind === 'DaemonSet') return { containers, scaler: null };
      const hpas = await autoscalersOf(client, namespace, 'hpa', signal);
      const hpa = hpas?.find((each) => targetsWorkload(each, kind, service));
      return { containers, scaler: hpa ? { ...hpa, managedBy: managerOf(hpa) } : null };
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    }
  }
  throw notFound(`${namespace} has no workload ${service}`);
}

const daemonSetPath = (namespace: string, name: string): string =>
  `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${encodeURIComponent(name)}`;

export const sizedOf = ({ name, resources: own }: Container): Sized => ({
  name,
  resources: {
    ...(own?.requests ? { requests: own.requests } : {}),
    ...(own?.limits ? { limits: own.limits } : {}),
  },
});

/**
 * Sets resources in the template, so that pods are replaced; other fields stay. `dryRun`: the API server validates
 * only, including admission.
 * @throws TowerError `invalid` if the API server refuses, `unavailable`
 */
export async function setResources(
  client: KubernetesClient,
  { namespace, service, kind }: Named,
  containers: readonly Sized[],
  { dryRun = false, signal }: { dryRun?: boolean; signal?: AbortSignal | undefined } = {},
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

/** Whether all pods match the newest template, according to the workload's status. */
export function isRolledOut({ metadata, spec, status }: Workload): boolean {
  const wanted = spec.replicas ?? 1;
  return (
    (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) &&
    (status?.replicas ?? 0) === wanted &&
    (status?.updatedReplicas ?? 0) === wanted &&
    (status?.readyReplicas ?? 0) === wanted &&
    status?.currentRevision === status?.updateRevision
  );
}

/**
 * Resizes one pod in place (Kubernetes 1.33 and later). `dryRun`: quotas and LimitRanges validate it.
 * @throws TowerError `not_found` if resizing is not supported, `invalid`, `unavailable`
 */
export async function resizePod(
  client: KubernetesClient,
  namespace: string,
  pod: string,
  containers: readonly Sized[],
  { dryRun = false, signal }: { dryRun?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await client.call(
    {
      method: 'PATCH',
      path: `/api/v1/namespaces/${namespace}/pods/${pod}/resize`,
      type: 'application/strategic-merge-patch+json',
      body: { spec: { containers } },
      ...(dryRun ? { query: { dryRun: 'All' } } : {}),
    },
    signal,
  );
}

/** Lists pods by label or field selector. @throws TowerError `unavailable` */
export async function podsOf(
  client: KubernetesClient,
  namespace: string,
  query: { labelSelector: string } | { fieldSelector: string },
  signal?: AbortSignal,
): Promise<Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  return (await client.call<List<Pod>>({ method: 'GET', path, query }, signal)).items;
}

/** Resources before a change: of the changed containers; none if the template stays unchanged. */
export type FormerResources = {
  kind: WorkloadKind;
  selector: string;
  containers: Sized[];
  /** Pods resized in place, with their own resources, which may differ from the template. */
  pods: { name: string; containers: Sized[] }[];
  /** Pinned targets of the autoscaler. */
  scaler?: HeldShares | null;
};

/** Whether all pods match the template; true for a deleted workload. @throws TowerError `unavailable` */
export async function isSettled(
  client: KubernetesClient,
  { namespace, service, kind }: Named,
  signal?: AbortSignal,
): Promise<boolean> {
  const path = workloadPath(namespace, kind, service);
  return client.call<Workload>({ method: 'GET', path }, signal).then(isRolledOut, (error: unknown) => {
    if (error instanceof TowerError && error.code === 'not_found') return true;
    throw error;
  });
}

/**
 * Restores requests and limits; values that were not set are removed. Deleted workloads and pods are skipped.
 * @throws TowerError `invalid`, `unavailable`
 */
export async function restoreResources(
  client: KubernetesClient,
  { kind, selector, containers, pods, ...target }: FormerResources & { namespace: string; service: string },
  signal?: AbortSignal,
): Promise<void> {
  const { namespace, service } = target;
  const path = workloadPath(namespace, kind, service);
  const now = await client.call<Workload>({ method: 'GET', path }, signal).catch((error: unknown) => {
    if (error instanceof TowerError && error.code === 'not_found') return null;
    throw error;
  });
  if (now) {
    const current = now.spec.template.spec.containers;
    const changed = containers.filter((former) =>
      current.some((one) => one.name === former.name && !isSame(one, former)),
    );
    if (changed.length > 0) await setResources(client, { ...target, kind }, changed.map(undoing), { signal });
  }
  for (const pod of pods) await restorePod(client, namespace, pod, signal);
  // A StatefulSet does not replace a pod that cannot start.
  if (kind !== 'StatefulSet') return;
  for (const pod of await podsOf(client, namespace, { labelSelector: selector }, signal)) {
    const isReady = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
    const isFormer = containers.every((former) =>
      pod.spec?.containers.some((one) => one.name === former.name && isSame(one, former)),
    );
    if (!isReady && !isFormer) await deletePod(client, namespace, pod.metadata.name, signal);
  }
}

async function restorePod(
  client: KubernetesClient,
  namespace: string,
  { name, containers }: FormerResources['pods'][number],
  signal?: AbortSignal,
): Promise<void> {
  const [pod] = await podsOf(client, namespace, { fieldSelector: `metadata.name=${name}` }, signal);
  const changed = containers.filter((former) =>
    pod?.spec?.containers.some((one) => one.name === former.name && !isSame(one, former)),
  );
  if (changed.length === 0) return;
  const nearest = changed.map((former) =>
    nearestTo(former, pod!.spec!.containers.find((one) => one.name === former.name)!),
  );
  // If requests were added, this tests whether a replacement pod would be admitted.
  const isWhole = nearest.every((each, i) => isSame(each, changed[i]!));
  const isBack = await resizePod(client, namespace, name, nearest, { dryRun: !isWhole, signal }).then(
    () => isWhole,
    (error: unknown) => {
      if (!(error instanceof TowerError) || error.code === 'unavailable' || isByAdmission(error)) throw error;
      return false;
    },
  );
  // A value that cannot be removed in place is removed with the pod; its replacement comes from the template.
  if (!isBack) await deletePod(client, namespace, name, signal);
}

/**
 * The closest state reachable in place: added values cannot be removed, but a limit can be raised to the former
 * request.
 */
function nearestTo({ name, resources: former }: Sized, { resources: now }: Container): Sized {
  const [requests, limits]: [Quantities, Quantities] = [{ ...now?.requests, ...former.requests }, { ...former.limits }];
  for (const each of resources)
    if (now?.limits?.[each] !== undefined) limits[each] ??= former.requests?.[each] ?? now.limits[each];
  return { name, resources: { requests, limits } };
}

const deletePod = async (client: KubernetesClient, namespace: string, name: string, signal?: AbortSignal) =>
  client
    .call({ method: 'DELETE', path: `/api/v1/namespaces/${namespace}/pods/${name}` }, signal)
    .catch((error: unknown) => {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    });

const isSame = ({ resources: own }: Container, { resources: former }: Sized): boolean =>
  parts.every((part) => resources.every((each) => isSameAmount(own?.[part]?.[each], former[part]?.[each])));

/** Patch that restores former values; null removes a value. */
const undoing = ({ name, resources: former }: Sized): Sized => {
  const all = (of: Quantities | undefined) => ({ cpu: of?.cpu ?? null, memory: of?.memory ?? null });
  return { name, resources: { requests: all(former.requests), limits: all(former.limits) } as Resources };
};
