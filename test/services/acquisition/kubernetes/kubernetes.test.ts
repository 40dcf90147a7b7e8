import { describe, expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { amountOf } from '#services/acquisition/kubernetes/objects.ts';
import { readinessOf, waitForPods, whyNotReady } from '#services/acquisition/kubernetes/pods.ts';
import { scaleWorkload, workloadsOf } from '#services/acquisition/kubernetes/workloads.ts';
import { readyStatus } from '../../../fakes/kubernetes.ts';
import { smallCluster as cluster, quick } from '../../../support/small-cluster.ts';

const waiting = (reason: string, message?: string) => ({
  phase: 'Pending',
  conditions: [{ type: 'PodScheduled', status: 'True' }],
  containerStatuses: [{ name: 'server', ready: false, restartCount: 0, state: { waiting: { reason, message } } }],
});

describe('a cluster', () => {
  it('lists workloads, their resources and their autoscalers', async () => {
    const { fake, client } = await cluster();
    fake.add('/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers', {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'web-hpa' },
      spec: { scaleTargetRef: { kind: 'Deployment', name: 'web' } },
    });
    expect(await workloadsOf(client, 'shop')).toEqual([
      {
        kind: 'StatefulSet',
        name: 'cart',
        replicas: 1,
        ready_replicas: 1,
        containers: [
          {
            name: 'redis',
            cpu_request_cores: 0.5,
            cpu_limit_cores: null,
            memory_request_bytes: null,
            memory_limit_bytes: null,
          },
        ],
        hpa: [],
        vpa: [],
      },
      {
        kind: 'Deployment',
        name: 'web',
        replicas: 2,
        ready_replicas: 2,
        containers: [
          {
            name: 'server',
            cpu_request_cores: 0.25,
            cpu_limit_cores: null,
            memory_request_bytes: 128 * 2 ** 20,
            memory_limit_bytes: 256 * 2 ** 20,
          },
          {
            name: 'proxy',
            cpu_request_cores: null,
            cpu_limit_cores: null,
            memory_request_bytes: null,
            memory_limit_bytes: null,
          },
        ],
        hpa: ['web-hpa'],
        vpa: [],
      },
    ]);
  });

  it('scales despite conflicts, and not at all if there is nothing to do', async () => {
    const { fake, client } = await cluster();
    let conflicts = 3;
    fake.failure(({ method, path }) =>
      method === 'PUT' && path.endsWith('/scale') && conflicts-- > 0 ? { status: 409 } : undefined,
    );
    expect(await scaleWorkload(client, 'shop', 'web', 4)).toEqual({ former: 2, selector: 'app=web' });
    expect([
      fake.replicasOf('web'),
      fake.pods().filter(({ metadata }) => metadata.name.startsWith('web')).length,
    ]).toEqual([4, 4]);
    const writes = () => fake.calls.filter((call) => call.startsWith('PUT')).length;
    const before = writes();
    await scaleWorkload(client, 'shop', 'web', 4);
    expect(writes()).toBe(before);
    await scaleWorkload(client, 'shop', 'cart', 0);
    expect(fake.replicasOf('cart', 'StatefulSet')).toBe(0);
    await expect(scaleWorkload(client, 'shop', 'absent', 1)).rejects.toThrow(
      'shop has no Deployment or StatefulSet absent',
    );
  });

  it.each([
    [401, 'refused the credentials', '', 'unavailable'],
    [
      403,
      'denied permission: User "a" cannot list resource "pods"',
      'User "a" cannot list resource "pods"',
      'unavailable',
    ],
    [
      403,
      'Kubernetes: pods "web" is forbidden: exceeded quota: most',
      'pods "web" is forbidden: exceeded quota: most',
      'invalid',
    ],
    [503, 'Kubernetes answered 503', 'no rights', 'unavailable'],
    [422, 'Kubernetes: no rights', 'no rights', 'invalid'],
  ])('maps the status %i to an error without the token: %s', async (status, text, message, code) => {
    const { fake, client } = await cluster();
    fake.failure(() => ({ status, message }));
    const error = await scaleWorkload(client, 'shop', 'web', 1).catch((each: unknown) => each as Error);
    expect((error as Error).message).toContain(text);
    expect(error).toMatchObject({ code });
    expect(String((error as Error).stack)).not.toContain('a-secret-token');
  });

  it('retries temporary failures, and reports an unreachable API server', async () => {
    const { fake, client } = await cluster();
    let left = 2;
    fake.failure(() => (left-- > 0 ? { status: 503 } : undefined));
    expect(await workloadsOf(client, 'shop')).toHaveLength(2);
    fake.close();
    await expect(workloadsOf(client, 'shop')).rejects.toThrow('cannot reach Kubernetes');
  });

  it.each([
    ['no-such-file', undefined, 'KUBERNETES_CONFIG is not a valid kubeconfig file'],
    ['in-cluster', undefined, 'KUBERNETES_CONFIG is in-cluster, but this process does not run in a cluster'],
    [null, 'other', 'KUBERNETES_CONTEXT is not in the file; available: fake'],
  ])('refuses the settings %s and %s by name', async (config, context, text) => {
    const { fake } = await cluster();
    const client = createKubernetesClient({
      config: config ?? fake.file,
      context,
      namespaces: ['shop'],
      timeoutMs: 5000,
      clock: quick,
    });
    await expect(workloadsOf(client, 'shop')).rejects.toThrow(text);
  });
});

describe('pods', () => {
  const pod = (status: object, metadata: object = {}) => ({ metadata: { name: 'web-1', ...metadata }, status });
  it.each([
    ['ready', pod(readyStatus), null],
    ['ending', pod(readyStatus, { deletionTimestamp: '2026-11-20T10:00:00Z' }), 'is terminating'],
    [
      'without a node',
      pod({
        phase: 'Pending',
        conditions: [
          { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes are available' },
        ],
      }),
      'is not scheduled: Unschedulable: 0/3 nodes are available',
    ],
    [
      'without its image',
      pod(waiting('ImagePullBackOff', 'no such image')),
      'container server waits: ImagePullBackOff: no such image',
    ],
    ['falling again and again', pod(waiting('CrashLoopBackOff')), 'container server waits: CrashLoopBackOff'],
    ['being made', pod(waiting('ContainerCreating')), 'container server is being created'],
    [
      'not ready yet',
      pod({
        phase: 'Running',
        containerStatuses: [{ name: 'server', ready: false, restartCount: 0, state: { running: {} } }],
      }),
      'container server is running but not ready',
    ],
    ['new', pod({ phase: 'Pending' }), 'has no containers yet'],
  ])('that are %s have that reason', (_, each, why) => {
    expect(whyNotReady(each)).toBe(why);
  });

  it('are ready when the wanted number is ready and no other is left', () => {
    const ready = pod(readyStatus);
    expect(readinessOf([ready], 1).ready).toBe(true);
    expect(readinessOf([ready], 2)).toEqual({ ready: false, pods: 1, waiting: [] });
    expect(readinessOf([ready, pod(readyStatus, { deletionTimestamp: 'x' })], 1).ready).toBe(false);
    expect(readinessOf([ready, pod({ phase: 'Failed' })], 1).ready).toBe(true);
    expect(readinessOf([], 0).ready).toBe(true);
  });

  it('are watched until they are ready, across watches that end', async () => {
    const { fake, client } = await cluster();
    fake.podsAre(() => waiting('ContainerCreating'));
    await scaleWorkload(client, 'shop', 'web', 3);
    const names = fake
      .pods()
      .filter(({ metadata }) => metadata.name.startsWith('web'))
      .map(({ metadata }) => metadata.name);
    const seen: string[] = [];
    const done = waitForPods(client, quick, {
      namespace: 'shop',
      selector: 'app=web',
      desiredReplicas: 3,
      timeoutMs: 20_000,
      onChange: ({ waiting: each }) => {
        seen.push(each.map(({ why }) => why).join());
        if (seen.length === 1) {
          fake.setPod(names[2]!, waiting('ImagePullBackOff'));
          setTimeout(() => fake.endWatches(), 50);
        }
        if (each[0]?.why.includes('ImagePullBackOff')) setTimeout(() => fake.setPod(names[2]!, readyStatus), 100);
      },
    });
    expect(await done).toEqual({ ready: true, pods: 3, waiting: [] });
    expect(seen.some((each) => each.includes('ImagePullBackOff'))).toBe(true);
    // By a watch, without polling.
    expect(fake.calls.filter((call) => call === 'GET /api/v1/namespaces/shop/pods').length).toBeLessThan(5);
  });

  it('that are not ready in time are reported with the reason', async () => {
    const { fake, client } = await cluster();
    fake.podsAre(() => waiting('ImagePullBackOff', 'gone'));
    await scaleWorkload(client, 'shop', 'web', 3);
    const wait = { namespace: 'shop', selector: 'app=web', desiredReplicas: 3, timeoutMs: 200 };
    const readiness = await waitForPods(client, systemClock, wait);
    expect(readiness).toMatchObject({
      ready: false,
      pods: 3,
      waiting: [{ why: 'container server waits: ImagePullBackOff: gone' }],
    });
    await expect(
      waitForPods(client, systemClock, { ...wait, timeoutMs: 20_000, signal: AbortSignal.timeout(50) }),
    ).rejects.toThrow('timeout');
  });
});

it.each([
  ['250m', 0.25],
  ['1.5', 1.5],
  ['128Mi', 128 * 2 ** 20],
  ['1e9', 1e9],
  ['2G', 2e9],
  ['100n', 1e-7],
  ['', null],
  ['many', null],
  ['5Q', null],
])('of %s is %s', (text, amount) => {
  const read = amountOf(text);
  expect(read === null ? null : Number(read.toPrecision(12))).toBe(amount);
});
