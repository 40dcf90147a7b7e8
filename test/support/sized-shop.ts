import { systemClock } from '#kernel/clock.ts';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { answer, applyingTower, type Measured, quiet } from './apply-world.ts';
import { realShop, workload } from './real-shop.ts';

type Pods = { items: { metadata: { name: string }; spec: { containers: { resources: object }[] } }[] };

/** A namespace with a service, and an instance that right-sizes it. */
export async function sizedShop({ kind = 'Deployment' }: { kind?: 'Deployment' | 'StatefulSet' } = {}) {
  const real = await realShop();
  const { kubectl, client } = real;
  await real.add(workload(kind, 'web', 3));
  await kubectl(['rollout', 'status', `${kind.toLowerCase()}/web`, '-n', 'shop', '--timeout=30s']);
  const clock = hurriedClock();
  const tower = createKubernetesClient({
    config: real.file,
    context: undefined,
    namespaces: ['shop'],
    timeoutMs: 10_000,
    clock: systemClock,
  });
  const resources = async () =>
    JSON.parse(
      await kubectl(['get', kind, 'web', '-n', 'shop', '-o', 'jsonpath={.spec.template.spec.containers[0].resources}']),
    ) as object;
  const pods = async () => {
    const path = '/api/v1/namespaces/shop/pods';
    const { items } = await client.call<Pods>({ method: 'GET', path, query: { labelSelector: 'app=web' } });
    return items.map(({ metadata: { name }, spec }) => ({ name, resources: spec.containers[0]!.resources }));
  };
  return {
    ...real,
    tower,
    resources,
    pods,
    applying: (signals: Measured[] = [quiet], recommended = answer()) =>
      applyingTower(tower, clock, signals, recommended),
  };
}

/** Short waits are shortened; renewals and time limits never expire. */
function hurriedClock() {
  let now = Date.now();
  return {
    now: () => now,
    sleep: async (ms: number, signal?: AbortSignal) => {
      if (ms <= 10_000) now += ms;
      return systemClock.sleep(ms <= 10_000 ? 50 : 600_000, signal);
    },
  };
}
