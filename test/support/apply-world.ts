import type { Clock } from '#kernel/clock.ts';
import type { KubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { createCluster, type Signals } from '#services/acquisition/kubernetes/cluster.ts';
import { applySizes, prepare, rollBackAbandoned } from '#services/rightsizing/apply/apply.ts';
import { ApplyRequest } from '#services/rightsizing/apply/apply-schemas.ts';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';
import { fakeKubernetes, readyStatus } from '../fakes/kubernetes.ts';
import { fastClock } from './experiment-world.ts';
import { shopClient } from './small-cluster.ts';

const target = { namespace: 'shop', service: 'web' };
export const former = { requests: { cpu: '500m', memory: '256Mi' }, limits: { cpu: '1' } };
export const request = ApplyRequest.parse({ dry_run: false, watch_seconds: 10, rollout_seconds: 600 });

/** 62 m and 90 MiB for its only container, and an injected sidecar. */
export const answer = (change: object = {}) =>
  ({
    status: 'success',
    reason: null,
    hpa: null,
    hpa_memory: null,
    confidence: 0.8,
    warnings: [],
    notes: [],
    containers: [
      { container: 'server', sidecar: false, cpu: { request: 0.062, limit: null }, memory: { request: 90 * 2 ** 20 } },
      { container: 'istio-proxy', sidecar: true, cpu: { request: 0.1, limit: null }, memory: { request: 2 ** 26 } },
    ],
    ...change,
  }) as unknown as SizeAnswer;

/** Another CPU request for its only container, and 90 MiB. */
export const answerOf = (request: number) =>
  answer({
    containers: [
      { container: 'server', sidecar: false, cpu: { request, limit: null }, memory: { request: 90 * 2 ** 20 } },
    ],
  });

export const quiet: Signals = { throttled: 0.01, errors: 0, latencyMs: 80, throttledOf: {} };

/** Status of a pod whose container was OOM-killed once and runs again. */
export const killed = {
  ...readyStatus,
  containerStatuses: [
    {
      name: 'server',
      ready: true,
      restartCount: 1,
      state: { running: {} },
      lastState: { terminated: { reason: 'OOMKilled' } },
    },
  ],
};

/** Utilisation of 60 % of requests, as in an autoscaler's metrics. */
export const scalesBy = (name: 'cpu' | 'memory', averageUtilization = 60) => ({
  type: 'Resource',
  resource: { name, target: { type: 'Utilization', averageUtilization } },
});

/** Measured signals, or a function called for them. */
export type Measured = Signals | (() => Promise<Signals>);

/** Applies a recommendation with an instance that may crash. */
export function applyingTower(
  real: KubernetesClient,
  clock: Clock,
  signals: Measured[] = [quiet],
  recommended: SizeAnswer = answer(),
) {
  /** `life`: number of calls until the instance crashes. */
  return (life = Number.POSITIVE_INFINITY, attempt = 1) => {
    let [left, calls] = [life, 0];
    let asked = 0;
    const died = new AbortController();
    const client: KubernetesClient = {
      watch: real.watch,
      requireWritable: real.requireWritable,
      call: async (call, signal) => {
        calls += 1;
        left -= 1;
        if (left < 0) {
          died.abort();
          await new Promise(() => undefined);
        }
        return real.call(call, signal);
      },
    };
    const cluster = {
      ...createCluster({
        client,
        clock,
        collect: async () => Promise.reject(new Error('nobody measures')),
        throttled: async () => Promise.reject(new Error('nobody measures')),
      }),
      signals: async () => {
        const next = signals[Math.min(asked++, signals.length - 1)]!;
        return typeof next === 'function' ? next() : next;
      },
    };
    const said: string[] = [];
    const run = async (
      change: Partial<ApplyRequest> = {},
      signal = new AbortController().signal,
      isBegunAgain = true,
    ) => {
      const deps = { cluster, clock };
      const left = await rollBackAbandoned(deps, 'job-1', target, signal);
      if (left) return left;
      const whole = { ...request, ...change };
      const prepared = async () => prepare(cluster, target, await cluster.find(target, signal), recommended, whole);
      return applySizes(
        deps,
        `job-1/${attempt}`,
        target,
        prepared,
        whole,
        signal,
        (text) => said.push(text),
        () => isBegunAgain,
      );
    };
    const dead = new Promise<null>((resolve) => {
      died.signal.addEventListener('abort', () => resolve(null));
    });
    return {
      run,
      said,
      calls: () => calls,
      until: async (change: Partial<ApplyRequest> = {}) => Promise.race([run(change), dead]),
    };
  };
}

/** A cluster with the service, and an application of the recommendation. */
export async function applyWorld({
  replicas = 3,
  signals = [quiet],
  kind = 'Deployment',
  recommended = answer(),
  metrics = [],
}: {
  replicas?: number;
  recommended?: SizeAnswer;
  /** Metrics of the autoscaler. */
  metrics?: object[];
  kind?: 'Deployment' | 'StatefulSet';
  signals?: Measured[];
} = {}) {
  const fake = await fakeKubernetes();
  fake.workload(kind, 'web', replicas, [{ name: 'server', image: 'web:1', resources: former }]);
  const hpas = '/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers';
  if (metrics.length > 0)
    fake.add(hpas, { metadata: { name: 'web' }, spec: { scaleTargetRef: { kind, name: 'web' }, metrics } });
  const clock = fastClock({ real: 1000 });
  const real = shopClient(fake.file, clock);
  const tower = applyingTower(real, clock, signals, recommended);
  const resources = () =>
    (
      fake.get(`/apis/apps/v1/namespaces/shop/${kind.toLowerCase()}s`, 'web')!.spec as {
        template: { spec: { containers: { resources: object }[] } };
      }
    ).template.spec.containers[0]!.resources;
  const ofPods = () =>
    fake.pods().map(({ spec }) => (spec as { containers: { resources: object }[] }).containers[0]!.resources);
  const scaledBy = () => (fake.get(hpas, 'web')?.spec as { metrics: object[] } | undefined)?.metrics;
  return { fake, tower, resources, ofPods, scaledBy, hpas };
}
