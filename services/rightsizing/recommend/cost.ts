import type { SizeAnswer } from '../schemas.ts';

/** Monthly cost of requests at the configured prices. */

export type Prices = { currency: string; cpuCoreHour: number; memoryGibHour: number };
type Container = Pick<SizeAnswer['containers'][number], 'sidecar' | 'cpu' | 'memory'>;

const hoursPerMonth = 730;

/**
 * Null if any part is unknown: partial sums are misleading.
 * @param replicas - current
 * @param planned - replicas of the recommendation, if different
 */
export function costOf(
  prices: Prices,
  containers: readonly Container[],
  replicas: number | null,
  planned: number | null,
): SizeAnswer['cost'] {
  type Of = (container: Container) => [number | null, number | null];
  const monthly = (replicas: number | null, of: Of): number | null => {
    if (replicas === null || containers.length === 0) return null;
    let total = 0;
    for (const [cores, bytes] of containers.map(of)) {
      if (cores === null || bytes === null) return null;
      total += cores * prices.cpuCoreHour + (bytes / 2 ** 30) * prices.memoryGibHour;
    }
    return total * hoursPerMonth * replicas;
  };
  const now = monthly(replicas, ({ cpu, memory }) => [cpu.current_request, memory.current_request]);
  // Injected sidecars are not part of what is applied.
  const then = monthly(planned ?? replicas, ({ sidecar, cpu, memory }) =>
    sidecar ? [cpu.current_request, memory.current_request] : [cpu.request, memory.request],
  );
  return withSaving(prices, now, then);
}

/** Sum over workloads: the saving covers those whose cost is known before and after. */
export function sumOfCosts(prices: Prices, costs: readonly SizeAnswer['cost'][]): SizeAnswer['cost'] {
  const known = costs.filter(({ monthly_saving }) => monthly_saving !== null);
  if (known.length === 0) return withSaving(prices, null, null);
  const sum = (of: (cost: SizeAnswer['cost']) => number | null) => known.reduce((total, cost) => total + of(cost)!, 0);
  return withSaving(
    prices,
    sum((cost) => cost.monthly_now),
    sum((cost) => cost.monthly_recommended),
  );
}

const withSaving = (
  { currency, cpuCoreHour, memoryGibHour }: Prices,
  now: number | null,
  then: number | null,
): SizeAnswer['cost'] => ({
  currency,
  cpu_core_hour: cpuCoreHour,
  memory_gib_hour: memoryGibHour,
  monthly_now: now,
  monthly_recommended: then,
  monthly_saving: now === null || then === null ? null : now - then,
});
