import type { Clock } from '#kernel/clock.ts';
import type { TowerError } from '#kernel/errors.ts';
import type { KubernetesClient } from './client.ts';
import {
  acquire,
  keepRenewed,
  type PreviousState,
  release,
  releaseWhenSettled,
  renew,
  restore,
  restoreAbandoned,
  restoreSizes,
  type WorkloadLease,
} from './leases.ts';

/**
 * Leases of the workloads of one cluster.
 * @param client - throws `unavailable` if no cluster is configured
 */
export const createLeases = (client: () => KubernetesClient, clock: Clock) => ({
  acquire: async (
    claim: Pick<WorkloadLease, 'namespace' | 'service' | 'holder'>,
    read: () => Promise<PreviousState>,
    signal?: AbortSignal,
  ) => acquire(client(), clock, claim, read, signal),
  keepRenewed: async (lease: WorkloadLease, over: AbortSignal, onLost: (error: TowerError) => void) =>
    keepRenewed(client(), clock, [lease], over, onLost),
  renew: async (lease: WorkloadLease, signal?: AbortSignal) => renew(client(), clock, lease, signal),
  release: async (lease: WorkloadLease) => release(client(), lease),
  restoreSizes: async (lease: WorkloadLease) => restoreSizes(client(), lease),
  releaseWhenSettled: async (lease: WorkloadLease) => releaseWhenSettled(client(), lease),
  restore: async (lease: WorkloadLease) => restore(client(), lease),
  /** Rolls back what a job left behind when its instance ended. @returns and throws as `restoreAbandoned` */
  restoreOfJob: async (namespace: string, job: string, signal?: AbortSignal) =>
    restoreAbandoned(client(), namespace, (holder) => holder.startsWith(`${job}/`), signal),
});
