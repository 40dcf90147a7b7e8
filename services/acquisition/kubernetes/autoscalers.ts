import { conflict, TowerError } from '#kernel/errors.ts';
import type { KubernetesClient } from './client.ts';
import { type Autoscaler, isSameAmount, type Metric, type ScaledBy } from './objects.ts';
import { autoscalerPath, autoscalersOf, maxConflicts } from './workloads.ts';

/**
 * HorizontalPodAutoscaler targets that are a percentage of requests. They would mean other amounts while requests
 * change, so they are pinned to absolute amounts as long as pods of both sizes exist.
 */

/** `container` null: all containers of a pod together. */
export type Share = { resource: 'cpu' | 'memory'; container: string | null; percent: number };
/**
 * A percentage pinned to an absolute amount per pod (`held`), and the percentage to set afterwards (`next`); null: the
 * amount stays.
 */
export type PinnedTarget = Share & { held: string; next: number | null };
export type HeldShares = { name: string; shares: PinnedTarget[] };

/** Controller that owns the autoscaler, such as KEDA's ScaledObject. */
export const managerOf = ({ metadata }: Pick<Autoscaler, 'metadata'>): string | null => {
  const manager = metadata.ownerReferences?.find(({ controller }) => controller);
  return manager ? `the ${manager.kind} ${manager.name}` : null;
};

const kinds = { Resource: 'resource', ContainerResource: 'containerResource' } as const;
const scaledBy = (metric: Metric): ScaledBy | undefined =>
  metric.type in kinds ? metric[kinds[metric.type as keyof typeof kinds]] : undefined;
const isForResource = (
  scaled: ScaledBy | undefined,
  { resource, container }: Pick<Share, 'resource' | 'container'>,
): boolean => scaled?.name === resource && (scaled.container ?? null) === container;

/** `isDuplicate`: another metric has the same resource. */
export const sharesOf = ({ spec }: Autoscaler): (Share & { isDuplicate: boolean })[] => {
  const all = (spec.metrics ?? []).map(scaledBy);
  return all.flatMap((scaled) => {
    const { type, averageUtilization: percent } = scaled?.target ?? {};
    if (!scaled || type !== 'Utilization' || percent === undefined) return [];
    const { name: resource, container = null } = scaled;
    if (resource !== 'cpu' && resource !== 'memory') return [];
    const isDuplicate = all.filter((each) => isForResource(each, { resource, container })).length > 1;
    return [{ resource, container, percent, isDuplicate }];
  });
};

/** Allowed transitions; `back`: pinned again before resources are rolled back. */
const from = { held: ['former'], next: ['held'], back: ['next'], former: ['held', 'next'] } as const;
export type SharesTo = { to: keyof typeof from; dryRun?: boolean; signal?: AbortSignal | undefined };

/**
 * Sets targets to pinned amounts, to the next percentages, or to the former ones. Targets that other clients changed
 * meanwhile, and deleted autoscalers, are left alone. `dryRun`: the API server validates only.
 * @returns whether all targets are as required
 * @throws TowerError `invalid`, `conflict` if other clients keep changing it, `unavailable`
 */
export async function setShares(
  client: KubernetesClient,
  namespace: string,
  { name, shares }: HeldShares,
  { to, dryRun = false, signal }: SharesTo,
): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const all = await autoscalersOf(client, namespace, 'hpa', signal);
    const autoscaler = all?.find(({ metadata }) => metadata.name === name);
    if (!autoscaler) return false;
    const before = autoscaler.spec.metrics ?? [];
    const metrics = before.map((metric) => moved(metric, shares, to));
    const isDone = shares.every((share) => metrics.some((metric) => isInState(scaledBy(metric), share, to)));
    if (JSON.stringify(metrics) === JSON.stringify(before)) return isDone;
    // Lists are replaced as a whole; the resource version prevents overwriting concurrent changes.
    const body = { metadata: { resourceVersion: autoscaler.metadata.resourceVersion }, spec: { metrics } };
    const path = `${autoscalerPath(namespace)}/${encodeURIComponent(name)}`;
    const type = 'application/merge-patch+json';
    const query: Record<string, string> = dryRun ? { dryRun: 'All' } : {};
    try {
      await client.call({ method: 'PATCH', path, type, body, query }, signal);
      return isDone;
    } catch (error) {
      if (!(error instanceof TowerError)) throw error;
      if (error.code === 'not_found') return false;
      if (error.code !== 'conflict') throw error;
      if (attempt >= maxConflicts)
        throw conflict(`other clients keep changing the autoscaler ${name}: ${error.message}`);
    }
  }
}

function moved(metric: Metric, shares: readonly PinnedTarget[], to: SharesTo['to']): Metric {
  const scaled = scaledBy(metric);
  const share = shares.find((each) => from[to].some((state) => isInState(scaled, each, state)));
  if (!scaled || !share) return metric;
  return { ...metric, [kinds[metric.type as keyof typeof kinds]]: { ...scaled, target: targetOf(share, to) } };
}

const targetOf = ({ percent, held, next }: PinnedTarget, state: SharesTo['to']): NonNullable<ScaledBy['target']> => {
  const share = { former: percent, held: null, back: null, next }[state];
  return share === null
    ? { type: 'AverageValue', averageValue: held }
    : { type: 'Utilization', averageUtilization: share };
};

function isInState(scaled: ScaledBy | undefined, share: PinnedTarget, state: SharesTo['to']): boolean {
  if (!isForResource(scaled, share)) return false;
  const [is, wanted] = [scaled?.target, targetOf(share, state)];
  return (
    is !== undefined &&
    is.type === wanted.type &&
    is.averageUtilization === wanted.averageUtilization &&
    isSameAmount(is.averageValue, wanted.averageValue)
  );
}
