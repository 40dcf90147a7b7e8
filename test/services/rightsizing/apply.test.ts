import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { createCluster, type Signals } from '../../../services/acquisition/cluster.ts';
import { createKubernetesClient } from '../../../services/acquisition/kubernetes/client.ts';
import { applySizes, changesOf, undoLeft, worseThan } from '../../../services/rightsizing/apply.ts';
import { ApplyRequest } from '../../../services/rightsizing/apply-schemas.ts';
import type { SizeAnswer } from '../../../services/rightsizing/schemas.ts';
import { fakeKubernetes, readyStatus } from '../../fakes/kubernetes.ts';
import { fastClock } from '../../support/experiment-world.ts';
import { rightOf } from '../../support/rights.ts';

const target = { namespace: 'shop', service: 'web' };
const former = { requests: { cpu: '500m', memory: '256Mi' }, limits: { cpu: '1' } };
const request = ApplyRequest.parse({ dry_run: false, watch_seconds: 10, rollout_seconds: 600 });

/** 62 m and 90 MiB for its only container, and an injected one that is not its own. */
const answer = (change: object = {}) =>
  ({
    status: 'success',
    reason: null,
    hpa: null,
    confidence: 0.8,
    notes: [],
    containers: [
      { container: 'server', sidecar: false, cpu: { request: 0.062, limit: null }, memory: { request: 90 * 2 ** 20 } },
      { container: 'istio-proxy', sidecar: true, cpu: { request: 0.1, limit: null }, memory: { request: 2 ** 26 } },
    ],
    ...change,
  }) as unknown as SizeAnswer;

const quiet: Signals = { throttled: 0.01, errors: 0, latencyMs: 80 };

/** A cluster with the service, and an application of the recommendation there. */
async function world({ replicas = 3, signals = [quiet] }: { replicas?: number; signals?: Signals[] } = {}) {
  const fake = await fakeKubernetes();
  fake.workload('Deployment', 'web', replicas, [{ name: 'server', image: 'web:1', resources: former }]);
  const clock = fastClock({ real: 1000 });
  /** `life`: calls until the tower dies. */
  const tower = (life = Number.POSITIVE_INFINITY) => {
    let [left, calls] = [life, 0];
    let asked = 0;
    const died = new AbortController();
    const real = createKubernetesClient({ config: fake.file, context: undefined, timeoutMs: 5000, clock });
    const client: typeof real = {
      watch: real.watch,
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
      ...createCluster({ client, clock, collect: async () => Promise.reject(new Error('nobody measures')) }),
      signals: async () => Promise.resolve(signals[Math.min(asked++, signals.length - 1)]!),
    };
    const said: string[] = [];
    const run = async (change: Partial<ApplyRequest> = {}, signal = new AbortController().signal) => {
      const deps = { cluster, clock };
      const left = await undoLeft(deps, 'job-1', target, signal);
      if (left) return left;
      const found = await cluster.find(target, signal);
      const whole = { ...request, ...change };
      return applySizes(deps, 'job-1/1', target, found, changesOf(answer(), found, whole), whole, signal, (text) =>
        said.push(text),
      );
    };
    const dead = new Promise<null>((resolve) => {
      died.signal.addEventListener('abort', () => resolve(null));
    });
    return { run, said, calls: () => calls, until: async () => Promise.race([run(), dead]) };
  };
  const resources = () =>
    (
      fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!.spec as {
        template: { spec: { containers: { resources: object }[] } };
      }
    ).template.spec.containers[0]!.resources;
  const ofPods = () =>
    fake.pods().map(({ spec }) => (spec as { containers: { resources: object }[] }).containers[0]!.resources);
  return { fake, tower, resources, ofPods };
}

const wanted = { requests: { cpu: '62m', memory: '90Mi' }, limits: { cpu: '1', memory: '90Mi' } };

describe('applying a recommendation', () => {
  it('resizes one pod, then all, and stays where the service does as well as before', async () => {
    const { fake, tower, resources, ofPods } = await world();
    const { run, said } = tower();
    const result = await run();
    expect(result).toMatchObject({
      status: 'applied',
      reason: null,
      before: { latency_p95_ms: 80 },
      after: { latency_p95_ms: 80 },
    });
    expect(result.changes).toEqual([
      { container: 'server', what: 'requests.cpu', from: '500m', to: '62m' },
      { container: 'server', what: 'requests.memory', from: '256Mi', to: '90Mi' },
      { container: 'server', what: 'limits.memory', from: null, to: '90Mi' },
    ]);
    expect(resources()).toEqual(wanted);
    expect(ofPods()).toEqual([wanted, wanted, wanted]);
    expect(fake.leases()).toEqual([]);
    const writes = fake.calls.filter((call) => call.startsWith('PATCH'));
    expect(writes).toEqual([
      `PATCH /api/v1/namespaces/shop/pods/${result.canary}/resize`,
      'PATCH /apis/apps/v1/namespaces/shop/deployments/web',
    ]);
    expect(said).toEqual(
      expect.arrayContaining([`${result.canary} is resized in place`, 'all pods are replaced', 'it stays']),
    );
  });

  it.each([
    ['throttled', { ...quiet, throttled: 0.2 }, 'throttled CPU periods rose from 1 % to 20 %'],
    ['errors', { ...quiet, errors: 0.03 }, 'failed requests rose from 0 % to 3 %'],
    ['latency', { ...quiet, latencyMs: 140 }, 'the 95th percentile of latency rose from 80 ms to 140 ms'],
  ])('is taken back where %s gets worse, to the last field', async (_, after, reason) => {
    for (const signals of [
      [quiet, after],
      [quiet, quiet, after],
    ]) {
      const { fake, tower, resources, ofPods } = await world({ signals });
      const result = await tower().run();
      expect(result.status).toBe('undone');
      expect(result.reason).toContain(reason);
      expect([resources(), fake.leases()]).toEqual([former, []]);
      expect(ofPods().map(({ requests }: { requests?: object }) => requests)).toEqual([
        former.requests,
        former.requests,
        former.requests,
      ]);
    }
  });

  it('is taken back where a pod is killed for memory, or does not come up', async () => {
    const killed = {
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
    const one = await world();
    let asked = 0;
    one.fake.trouble(({ method, path }) => {
      // Between two looks at it.
      if (method === 'GET' && path.endsWith('/pods') && ++asked === 3)
        for (const { metadata } of one.fake.pods()) one.fake.setPod(metadata.name, killed);
      return undefined;
    });
    const result = await one.tower().run();
    expect(result.reason).toBe(`${result.canary}: ${result.canary} was killed for memory`);
    expect([one.resources(), one.fake.leases()]).toEqual([former, []]);
    const other = await world();
    other.fake.podsAre(() => ({
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'Insufficient cpu' }],
    }));
    expect((await other.tower().run({ rollout_seconds: 1 })).reason).toContain(
      'has no node: Unschedulable: Insufficient cpu',
    );
    expect(other.resources()).toEqual(former);
  });

  it('that is killed at any point leaves the one or the other, never half of it', async () => {
    const { tower } = await world();
    const first = tower();
    await first.run();
    const lives = fc.array(fc.integer({ min: 0, max: first.calls() }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(lives, async (each) => {
        const { fake, tower: begin, resources, ofPods } = await world();
        for (const life of each)
          await begin(life)
            .until()
            .catch(() => null);
        const result = await begin()
          .run()
          .catch((error: unknown) => (error as Error).message);
        if (typeof result === 'string') expect(result).toContain('there is nothing to change');
        const isNew = typeof result === 'string' || result.status === 'applied';
        expect(resources()).toEqual(isNew ? wanted : former);
        expect(new Set(ofPods().map((own) => JSON.stringify((own as { requests: object }).requests)))).toEqual(
          new Set([JSON.stringify(isNew ? wanted.requests : former.requests)]),
        );
        expect(fake.leases()).toEqual([]);
        fake.close();
      }),
      { numRuns: process.env['SOAK'] ? 60 : 6 },
    );
  }, 120_000);

  it('that is cancelled is taken back', async () => {
    const { fake, tower, resources } = await world();
    const cancel = new AbortController();
    fake.trouble(({ method, path }) => {
      if (method === 'PATCH' && path.endsWith('/deployments/web')) cancel.abort(new Error('cancelled'));
      return undefined;
    });
    await expect(tower().run({}, cancel.signal)).rejects.toThrow('cancelled');
    expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('says what an older Kubernetes cannot do, and does without the canary where that is asked for', async () => {
    const { fake, tower, resources } = await world();
    fake.trouble(({ path }) => (path.endsWith('/resize') ? { status: 404 } : undefined));
    await expect(tower().run()).rejects.toThrow(
      /cannot be resized in place \(Kubernetes 1\.33 and later can, within limits\).*canary: false/,
    );
    expect([resources(), fake.leases()]).toEqual([former, []]);
    expect(await tower().run({ canary: false })).toMatchObject({ status: 'applied', canary: null });
    expect(await (await world({ replicas: 1 })).tower().run()).toMatchObject({ status: 'applied', canary: null });
  });

  it('needs the rights that deploy/ gives it, and no others', async () => {
    const rights = (file: string) => {
      const text = readFileSync(join(import.meta.dirname, '../../../deploy/kubernetes', file), 'utf8');
      type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] };
      const { rules } = parseAllDocuments(text)[0]!.toJS() as { rules: Rule[] };
      return rules.flatMap(({ apiGroups, resources, verbs }) =>
        verbs.flatMap((verb) => resources.map((resource) => `${verb} ${apiGroups[0]} ${resource}`)),
      );
    };
    const { fake, tower } = await world();
    await tower().run();
    const undone = await world({ signals: [quiet, { ...quiet, throttled: 1 }] });
    await undone.tower().run();
    const used = new Set([...fake.calls, ...undone.fake.calls].map(rightOf));
    const given = [...rights('apply.yaml'), ...rights('experiments.yaml')];
    expect([...used].filter((right) => !given.includes(right))).toEqual([]);
    // Of a StatefulSet the same; a pod is deleted where it cannot be set back.
    expect(rights('apply.yaml').filter((right) => !used.has(right))).toEqual([
      'get apps statefulsets',
      'patch apps statefulsets',
      'delete  pods',
    ]);
  });

  const found = {
    kind: 'Deployment' as const,
    selector: 'app=web',
    replicas: 2,
    containers: [{ name: 'server', resources: former }],
  };
  it.each([
    [{ status: 'abstained', reason: 'too little is known' }, {}, 'nothing is recommended: too little is known'],
    [
      { hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } },
      {},
      'its target would have to move from 60 % to 75 % with it',
    ],
    [{ capacity: { replicas: 5 } }, {}, 'the size is for 5 replicas, and there are 2: scale it first'],
    [{ containers: [] }, {}, 'there is nothing to change: it has what is recommended'],
  ])('is refused with its reason: %j', (change, more, text) => {
    expect(() => changesOf(answer(change), found, { ...request, ...more })).toThrow(text);
  });

  it('may be of memory alone, also where an autoscaler sets replicas by CPU', () => {
    const scaled = answer({ hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } });
    const { sized } = changesOf(scaled, found, { ...request, resources: ['memory'] });
    expect(sized).toEqual([
      { name: 'server', resources: { requests: { memory: '90Mi' }, limits: { memory: '90Mi' } } },
    ]);
  });

  it('is judged by what is measured, not by what is unknown', () => {
    const unknown: Signals = { throttled: null, errors: null, latencyMs: null };
    expect([
      worseThan(quiet, unknown),
      worseThan(unknown, { ...quiet, throttled: 1 }),
      worseThan(quiet, { ...quiet, latencyMs: 100 }),
    ]).toEqual([null, null, null]);
  });
});
