import { conflict } from '#kernel/errors.ts';
import type { Cluster, PodState, Signals } from '#services/acquisition/kubernetes/cluster.ts';
import { resourcesOf } from '../recommend/outputs.ts';
import type { SizeAnswer } from '../schemas.ts';
import type { MovedShares } from './apply-scaling.ts';
import type { ApplyRequest, Change } from './apply-schemas.ts';
import type { Found, Sized } from './apply-target.ts';

/** Recommended resources of a workload, and the changes they make. */
export type Prepared = { found: Found; sized: Sized; changes: Change[]; scaler: MovedShares | null };

/**
 * Changes by container.
 * @param pods - pods to resize in place; none if the template is changed
 * @throws TowerError `conflict` if nothing can be changed
 */
export function changesOf(
  answer: SizeAnswer,
  found: Found,
  request: ApplyRequest,
  isSameAmount: Cluster['isSameAmount'],
  pods: readonly Pick<PodState, 'containers'>[] = [],
): Pick<Prepared, 'sized' | 'changes'> {
  const { containers, replicas } = found;
  if (answer.status !== 'success') throw conflict(`no recommendation: ${answer.reason}`, { reason: answer.reason });
  if (answer.warnings.length > 0)
    throw conflict(`usage may be incomplete: ${answer.warnings[0]}`, { warnings: answer.warnings });
  if (replicas === 0) throw conflict('the workload has 0 replicas, so its health cannot be checked: scale it up first');
  const wants = (resource: 'cpu' | 'memory') => request.resources.includes(resource);
  const unknown = [wants('cpu') && answer.hpa, wants('memory') && answer.hpa_memory].find(
    (hpa) => hpa && hpa.name !== found.scaler?.name,
  );
  // A container missing from the template suggests that Prometheus and the API server belong to different clusters.
  if (unknown)
    throw conflict(
      `Prometheus reports the autoscaler ${unknown.name} for the workload, the cluster has ${found.scaler ? `only ${found.scaler.name}` : 'none'}: check that PROMETHEUS_URL and KUBERNETES_CONFIG belong to the same cluster, or retry after the next scrape`,
      { hpa: unknown.name },
    );
  const planned = answer.capacity?.replicas ?? null;
  if (planned !== null && planned !== replicas)
    throw conflict(
      `the recommendation is for ${planned} replicas, but there are ${replicas}: scale first, or set basis: usage or max_replicas`,
      { replicas: planned },
    );
  const all = answer.containers
    .filter(({ sidecar, container }) => !sidecar && containers.some(({ name }) => name === container))
    .map(({ container, cpu, memory }) => ({
      name: container,
      resources: resourcesOf({
        container,
        cpuCores: wants('cpu') ? cpu.request : null,
        memoryBytes: wants('memory') ? memory.request : null,
        cpuLimitCores: wants('cpu') ? cpu.limit : null,
      }),
    }));
  const changes = all.flatMap(({ name, resources }): Change[] => {
    const of = (all: Sized) => all.find((each) => each.name === name)?.resources ?? {};
    // Pods resized in place before differ from the template.
    const formers = pods.length === 0 ? [of(containers)] : pods.map((pod) => of(pod.containers));
    return (['requests', 'limits'] as const).flatMap((part) =>
      Object.entries(resources[part] ?? {}).flatMap(([resource, to]): Change[] => {
        const there = formers.map((former) => former[part]?.[resource as 'cpu' | 'memory'] ?? null);
        const from = there.find((each) => !isSameAmount(each, to) && (pods.length === 0 || mayHave(part, each)));
        return from === undefined ? [] : [{ container: name, what: `${part}.${resource}`, from, to }];
      }),
    );
  });
  if (changes.length === 0) throw conflict('nothing to change: requests and limits are as recommended');
  const sized = all.filter(({ name }) => changes.some(({ container }) => container === name));
  return { sized, changes };
}

/** A limit added in place cannot be removed in place. */
const mayHave = (part: 'requests' | 'limits', there: string | null): boolean => part === 'requests' || there !== null;

/** The part of a recommendation that can be set in place and rolled back. */
export const inPlaceFor = (sized: Sized, { containers }: Pick<PodState, 'containers'>): Sized =>
  sized.map(({ name, resources }) => {
    const there = containers.find((each) => each.name === name)?.resources.limits ?? {};
    const limits = Object.fromEntries(Object.entries(resources.limits ?? {}).filter(([resource]) => resource in there));
    return { name, resources: { ...resources, limits } };
  });

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/**
 * The first failure: a pod that was killed, restarted or is no longer ready, or that no pod is left. Pods added or
 * removed by others do not count.
 * @param known - restarts of each container before, see `restartsOf`
 * @param first - pods that were ready
 */
export function failureOf(
  pods: readonly PodState[],
  known: ReadonlyMap<string, number>,
  first: ReadonlySet<string>,
): string | null {
  if (pods.length === 0 && first.size > 0) return 'deleted';
  for (const { name, ready, runs } of pods) {
    for (const { container, restarts, oomKilled } of runs) {
      const again = restarts - (known.get(`${name}/${container}`) ?? 0);
      if (again > 0) return oomKilled ? `${name} was OOM-killed` : `${name} restarted ${again} times`;
    }
    if (!ready && first.has(name)) return `${name} is no longer ready`;
  }
  return null;
}

/** Restart counts by `pod/container`. */
export const restartsOf = (pods: readonly PodState[]): Map<string, number> =>
  new Map(pods.flatMap(({ name, runs }) => runs.map(({ container, restarts }) => [`${name}/${container}`, restarts])));

/**
 * The first signal that is significantly worse: throttling by 5 % of the periods, errors by 1 % of the requests,
 * latency by 20 %.
 */
export function degradation(before: Signals, after: Signals): string | null {
  const rose = (
    name: Exclude<keyof Signals, 'throttledOf'>,
    most: (was: number) => number,
    text: (value: number) => string,
  ) => {
    const [was, is] = [before[name], after[name]];
    return was !== null && is !== null && is > most(was) ? `from ${text(was)} to ${text(is)}` : null;
  };
  const throttled = rose('throttled', (was) => was + 0.05, percent);
  const errors = rose(
    'errors',
    (was) => was + 0.01,
    (value) => `${Number((100 * value).toPrecision(3))} %`,
  );
  const latency = rose(
    'latencyMs',
    (was) => 1.2 * was + 5,
    (value) => `${Math.round(value)} ms`,
  );
  if (throttled) return `throttled CPU periods rose ${throttled}`;
  if (errors) return `failed requests rose ${errors}`;
  return latency && `the 95th percentile of latency rose ${latency}`;
}
