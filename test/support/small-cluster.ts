import { type Clock, systemClock } from '#kernel/clock.ts';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';

/** Waits between retries take no time; time limits of a second or more never expire. */
export const quick = {
  now: () => Date.now(),
  sleep: async (ms: number, signal?: AbortSignal) => systemClock.sleep(ms > 10_000 ? ms : 0, signal),
};

/** A client of a fake cluster that may change the namespace `shop`. */
export const shopClient = (config: string, clock: Clock) =>
  createKubernetesClient({ config, context: undefined, namespaces: ['shop'], timeoutMs: 5000, clock });

/** A Deployment and a StatefulSet, and clients for them. */
export async function smallCluster() {
  const fake = await fakeKubernetes();
  fake.workload('Deployment', 'web', 2, [
    { name: 'server', resources: { requests: { cpu: '250m', memory: '128Mi' }, limits: { memory: '256Mi' } } },
    { name: 'proxy' },
  ]);
  fake.workload('StatefulSet', 'cart', 1, [{ name: 'redis', resources: { requests: { cpu: '0.5' } } }]);
  const client = shopClient(fake.file, quick);
  return { fake, client };
}
