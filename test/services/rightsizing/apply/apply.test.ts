import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { ApplyResult } from '#services/rightsizing/apply/apply-schemas.ts';
import { readyStatus } from '../../../fakes/kubernetes.ts';
import { former, killed, quiet, scalesBy, applyWorld as world } from '../../../support/apply-world.ts';
import { rightOf } from '../../../support/rights.ts';

const wanted = { requests: { cpu: '62m', memory: '90Mi' }, limits: { cpu: '1', memory: '90Mi' } };

describe('applySizes', () => {
  it('resizes one pod, then all, and keeps the change if the service stays healthy', async () => {
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
      'PATCH /apis/apps/v1/namespaces/shop/deployments/web?dryRun',
      `PATCH /api/v1/namespaces/shop/pods/${result.canary}/resize?dryRun`,
      `PATCH /api/v1/namespaces/shop/pods/${result.canary}/resize`,
      'PATCH /apis/apps/v1/namespaces/shop/deployments/web',
    ]);
    expect(said).toEqual(expect.arrayContaining([`resizing ${result.canary} in place`, 'rolling out', 'kept']));
  });

  it('rolls back if a pod is OOM-killed or does not become ready', async () => {
    const one = await world();
    let asked = 0;
    one.fake.failure(({ method, path }) => {
      // Between two polls.
      if (method === 'GET' && path.endsWith('/pods') && ++asked === 6)
        for (const { metadata } of one.fake.pods()) one.fake.setPod(metadata.name, killed);
      return undefined;
    });
    const result = await one.tower().run();
    expect(result.reason).toBe(`${result.canary} was OOM-killed`);
    expect([one.resources(), one.fake.leases()]).toEqual([former, []]);
    const other = await world();
    other.fake.podsAre(() => ({
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'Insufficient cpu' }],
    }));
    expect((await other.tower().run({ rollout_seconds: 1 })).reason).toContain(
      'is not scheduled: Unschedulable: Insufficient cpu',
    );
    expect(other.resources()).toEqual(former);
  });

  it.each([
    [false, []],
    [true, []],
    [false, [scalesBy('cpu')]],
    [true, [scalesBy('cpu')]],
  ])(
    'leaves one state or the other when killed at any point (in place: %s, scaled: %j)',
    async (inPlace, metrics) => {
      const { tower, scaledBy: after } = await world({ metrics });
      const first = tower();
      await first.run({ in_place: inPlace });
      const lives = fc.array(fc.integer({ min: 0, max: first.calls() }), { minLength: 1, maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(lives, async (each) => {
          const { fake, tower: begin, resources, ofPods, scaledBy } = await world({ metrics });
          let result: ApplyResult | string | null = null;
          // A finished job is not restarted.
          for (const life of [...each, undefined])
            result ??= await begin(life)
              .until({ in_place: inPlace })
              .catch((error: unknown) => (life === undefined ? (error as Error).message : null));
          const outcome = result as unknown as ApplyResult | string;
          if (typeof outcome === 'string') expect(outcome).toContain('nothing to change');
          const isNew = typeof outcome === 'string' || outcome.status === 'applied';
          expect(resources()).toEqual(isNew && !inPlace ? wanted : former);
          expect(new Set(ofPods().map((own) => JSON.stringify((own as { requests: object }).requests)))).toEqual(
            new Set([JSON.stringify(isNew ? wanted.requests : former.requests)]),
          );
          expect(scaledBy() ?? []).toEqual(isNew ? (after() ?? []) : metrics);
          expect(fake.leases()).toEqual([]);
          fake.close();
        }),
        { numRuns: process.env['SOAK'] ? 60 : 6 },
      );
    },
    120_000,
  );

  it('does not repeat a harmful change after a crash during the rollback', async () => {
    const worse = [quiet, { ...quiet, errors: 0.2 }];
    const { tower } = await world({ signals: worse });
    const whole = tower();
    await whole.run();
    // Crashes after the failure was found: the last calls roll back, wait for pods, and release the lease.
    for (let life = whole.calls() - 6; life < whole.calls(); life += 1) {
      const { fake, tower: begin, resources } = await world({ signals: worse });
      await begin(life).until();
      const changes = () => fake.calls.filter((call) => call.startsWith('PATCH') && !call.endsWith('?dryRun')).length;
      const before = changes();
      if (fake.leases().length === 0) continue;
      expect(await begin().run()).toMatchObject({ status: 'undone', reason: 'the instance died during the change' });
      expect([resources(), fake.leases()]).toEqual([former, []]);
      expect(changes() - before).toBeLessThanOrEqual(1);
    }
  });

  it('reports a rollback during shutdown', async () => {
    const { fake, tower, resources } = await world({ signals: [quiet, quiet, { ...quiet, errors: 0.2 }] });
    const stop = new AbortController();
    let patches = 0;
    fake.failure(({ method, path }) => {
      // The third patch rolls back: the first was a dry run, the second the change.
      if (method === 'PATCH' && path.endsWith('/deployments/web') && ++patches === 3)
        setImmediate(() => stop.abort(new Error('the server is shutting down')));
      return undefined;
    });
    const result = await tower().run({}, stop.signal);
    expect(result).toMatchObject({ status: 'undone', reason: 'failed requests rose from 0 % to 20 %' });
    expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('rolls back when cancelled, and reports it unless it is restarted', async () => {
    for (const isBegunAgain of [true, false]) {
      const { fake, tower, resources } = await world();
      const cancel = new AbortController();
      // After the dry run.
      let resizes = 0;
      fake.failure(({ method, path }) => {
        if (method === 'PATCH' && path.endsWith('/resize') && (resizes += 1) === 2)
          cancel.abort(new Error('cancelled'));
        return undefined;
      });
      const run = tower().run({}, cancel.signal, isBegunAgain);
      if (isBegunAgain) await expect(run).rejects.toThrow('cancelled');
      else
        expect(await run).toMatchObject({
          status: 'undone',
          reason: 'cancelled',
          changes: [{ what: 'requests.cpu' }, { what: 'requests.memory' }, { what: 'limits.memory' }],
        });
      expect([resources(), fake.leases()]).toEqual([former, []]);
    }
  });

  it('refuses without a ready pod unless canary is false', async () => {
    const { fake, tower, resources } = await world();
    fake.failure(({ method, path }) => {
      if (method === 'GET' && path.endsWith('/pods'))
        for (const each of fake.pods()) each.status = { phase: 'Pending' };
      return undefined;
    });
    await expect(tower().run()).rejects.toThrow('no pod of web is ready, so there is no canary');
    expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('reports what an older Kubernetes cannot do, and works without a canary', async () => {
    const { fake, tower, resources } = await world();
    fake.failure(({ path }) => (path.endsWith('/resize') ? { status: 404 } : undefined));
    await expect(tower().run()).rejects.toThrow(
      /^cannot resize .* in place \(requires Kubernetes 1\.33 and later\).*canary: false/,
    );
    expect([resources(), fake.leases()]).toEqual([former, []]);
    expect(await tower().run({ canary: false })).toMatchObject({ status: 'applied', canary: null });
    expect(await (await world({ replicas: 1 })).tower().run()).toMatchObject({ status: 'applied', canary: null });
  });

  it('stops if another job takes the lease', async () => {
    const { fake, tower, resources } = await world();
    const path = '/apis/coordination.k8s.io/v1/namespaces/shop/leases';
    fake.failure(({ method, path: asked }) => {
      const lease = fake.get(path, 'control-tower-web');
      // While the canary is watched.
      if (method === 'PATCH' && asked.endsWith('/resize') && lease?.metadata['annotations'])
        fake.add(path, { ...lease, spec: { ...lease.spec, holderIdentity: 'job-2/1' } });
      return undefined;
    });
    await expect(tower().run()).rejects.toThrow('this job lost the lease of web to job-2/1');
    expect([resources(), fake.leases().length]).toEqual([former, 1]);
  });

  it('watches single pods, and waits until the resize is complete', async () => {
    const { fake, tower } = await world();
    fake.add('/api/v1/namespaces/shop/pods', {
      metadata: { name: 'web-evicted', labels: { app: 'web' } },
      status: { phase: 'Failed', reason: 'Evicted' },
    });
    expect(await tower().run()).toMatchObject({ status: 'applied' });
    const other = await world();
    other.fake.failure(({ method, path }) => {
      const name = /pods\/([^/]+)\/resize$/.exec(path)?.[1];
      const reason = { type: 'PodResizePending', status: 'True', reason: 'Infeasible', message: 'Node is too small' };
      if (method === 'PATCH' && name)
        other.fake.setPod(name, { ...readyStatus, conditions: [...(readyStatus['conditions'] as object[]), reason] });
      return undefined;
    });
    expect((await other.tower().run()).reason).toMatch(/^web-\w+ was not resized: Infeasible: Node is too small$/);
    expect([other.resources(), other.fake.leases()]).toEqual([former, []]);
  });

  it('deletes a pod whose added values cannot be removed in place', async () => {
    const { fake, tower, ofPods } = await world({ signals: [quiet, { ...quiet, throttled: 1 }] });
    const { canary } = await tower().run();
    // It had no memory limit, and the template has none.
    expect(fake.calls).toContain(`DELETE /api/v1/namespaces/shop/pods/${canary}`);
    expect(ofPods()).toEqual([former, former, former]);
  });

  it.each([
    [{ paused: true }, null, 'the rollout of web is paused: its pods would not be replaced'],
    [{ updateStrategy: { type: 'OnDelete' } }, null, 'has the update strategy OnDelete or a partition'],
    [
      {},
      {
        path: 'autoscaling.k8s.io/v1',
        plural: 'verticalpodautoscalers',
        spec: { targetRef: { kind: 'Deployment', name: 'web' } },
      },
      'the VerticalPodAutoscaler web sets the requests of web',
    ],
  ])('refuses if the change would not last: %j %j', async (spec, scaler, text) => {
    const { fake, tower, resources } = await world();
    const path = '/apis/apps/v1/namespaces/shop/deployments';
    const web = fake.get(path, 'web')!;
    fake.add(path, { ...web, spec: { ...web.spec, ...spec } });
    if (scaler)
      fake.add(`/apis/${scaler.path}/namespaces/shop/${scaler.plural}`, {
        metadata: { name: 'web' },
        spec: scaler.spec,
      });
    await expect(tower().run()).rejects.toThrow(text);
    expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('refuses without pods, and with two autoscalers', async () => {
    const none = await world({ replicas: 0 });
    await expect(none.tower().run()).rejects.toThrow('the workload has 0 replicas, so its health cannot be checked');
    const twice = await world({ metrics: [scalesBy('cpu')] });
    const web = twice.fake.get(twice.hpas, 'web')!;
    twice.fake.add(twice.hpas, { ...web, metadata: { name: 'web2' } });
    await expect(twice.tower().run()).rejects.toThrow('two autoscalers scale web: web and web2');
    for (const { resources, fake } of [none, twice]) expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('needs exactly the permissions that deploy/ grants', async () => {
    const rights = (file: string) => {
      const text = readFileSync(join(import.meta.dirname, '../../../../deploy/kubernetes', file), 'utf8');
      type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] };
      const { rules } = parseAllDocuments(text)[0]!.toJS() as { rules: Rule[] };
      return rules.flatMap(({ apiGroups, resources, verbs }) =>
        verbs.flatMap((verb) => resources.map((resource) => `${verb} ${apiGroups[0]} ${resource}`)),
      );
    };
    const { fake, tower } = await world({ metrics: [scalesBy('cpu')] });
    await tower().run();
    const undone = await world({ signals: [quiet, { ...quiet, throttled: 1 }] });
    await undone.tower().run();
    const used = new Set([...fake.calls, ...undone.fake.calls].map(rightOf));
    const given = [...rights('apply.yaml'), ...rights('experiments.yaml')];
    expect([...used].filter((right) => !given.includes(right))).toEqual([]);
    // The same for a StatefulSet.
    expect(rights('apply.yaml').filter((right) => !used.has(right))).toEqual(['patch apps statefulsets']);
  });
});
