import type { Clock } from '#kernel/clock.ts';
import { isTransient, misconfigured, unavailable } from '#kernel/errors.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { acquire, keepRenewed, restore, type WorkloadLease } from '../kubernetes/leases.ts';
import { scaleOf, scaleWorkload } from '../kubernetes/workloads.ts';

/** Temporary changes of replicas under a lease, and retries while servers are unavailable. */

export type Phase = 'scaling' | 'waiting' | 'load' | 'collecting' | 'restoring';
export type Report = (phase: Phase, detail: string, share: number | null) => void;

/** Timeout of one attempt to restore replicas. */
const restoringMs = 8_000;

/**
 * Scales workloads, runs `work`, and restores the former replicas. The signal passed to `work` aborts if another job
 * acquires one of the leases.
 */
export async function withReplicas<Result>(
  { client, clock }: { client: KubernetesClient; clock: Clock },
  { namespace, holder }: { namespace: string; holder: string },
  replicas: Record<string, number>,
  signal: AbortSignal,
  report: Report,
  work: (selectors: Record<string, string>, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const held: WorkloadLease[] = [];
  const selectors: Record<string, string> = {};
  const renewing = keepRenewed(client, clock, held, over.signal, (error) => over.abort(error));
  try {
    for (const [service, wanted] of Object.entries(replicas)) {
      report('scaling', `${service} to ${wanted}`, null);
      const read = async () => {
        const { scale } = await scaleOf(client, namespace, service, both);
        return { formerReplicas: scale.spec.replicas ?? 0 };
      };
      held.push(await acquire(client, clock, { namespace, service, holder }, read, both));
      selectors[service] = (await scaleWorkload(client, namespace, service, wanted, both)).selector;
    }
    return await work(selectors, both);
  } catch (error) {
    // The reason of the abort is more informative than the abort error.
    if (over.signal.aborted && !signal.aborted) throw over.signal.reason;
    throw error;
  } finally {
    over.abort();
    await renewing;
    report('restoring', held.map((each) => `${each.service} to ${each.formerReplicas}`).join(', '), null);
    await restoreAll(client, clock, held, signal);
  }
}

/** Restores all workloads. During shutdown, what cannot be restored in time is left to the lease. */
async function restoreAll(
  client: KubernetesClient,
  clock: Clock,
  held: readonly WorkloadLease[],
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const limit = AbortSignal.timeout(restoringMs);
    const outcomes = await Promise.allSettled(held.map((each) => restore(client, each, limit)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (!failed) return;
    if (signal.aborted || tries >= maxAttempts)
      throw unavailable('failed to restore the former replicas; their Lease keeps them, retrying', failed.reason);
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

/** About half an hour of unavailability. */
const maxAttempts = 60;
const pauseMs = 30_000;

/**
 * Retries `work` while a server is unavailable.
 * @throws errors of `work` that a retry cannot fix; `unavailable`, marked as final, after too many attempts; the
 *   signal's reason
 */
export async function retryWhileUnavailable<Result>(
  clock: Clock,
  signal: AbortSignal,
  work: () => Promise<Result>,
  onWait: (why: string) => void = () => undefined,
): Promise<Result> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error)) throw error;
      if (tries >= maxAttempts) throw misconfigured(`${error.message}, for half an hour`);
      onWait(error.message);
      await clock.sleep(pauseMs, signal);
    }
  }
}
