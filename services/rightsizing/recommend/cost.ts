import type { SizeAnswer } from '../schemas.ts';

/** What requests cost a month, at the prices of the settings. */

export type Prices = { currency: string; cpuCoreHour: number; memoryGibHour: number };
type Container = Pick<SizeAnswer['containers'][number], 'sidecar' | 'cpu' | 'memory'>;

const hoursPerMonth = 730;

/**
 * Null where any of what it takes is not known: half a sum is no sum.
 * @param replicas - there are now
 * @param planned - those that sizes are for, where that is another number
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
  // What is beside a service is not in what is to be applied.
  const then = monthly(planned ?? replicas, ({ sidecar, cpu, memory }) =>
    sidecar ? [cpu.current_request, memory.current_request] : [cpu.request, memory.request],
  );
  return withSaving(prices, now, then);
}

/** Of several workloads: the saving is that of those whose cost is known before and after. */
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
