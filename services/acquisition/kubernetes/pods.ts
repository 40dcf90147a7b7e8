import type { Clock } from '#kernel/clock.ts';
import type { KubernetesClient } from './client.ts';
import type { List, Pod } from './objects.ts';

/** Readiness of pods and the reasons why they wait. */

export type Waiting = { pod: string; why: string };
export type Readiness = { ready: boolean; pods: number; waiting: Waiting[] };

export const terminatingReason = 'is terminating';

/** Reason why a pod is not ready; null if it is. */
export function whyNotReady({ metadata, status }: Pod): string | null {
  if (metadata.deletionTimestamp !== undefined) return terminatingReason;
  const condition = (type: string) => status?.conditions?.find((each) => each.type === type);
  const reasonText = (reason: string | undefined, message: string | undefined) =>
    `${reason ?? 'unknown'}${message ? `: ${message.slice(0, 300)}` : ''}`;
  const scheduled = condition('PodScheduled');
  if (scheduled?.status === 'False') return `is not scheduled: ${reasonText(scheduled.reason, scheduled.message)}`;
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  for (const { name, state } of all) {
    const waiting = state?.waiting;
    if (waiting && waiting.reason !== 'PodInitializing' && waiting.reason !== 'ContainerCreating')
      return `container ${name} waits: ${reasonText(waiting.reason, waiting.message)}`;
  }
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') return `has ended (${status.phase})`;
  if (condition('Ready')?.status === 'True') return null;
  const unready = status?.containerStatuses?.find(({ ready }) => !ready);
  if (unready?.state?.running) return `container ${unready.name} is running but not ready`;
  if (unready) return `container ${unready.name} is being created`;
  return all.length === 0
    ? 'has no containers yet'
    : reasonText(condition('Ready')?.reason, condition('Ready')?.message);
}

/**
 * @param desiredReplicas - desired number of pods
 */
export function readinessOf(pods: readonly Pod[], desiredReplicas: number): Readiness {
  // Finished pods do not count.
  const serving = pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp !== undefined || (status?.phase !== 'Failed' && status?.phase !== 'Succeeded'),
  );
  const waiting = serving.flatMap((pod): Waiting[] => {
    const why = whyNotReady(pod);
    return why === null ? [] : [{ pod: pod.metadata.name, why }];
  });
  return { ready: waiting.length === 0 && serving.length === desiredReplicas, pods: serving.length, waiting };
}

export type WaitOptions = {
  namespace: string;
  selector: string;
  desiredReplicas: number;
  timeoutMs: number;
  signal?: AbortSignal;
  /** Called on every change. */
  onChange?: (readiness: Readiness) => void;
};

/**
 * Watches until exactly the desired number of pods is ready; returns what they wait for on timeout.
 * @throws TowerError as `KubernetesClient.call`
 */
export async function waitForPods(
  client: KubernetesClient,
  clock: Clock,
  { namespace, selector, desiredReplicas, timeoutMs, signal, onChange }: WaitOptions,
): Promise<Readiness> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const query = { labelSelector: selector };
  const limit = new AbortController();
  void clock.sleep(timeoutMs, limit.signal).then(
    () => limit.abort(new Error('timed out')),
    () => undefined,
  );
  const both = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal;
  let latest: Readiness = { ready: false, pods: 0, waiting: [] };
  try {
    while (!both.aborted) {
      const list = await client.call<List<Pod>>({ method: 'GET', path, query }, both);
      const pods = new Map(list.items.map((pod) => [pod.metadata.name, pod]));
      const isDone = () => {
        latest = readinessOf([...pods.values()], desiredReplicas);
        onChange?.(latest);
        return latest.ready;
      };
      if (isDone()) return latest;
      const from = { ...query, resourceVersion: list.metadata.resourceVersion ?? '', timeoutSeconds: '240' };
      for await (const { type, object } of client.watch<Pod>(path, from, both)) {
        // The resource version expired; list again.
        if (type === 'ERROR') break;
        if (type === 'BOOKMARK') continue;
        if (type === 'DELETED') pods.delete(object.metadata.name);
        else pods.set(object.metadata.name, object);
        if (isDone()) return latest;
      }
      // Pauses, in case the server ends every watch at once.
      await clock.sleep(200, both).catch(() => undefined);
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!limit.signal.aborted) throw error;
  } finally {
    limit.abort();
  }
  signal?.throwIfAborted();
  return latest;
}
