import { type Clock, steadyMs } from '#kernel/clock.ts';
import { unavailable } from '#kernel/errors.ts';
import { mean } from '#kernel/stats.ts';
import type { Collected, PodUsage, TimeRange } from '../prometheus/collect.ts';
import type { ColumnName } from '../prometheus/metric-queries.ts';
import { checkWorkload, type Workload } from '../prometheus/workload-query.ts';
import { type HeldShares, type SharesTo, setShares } from './autoscalers.ts';
import type { KubernetesClient } from './client.ts';
import { requiredCluster } from './cluster-errors.ts';
import { createLeases } from './cluster-leases.ts';
import { amountOf, type Condition, isSameAmount, type Workload as KubernetesWorkload, type Pod } from './objects.ts';
import { type Readiness, readinessOf, terminatingReason, whyNotReady } from './pods.ts';
import {
  type Found,
  findWorkload,
  isRolledOut,
  podsOf,
  type Resources,
  resizePod,
  type Sized,
  setResources,
  sizedOf,
  writtenOf,
} from './resources.ts';
import { workloadPath, workloadsOf } from './workloads.ts';

/** Cluster access for rightsizing: reads and changes of workloads. */
export type Cluster = ReturnType<typeof createCluster>;

type Deps = Measured & {
  /** Null if no cluster is configured. */
  client: KubernetesClient | null;
  clock: Clock;
};

type Measured = {
  collect(
    workload: Workload,
    timeRange: TimeRange,
    signal: AbortSignal,
    names: readonly ColumnName[],
  ): Promise<Pick<Collected, 'columns'>>;
  /** Share of throttled CPU periods, by pod. */
  throttled(workload: Workload, timeRange: TimeRange, signal: AbortSignal): Promise<PodUsage[]>;
};

/** Health of a workload; null if not measured. `throttledOf`: by pod. */
export type Signals = {
  throttled: number | null;
  errors: number | null;
  latencyMs: number | null;
  throttledOf: Record<string, number>;
};
/** `resizing`: why an in-place resize is not finished. */
export type PodState = {
  name: string;
  ready: boolean;
  /** Restarts of each container, and whether the last one was an out-of-memory kill. */
  runs: { container: string; restarts: number; oomKilled: boolean }[];
  resizing: { why: string; isInfeasible: boolean } | null;
  containers: Sized[];
  /** Native sidecar containers. */
  sidecars: Sized[];
  /** Pod-level requests, if set. */
  requests: Resources['requests'];
};

type ResizeOptions = { dryRun?: boolean; signal?: AbortSignal | undefined };
type RolloutOptions = { timeoutMs: number; signal: AbortSignal; onChange: (now: Readiness) => void };

/** Poll interval of a rollout. */
const pollMs = 2_000;

export function createCluster({ client, clock, ...measured }: Deps) {
  const cluster = () => requiredCluster(client);
  return {
    /** @throws TowerError `forbidden` unless this service may change the namespace, `unavailable` without a cluster */
    requireWritable: (namespace: string) => cluster().requireWritable(namespace),
    /** @throws TowerError `unavailable` */
    workloads: async (namespace: string) => workloadsOf(cluster(), checkedNamespace(namespace)),
    /** @throws TowerError `invalid` for invalid Kubernetes names, `not_found`, `unavailable` */
    find: async (target: Workload, signal?: AbortSignal) => {
      checkWorkload(target);
      return findWorkload(cluster(), target.namespace, target.service, signal);
    },
    /**
     * Resources in the workload's template; null if no cluster is configured.
     * @throws TowerError `not_found`, `unavailable`
     */
    written: async ({ namespace, service }: Workload, signal: AbortSignal) =>
      client && writtenOf(client, namespace, service, signal),
    /** Server-side dry run. @throws TowerError `invalid` if the API server refuses, `unavailable` */
    dryRun: async (target: Workload, { kind }: Found, containers: Sized[], signal?: AbortSignal) =>
      setResources(cluster(), { ...target, kind }, containers, { dryRun: true, ...(signal ? { signal } : {}) }),
    leases: createLeases(cluster, clock),
    isSameAmount,
    amountOf,
    /** Resizes one pod in place. @throws TowerError `not_found` on Kubernetes before 1.33, `invalid`, `unavailable` */
    resize: async ({ namespace }: Workload, pod: string, containers: Sized[], options: ResizeOptions) =>
      resizePod(cluster(), namespace, pod, containers, options),
    /** Sets the autoscaler targets that are a percentage of requests. @returns and throws as `setShares` */
    setShares: async ({ namespace }: Workload, scaler: HeldShares, to: SharesTo) =>
      setShares(cluster(), namespace, scaler, to),
    /**
     * Replaces all pods by a rollout; returns what pods wait for if it times out.
     * @throws TowerError `invalid`, `unavailable`
     */
    rollOut: async (target: Workload, found: Found, containers: Sized[], options: RolloutOptions): Promise<Readiness> =>
      rollOut(cluster(), clock, target, found, containers, options),
    /**
     * Waits until all pods match the template; returns what they wait for on timeout.
     * @throws TowerError `unavailable`
     */
    settled: async (target: Workload, found: Found, options: RolloutOptions): Promise<Readiness> =>
      untilRolledOut(cluster(), clock, target, found, options),
    /** @throws TowerError `unavailable` */
    pods: async ({ namespace }: Workload, { selector }: Found, signal?: AbortSignal): Promise<PodState[]> =>
      (await podsOf(cluster(), namespace, { labelSelector: selector }, signal)).flatMap(podState),
    /** Means over a time range. @throws TowerError `unavailable` if Prometheus does not answer */
    signals: (target: Workload, startMs: number, endMs: number, signal: AbortSignal): Promise<Signals> =>
      signalsOf(measured, target, startMs, endMs, signal),
  };
}

/** @throws TowerError `invalid` */
function checkedNamespace(namespace: string): string {
  checkWorkload({ namespace, service: 'any' });
  return namespace;
}

async function signalsOf(
  { collect, throttled }: Measured,
  target: Workload,
  startMs: number,
  endMs: number,
  signal: AbortSignal,
): Promise<Signals> {
  const stepMs = Math.max(1000, Math.floor((endMs - startMs) / 20 / 1000) * 1000);
  const timeRange = { startMs, endMs, stepMs };
  const names = ['cpu_throttle_ratio', 'error_ratio', 'latency_p95_ms'] as const;
  const [{ columns }, pods] = await Promise.all([
    collect(target, timeRange, signal, names),
    throttled(target, timeRange, signal),
  ]);
  const timedOut = columns.find(({ unanswered }) => unanswered);
  if (timedOut) throw unavailable(`${timedOut.name}: ${timedOut.trouble}`);
  const [all, errors, latencyMs] = names.map((name) => meanOf(columns.find((each) => each.name === name)?.values));
  const throttledOf = pods.flatMap(({ pod, values }) => {
    const share = meanOf(values);
    return share === null ? [] : [[pod, share] as const];
  });
  return {
    throttled: all ?? null,
    errors: errors ?? null,
    latencyMs: latencyMs ?? null,
    throttledOf: Object.fromEntries(throttledOf),
  };
}

/** Readiness alone does not show that a rollout is done: pods of both templates can be ready. */
async function rollOut(
  client: KubernetesClient,
  clock: Clock,
  target: Workload,
  { kind, selector }: Found,
  containers: Sized[],
  { timeoutMs, signal, onChange }: RolloutOptions,
): Promise<Readiness> {
  await setResources(client, { ...target, kind }, containers, { signal });
  return untilRolledOut(client, clock, target, { kind, selector }, { timeoutMs, signal, onChange });
}

async function untilRolledOut(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service }: Workload,
  { kind, selector }: Pick<Found, 'kind' | 'selector'>,
  { timeoutMs, signal, onChange }: RolloutOptions,
): Promise<Readiness> {
  const endMs = steadyMs(clock) + timeoutMs;
  for (;;) {
    const path = workloadPath(namespace, kind, service);
    const workload = await client.call<KubernetesWorkload>({ method: 'GET', path }, signal);
    const pods = await podsOf(client, namespace, { labelSelector: selector }, signal);
    const { waiting, ...all } = readinessOf(pods, workload.spec.replicas ?? 1);
    // Quota and LimitRange errors appear in the workload's conditions, since they refuse pods, not the workload.
    const refused = workload.status?.conditions?.find(
      (each) => each.type === 'ReplicaFailure' && each.status === 'True',
    );
    const unmade = refused
      ? [{ pod: 'a new pod', why: `cannot be created: ${refused.message ?? refused.reason}` }]
      : [];
    // Terminating pods still belong to the workload, although its status does not count them.
    const ready = isRolledOut(workload) && !waiting.some(({ why }) => why === terminatingReason);
    const now = { ...all, waiting: [...unmade, ...waiting], ready };
    if (now.ready || steadyMs(clock) >= endMs) return now;
    onChange(now);
    await clock.sleep(pollMs, signal);
  }
}

function meanOf(values: Float64Array | undefined): number | null {
  const known = [...(values ?? [])].filter(Number.isFinite);
  return known.length === 0 ? null : mean(known);
}

/** Skips finished and terminating pods. */
function podState(pod: Pod): PodState[] {
  const { phase, observedGeneration, containerStatuses: statuses = [], conditions = [] } = pod.status ?? {};
  if (phase === 'Failed' || phase === 'Succeeded' || pod.metadata.deletionTimestamp !== undefined) return [];
  const condition = conditions.find(({ type }) => type === 'PodResizePending' || type === 'PodResizeInProgress');
  // Before the kubelet has observed the new generation, the status shows no resize, as it does after completion.
  const isUnseen = (observedGeneration ?? Number.POSITIVE_INFINITY) < (pod.metadata.generation ?? 0);
  const resizing: Partial<Condition> | undefined =
    condition ?? (isUnseen ? { type: 'the kubelet has not observed it yet' } : undefined);
  return [
    {
      name: pod.metadata.name,
      ready: whyNotReady(pod) === null,
      runs: statuses.map(({ name, restartCount, state, lastState }) => ({
        container: name,
        restarts: restartCount,
        oomKilled: state?.terminated?.reason === 'OOMKilled' || lastState?.terminated?.reason === 'OOMKilled',
      })),
      resizing: resizing
        ? {
            why: [resizing.reason ?? resizing.type, resizing.message].filter(Boolean).join(': '),
            isInfeasible: resizing.reason === 'Infeasible',
          }
        : null,
      containers: (pod.spec?.containers ?? []).map(sizedOf),
      requests: pod.spec?.resources?.requests,
      sidecars: (pod.spec?.initContainers ?? []).filter((each) => each.restartPolicy === 'Always').map(sizedOf),
    },
  ];
}
