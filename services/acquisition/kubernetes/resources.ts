import { conflict, notFound, TowerError } from '#kernel/errors.ts';
import { type HeldShares, keeperOf, sharesOf } from './autoscalers.ts';
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
import { autoscalersOf, isOf, scaleOf, type WorkloadKind, workloadPath } from './workloads.ts';

/** Requests and limits of containers: what they are, and what they are set to. */

export type Resources = { requests?: Quantities; limits?: Quantities };
export type Sized = { name: string; resources: Resources };
export type Found = {
  kind: WorkloadKind;
  selector: string;
  replicas: number;
  containers: Sized[];
  /** The HorizontalPodAutoscaler there is, what of it are shares of requests, and what keeps it as it is, such as a ScaledObject. */
  scaler: { name: string; shares: ReturnType<typeof sharesOf>; keptBy: string | null } | null;
  /** Whether all pods are those of its template. */
  rolledOut: boolean;
};
type Named = { namespace: string; service: string; kind: WorkloadKind };

const parts = ['requests', 'limits'] as const;
const resources = ['cpu', 'memory'] as const;

/**
 * What is to be changed, and by whom else it is.
 * @throws TowerError `not_found`, `conflict` where a change would not reach its pods or somebody else would change it again,
 * `unavailable`
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
  if (spec.paused) throw conflict(`${service} is paused: its pods would not be replaced`);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (type === 'OnDelete' || (rollingUpdate?.partition ?? 0) > 0)
    throw conflict(`${service} replaces its pods when they are deleted, or from a partition on: not all would be`);
  const vpas = await autoscalersOf(client, namespace, 'vpa', signal);
  const vpa = vpas?.find((each) => isOf(each, kind, service));
  if (vpa && vpa.spec.updatePolicy?.updateMode !== 'Off')
    throw conflict(
      `the VerticalPodAutoscaler ${vpa.metadata.name} sets what ${service} asks for; it would do so again`,
    );
  const hpas = await autoscalersOf(client, namespace, 'hpa', signal);
  const [hpa, other] = (hpas ?? []).filter((each) => isOf(each, kind, service));
  if (hpa && other)
    throw conflict(
      `the autoscalers ${hpa.metadata.name} and ${other.metadata.name} both scale ${service}: one is too many`,
    );
  return {
    kind,
    selector: scale.status?.selector ?? '',
    replicas: spec.replicas ?? 1,
    containers: spec.template.spec.containers.map(sizedOf),
    scaler: hpa ? { name: hpa.metadata.name, shares: sharesOf(hpa), keptBy: keeperOf(hpa) } : null,
    rolledOut: isRolledOut(workload),
  };
}

/** What is written of a workload itself, whatever else may keep it from being changed. */
export type Written = {
  /** Of its template. */
  containers: string[];
  /** Its HorizontalPodAutoscaler, with all that it scales by. */
  scaler: (Pick<Autoscaler, 'metadata' | 'spec'> & { keptBy: string | null }) | null;
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
      const hpa = hpas?.find((each) => isOf(each, kind, service));
      return { containers, scaler: hpa ? { ...hpa, keptBy: keeperOf(hpa) } : null };
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    }
  }
  throw notFound(`there is no ${service} in ${namespace}`);
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
 * Sets them in the template, so that pods are replaced; what is not named stays. `dryRun`: the API server judges it, admission
 * included, and changes nothing.
 * @throws TowerError `invalid` for what it refuses, `unavailable`
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

/** Whether all pods are those of the newest template, as the workload's controller sees it. */
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

/** Of one pod, in place (Kubernetes 1.33 and later). `dryRun`: quotas and limits of the namespace judge it. @throws TowerError `not_found` where that is not known, `invalid`, `unavailable` */
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

/** By a selector of labels, or of fields. @throws TowerError `unavailable` */
export async function podsOf(
  client: KubernetesClient,
  namespace: string,
  query: { labelSelector: string } | { fieldSelector: string },
  signal?: AbortSignal,
): Promise<Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  return (await client.call<List<Pod>>({ method: 'GET', path, query }, signal)).items;
}

/** What a workload asked for before it was changed: of the containers that were changed, none where its template stays. */
export type FormerResources = {
  kind: WorkloadKind;
  selector: string;
  containers: Sized[];
  /** Pods that are resized in place, and what each asked for itself, which need not be what the template says. */
  pods: { name: string; containers: Sized[] }[];
  /** Where targets of an autoscaler move with requests. */
  scaler?: HeldShares | null;
};

/** Whether all pods are those of the template; of a workload that is gone there are none. @throws TowerError `unavailable` */
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

/** Sets requests and limits back; what was not there goes. What is gone needs nothing. @throws TowerError `invalid`, `unavailable` */
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
    const there = now.spec.template.spec.containers;
    const changed = containers.filter((former) =>
      there.some((one) => one.name === former.name && !isSame(one, former)),
    );
    if (changed.length > 0) await setResources(client, { ...target, kind }, changed.map(undoing), { signal });
  }
  for (const pod of pods) await restorePod(client, namespace, pod, signal);
  // A StatefulSet waits for a pod that cannot start, also when it is to be replaced.
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
  // Where something was added, this tells whether another pod would be let in at all.
  const isWhole = nearest.every((each, i) => isSame(each, changed[i]!));
  const isBack = await resizePod(client, namespace, name, nearest, { dryRun: !isWhole, signal }).then(
    () => isWhole,
    (error: unknown) => {
      if (!(error instanceof TowerError) || error.code === 'unavailable' || isByAdmission(error)) throw error;
      return false;
    },
  );
  // What cannot be taken away in place goes with the pod, in whose place comes one of the template.
  if (!isBack) await deletePod(client, namespace, name, signal);
}

/** As near as a pod can be set back: what was added cannot be taken away, but a limit can be raised to what was asked for. */
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

/** A patch that sets back: null takes away. */
const undoing = ({ name, resources: former }: Sized): Sized => {
  const all = (of: Quantities | undefined) => ({ cpu: of?.cpu ?? null, memory: of?.memory ?? null });
  return { name, resources: { requests: all(former.requests), limits: all(former.limits) } as Resources };
};
