import { setTimeout as wait } from 'node:timers/promises';
import type { KubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import type { Container, List, Pod } from '#services/acquisition/kubernetes/objects.ts';

/**
 * Simulates a scheduler and a kubelet: pods are bound, reported as running, resized in place, terminated; no container
 * runs.
 */

type Handled = Pod & {
  spec: { nodeName?: string; containers: Container[] };
  metadata: { namespace: string; generation?: number };
};
/** Status of a pod; undefined: it runs and is ready. */
export type Fate = (pod: Handled) => object | undefined;

export function runNode(client: KubernetesClient) {
  const over = new AbortController();
  let fateOf: Fate = () => undefined;
  const ready = new Map<string, string>();
  const handle = async (pod: Handled): Promise<void> => {
    const { name, namespace, deletionTimestamp } = pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    if (deletionTimestamp !== undefined) {
      ready.delete(name);
      await client.call({ method: 'DELETE', path, body: { gracePeriodSeconds: 0 } });
    } else if (pod.spec.nodeName === undefined) {
      const target = { apiVersion: 'v1', kind: 'Node', name: 'node-1' };
      const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target };
      await client.call({ method: 'POST', path: `${path}/binding`, body });
    } else {
      const status = fateOf(pod) ?? running(pod);
      ready.set(name, pod.metadata.labels?.['app'] ?? name);
      if (JSON.stringify(told(pod)) === JSON.stringify(told({ ...pod, status }))) return;
      const type = 'application/merge-patch+json';
      await client.call({ method: 'PATCH', path: `${path}/status`, type, body: { status } });
    }
  };
  const follow = async (): Promise<void> => {
    const path = '/api/v1/pods';
    const list = await client.call<List<Handled>>({ method: 'GET', path }, over.signal);
    for (const pod of list.items) await handle(pod).catch(() => undefined);
    const query = { resourceVersion: list.metadata.resourceVersion ?? '' };
    for await (const { type, object } of client.watch<Handled>(path, query, over.signal)) {
      if (type === 'ERROR') return;
      if (type === 'DELETED') ready.delete(object.metadata.name);
      // A pod changed concurrently arrives again.
      else if (type !== 'BOOKMARK') await handle(object).catch(() => undefined);
    }
  };
  const done = (async () => {
    while (!over.signal.aborted) {
      await follow().catch(() => undefined);
      await wait(50);
    }
  })();
  return {
    /** Running pods, by the label `app`. */
    replicasOf: (app: string): number => [...ready.values()].filter((each) => each === app).length,
    fates: (next: Fate) => (fateOf = next),
    stop: async () => {
      over.abort();
      await done;
    },
  };
}

/** Its status without timestamps. */
const told = ({ status }: { status?: object }) => {
  const { conditions, containerStatuses, observedGeneration } = (status ?? {}) as {
    conditions?: { type: string; status: string }[];
    containerStatuses?: { ready: boolean; restartCount: number; resources?: unknown }[];
    observedGeneration?: number;
  };
  return [
    observedGeneration,
    conditions?.map(({ type, status: is }) => [type, is]),
    containerStatuses?.map((each) => [each.ready, each.restartCount, each.resources]),
  ];
};

/** Status as a kubelet reports it for a running pod, with the requested resources. */
export function running({ metadata, spec }: Handled, restartCount = 0): object {
  const since = '2026-01-01T00:00:00Z';
  const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'];
  return {
    phase: 'Running',
    startTime: since,
    observedGeneration: metadata.generation,
    conditions: conditions.map((type) => ({ type, status: 'True', lastTransitionTime: since })),
    containerStatuses: spec.containers.map(({ name, resources }) => ({
      name,
      image: 'none',
      imageID: '',
      ready: true,
      started: true,
      restartCount,
      state: { running: { startedAt: since } },
      resources: resources ?? {},
    })),
  };
}
