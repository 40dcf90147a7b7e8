import { conflict, TowerError } from '../../../src/kernel/errors.ts';
import type { KubernetesClient } from './client.ts';
import { type Autoscaler, isSameAmount, type Metric, type ScaledBy } from './objects.ts';
import { autoscalerPath, autoscalersOf } from './workloads.ts';

/**
 * Targets of a HorizontalPodAutoscaler that are shares of requests. They are other amounts when requests move, so they are
 * held at an amount for as long as pods of both sizes are there.
 */

/** `container` null: of all containers of a pod together. */
export type Share = { resource: 'cpu' | 'memory'; container: string | null; percent: number };
/** A share while requests move, as the amount of one pod that it is, and what it is afterwards. */
export type HeldShare = Share & { held: string; next: { percent: number } | { amount: string } };
export type HeldShares = { name: string; shares: HeldShare[] };

const kinds = { Resource: 'resource', ContainerResource: 'containerResource' } as const;

export const sharesOf = ({ spec }: Autoscaler): Share[] =>
  (spec.metrics ?? []).flatMap((metric) => {
    const scaled = scaledBy(metric);
    const { type, averageUtilization: percent } = scaled?.target ?? {};
    if (!scaled || type !== 'Utilization' || percent === undefined) return [];
    const { name: resource, container = null } = scaled;
    return resource === 'cpu' || resource === 'memory' ? [{ resource, container, percent }] : [];
  });

const scaledBy = (metric: Metric): ScaledBy | undefined =>
  metric.type in kinds ? metric[kinds[metric.type as keyof typeof kinds]] : undefined;

export type SharesTo = {
  to: 'former' | 'held' | 'next';
  dryRun?: boolean;
  signal?: AbortSignal | undefined;
};
const mostConflicts = 8;

/**
 * Sets targets to what they were, to the amounts they are held at, or to what they are to be. One that somebody else has set
 * meanwhile is left, and so is an autoscaler that is gone. `dryRun`: the API server judges it and changes nothing.
 * @throws TowerError `invalid`, `conflict` where others change it all the time, `unavailable`
 */
export async function setShares(
  client: KubernetesClient,
  namespace: string,
  { name, shares }: HeldShares,
  { to, dryRun = false, signal }: SharesTo,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const all = await autoscalersOf(client, namespace, 'hpa', signal);
    const there = all?.find(({ metadata }) => metadata.name === name);
    const before = there?.spec.metrics ?? [];
    const metrics = before.map((metric) => moved(metric, shares, to));
    if (JSON.stringify(metrics) === JSON.stringify(before)) return;
    // A list is replaced whole: not over what somebody else has made of it meanwhile.
    const body = { metadata: { resourceVersion: there!.metadata.resourceVersion }, spec: { metrics } };
    const path = `${autoscalerPath(namespace)}/${encodeURIComponent(name)}`;
    const type = 'application/merge-patch+json';
    const query: Record<string, string> = dryRun ? { dryRun: 'All' } : {};
    try {
      return void (await client.call({ method: 'PATCH', path, type, body, query }, signal));
    } catch (error) {
      if (!(error instanceof TowerError && error.code === 'conflict')) throw error;
      if (attempt >= mostConflicts) throw conflict(`the autoscaler ${name} is changed all the time: ${error.message}`);
    }
  }
}

function moved(metric: Metric, shares: readonly HeldShare[], to: SharesTo['to']): Metric {
  const scaled = scaledBy(metric);
  const share = shares.find((each) => each.resource === scaled?.name && each.container === (scaled.container ?? null));
  if (!scaled || !share) return metric;
  const states = { former: { percent: share.percent }, held: { amount: share.held }, next: share.next };
  if (isAt(scaled, states[to]) || !Object.values(states).some((each) => isAt(scaled, each))) return metric;
  const state = states[to];
  const target =
    'percent' in state
      ? { type: 'Utilization', averageUtilization: state.percent }
      : { type: 'AverageValue', averageValue: state.amount };
  return { ...metric, [kinds[metric.type as keyof typeof kinds]]: { ...scaled, target } };
}

const isAt = ({ target }: ScaledBy, state: HeldShare['next']): boolean =>
  'percent' in state
    ? target?.type === 'Utilization' && target.averageUtilization === state.percent
    : target?.type === 'AverageValue' && isSameAmount(target.averageValue, state.amount);
