import { isoTime } from '#kernel/clock.ts';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import { hour } from '../usage.ts';
import type { Pods } from './read.ts';

/** Selects the containers of a recommendation and of its outputs. */

/** Injected sidecars, by their usual names. */
const sidecars =
  /^(istio-proxy|linkerd-proxy|envoy(-sidecar)?|cloud-sql-proxy|cloudsql-proxy|vault-agent|daprd|fluent-bit|consul-dataplane|kuma-sidecar|jaeger-agent|otc-container)$/;

/**
 * @param template - containers of the template; null without a cluster
 */
export const isInjected = (name: string, { nativeSidecars }: WorkloadState, template: string[] | null): boolean =>
  nativeSidecars.includes(name) || (template === null ? sidecars.test(name) : !template.includes(name));

/**
 * Containers still running at the end; others belong to an old version or ran at start-up only.
 * @param init - init containers, which are done once they are no longer seen
 */
export function containersNow(
  parts: readonly Pods[],
  init: readonly string[],
  now: number,
): { names: string[]; notes: string[] } {
  const last = new Map<string, number>();
  for (const { pods } of parts)
    for (const { container, lastMs } of pods) last.set(container, Math.max(last.get(container) ?? 0, lastMs ?? 0));
  const newest = Math.max(0, ...last.values());
  const all = [...last.keys()].sort();
  const stepMs = Math.max(...parts.map((part) => part.stepMs));
  const stopped = all.filter((name) => last.get(name)! < newest - (init.includes(name) ? 3 * stepMs : hour));
  const named = all.filter((name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name));
  return {
    names: named.filter((name) => !stopped.includes(name)),
    notes: [
      ...(named.length < all.length ? ['excluded series with an invalid container label'] : []),
      ...(stopped.length > 0 ? [`excluded containers that no longer run: ${stopped.join(', ')}`] : []),
      ...(last.size > 0 && newest < now - hour ? [`no pod was seen since ${isoTime(newest)}`] : []),
    ],
  };
}
