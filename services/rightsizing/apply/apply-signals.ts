import type { Clock } from '#kernel/clock.ts';
import { isTransient } from '#kernel/errors.ts';
import type { Cluster, Signals } from '#services/acquisition/kubernetes/cluster.ts';
import type { ApplyRequest } from './apply-schemas.ts';

/** Health signals of a service before and after a change. */

type Measuring = {
  cluster: Pick<Cluster, 'signals'>;
  clock: Clock;
  target: { namespace: string; service: string };
  request: Pick<ApplyRequest, 'rollout_seconds'>;
  signal: AbortSignal;
  say(text: string): void;
};

/** Retry interval while Prometheus is unavailable. */
const pollMs = 10_000;

/** Throttling of one pod; latency and errors are not known by pod. */
export const podSignals = (signals: Signals, pod: string | undefined): Signals =>
  pod === undefined ? signals : { ...signals, throttled: signals.throttledOf[pod] ?? signals.throttled };

/**
 * Signals up to now; retries while Prometheus is unavailable.
 * @throws TowerError `unavailable` after the maximum wait
 */
export async function signalsOf(
  { cluster, clock, target, request, signal, say }: Measuring,
  startMs: number,
): Promise<Signals> {
  const endMs = clock.now();
  for (;;) {
    try {
      return await cluster.signals(target, startMs, endMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isTransient(error) || clock.now() - endMs >= request.rollout_seconds * 1000) throw error;
      say(`health signals unavailable, retrying: ${error.message}`);
      await clock.sleep(pollMs, signal);
    }
  }
}

export const noSignals: Signals = { throttled: null, errors: null, latencyMs: null, throttledOf: {} };

export const signalsToJson = ({ throttled, errors, latencyMs }: Signals) => ({
  cpu_throttle_ratio: throttled,
  error_ratio: errors,
  latency_p95_ms: latencyMs,
});
