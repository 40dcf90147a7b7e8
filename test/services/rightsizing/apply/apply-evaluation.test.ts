import { describe, expect, it } from 'vitest';
import { unavailable } from '#kernel/errors.ts';
import { readyStatus } from '../../../fakes/kubernetes.ts';
import { former, killed, type Measured, quiet, applyWorld as world } from '../../../support/apply-world.ts';

const wanted = { requests: { cpu: '62m', memory: '90Mi' }, limits: { cpu: '1', memory: '90Mi' } };

/** Signals from Prometheus decide whether a change is kept. */
describe('an applied recommendation', () => {
  it.each([
    ['throttled', { ...quiet, throttled: 0.2 }, 'throttled CPU periods rose from 1 % to 20 %'],
    ['errors', { ...quiet, errors: 0.03 }, 'failed requests rose from 0 % to 3 %'],
    ['latency', { ...quiet, latencyMs: 140 }, 'the 95th percentile of latency rose from 80 ms to 140 ms'],
  ])('is rolled back exactly if %s gets worse', async (_, after, reason) => {
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

  it('compares the throttling of the resized pod only', async () => {
    const signals: Measured[] = [quiet];
    const { fake, tower, resources } = await world({ replicas: 10, signals });
    const first = fake.pods()[0]!.metadata.name!;
    signals.push({ ...quiet, throttled: 0.045, throttledOf: { [first]: 0.4 } });
    const { status, canary, reason } = await tower().run();
    expect([status, canary, reason]).toEqual([
      'undone',
      first,
      `${first}: throttled CPU periods rose from 1 % to 40 %`,
    ]);
    expect(resources()).toEqual(former);
  });

  it('waits while Prometheus is down, and is rolled back if its health stays unknown', async () => {
    const away = unavailable('Prometheus answered 503');
    for (const [times, expected] of [
      [3, { status: 'applied' }],
      [
        1000,
        { status: 'undone', reason: expect.stringContaining('health signals unavailable: Prometheus answered 503') },
      ],
    ] as const) {
      let asked = 0;
      const signals = async () => {
        asked += 1;
        if (asked > 1 && asked <= 1 + times) throw away;
        return quiet;
      };
      const { tower, resources } = await world({ signals: [signals] });
      expect(await tower().run()).toMatchObject(expected);
      expect(resources()).toEqual(expected.status === 'applied' ? wanted : former);
    }
    const never = await world({ signals: [async () => Promise.reject(away)] });
    await expect(never.tower().run()).rejects.toThrow('Prometheus answered 503');
    expect([never.resources(), never.ofPods(), never.fake.leases()]).toEqual([former, [former, former, former], []]);
  });

  it('for an hour is set in place, pod by pod, without changing the template', async () => {
    const { fake, tower, resources, ofPods } = await world();
    const { run, said } = tower();
    const result = await run({ horizon: '1h' });
    expect(result.status).toBe('applied');
    // A limit that was not set could not be removed in place.
    const inPlace = { requests: wanted.requests, limits: { cpu: '1' } };
    expect([resources(), ofPods(), fake.leases()]).toEqual([former, [inPlace, inPlace, inPlace], []]);
    expect(result.changes.map(({ what }) => what)).toEqual(['requests.cpu', 'requests.memory']);
    expect(fake.calls.filter((call) => call.startsWith('PATCH') && !call.endsWith('?dryRun'))).toHaveLength(3);
    expect(fake.calls.filter((call) => call.includes('/deployments/web') && call.startsWith('PATCH'))).toEqual([]);
    expect(said).toContain('kept on the running pods: the template is unchanged');
    // A rollout on request.
    const rolled = await world();
    await rolled.tower().run({ horizon: '1h', in_place: false });
    expect(rolled.resources()).toEqual(wanted);
  });

  it('in place is rolled back in every pod if it harms', async () => {
    const worse = { ...quiet, errors: 0.2 };
    for (const signals of [
      [quiet, worse],
      [quiet, quiet, worse],
    ]) {
      const { fake, tower, resources, ofPods } = await world({ signals });
      expect((await tower().run({ in_place: true })).status).toBe('undone');
      expect([resources(), ofPods(), fake.leases()]).toEqual([former, [former, former, former], []]);
      // No pod was deleted.
      expect(fake.calls.filter((call) => call.startsWith('DELETE') && call.includes('/pods/'))).toEqual([]);
    }
    // Changes of the template by others are kept.
    const edited = await world({ signals: [quiet, worse] });
    const theirs = { ...former, limits: { cpu: '3' } };
    edited.fake.failure(({ method, path }) => {
      const { spec } = edited.fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!;
      const { containers } = (spec as { template: { spec: { containers: { resources: object }[] } } }).template.spec;
      if (method === 'PATCH' && path.endsWith('/resize')) containers[0]!.resources = theirs;
      return undefined;
    });
    expect((await edited.tower().run({ in_place: true })).status).toBe('undone');
    expect(edited.resources()).toEqual(theirs);
    expect(edited.fake.calls.filter((call) => /^PATCH .*\/deployments\//.test(call))).toEqual([]);
    // Also with a single pod, without a canary.
    const alone = await world({ replicas: 1, signals: [quiet, worse] });
    expect(await alone.tower().run({ in_place: true })).toMatchObject({ status: 'undone', canary: null });
    expect((alone.ofPods() as { requests: object }[]).map(({ requests }) => requests)).toEqual([former.requests]);
  });

  it("in place is compared with the pods' requests, which may differ from the template", async () => {
    const { fake, tower, resources, ofPods } = await world();
    await tower().run({ in_place: true });
    // The template already has the recommended requests; the pods do not.
    const [deployment] = fake.list('/apis/apps/v1/namespaces/shop/deployments') as unknown as {
      spec: { template: { spec: { containers: { resources: object }[] } } };
    }[];
    expect(deployment!.spec.template.spec.containers[0]!.resources).toEqual(former);
    for (const pod of fake.pods()) {
      const spec = pod.spec as { containers: { resources: object }[] };
      spec.containers[0]!.resources = { requests: { cpu: '200m', memory: '90Mi' }, limits: { cpu: '1' } };
    }
    const again = await tower(undefined, 2).run({ in_place: true });
    expect(again.changes).toEqual([{ container: 'server', what: 'requests.cpu', from: '200m', to: '62m' }]);
    expect([resources(), (ofPods() as { requests: object }[]).map(({ requests }) => requests)]).toEqual([
      former,
      Array(3).fill(wanted.requests),
    ]);
    await expect(tower(undefined, 3).run({ in_place: true })).rejects.toThrow('nothing to change');
  });

  it('in place is rolled back if a resized pod is killed during another resize', async () => {
    const { fake, tower, ofPods } = await world();
    let resizes = 0;
    fake.failure(({ method, path }) => {
      if (method !== 'PATCH' || !path.endsWith('/resize')) return undefined;
      resizes += 1;
      // The third resize: the second pod, already resized, is killed meanwhile.
      const second = fake.calls.filter((call) => call.endsWith('/resize')).at(-2)!;
      if (resizes === 4) fake.setPod(second.split('/').at(-2)!, killed);
      return undefined;
    });
    const result = await tower().run({ in_place: true });
    expect(result.reason).toMatch(/^web-\w+ was OOM-killed$/);
    expect(ofPods()).toEqual([former, former, former]);
  });

  it('is rolled back if a pod restarts for the resize and is not ready afterwards', async () => {
    const { fake, tower, resources } = await world();
    fake.failure(({ method, path }) => {
      const resized = fake.calls
        .findLast((call) => call.endsWith('/resize'))
        ?.split('/')
        .at(-2);
      const isThere = fake.pods().some(({ metadata }) => metadata.name === resized);
      if (method === 'GET' && path.endsWith('/pods') && resized !== undefined && isThere)
        fake.setPod(resized, { ...readyStatus, conditions: [{ type: 'Ready', status: 'False' }] });
      return undefined;
    });
    const result = await tower().run({ rollout_seconds: 60 });
    expect(result).toMatchObject({ status: 'undone', reason: `${result.canary} is no longer ready` });
    expect([resources(), fake.leases()]).toEqual([former, []]);
  });

  it('detects restarts of pods with reused names', async () => {
    const { fake, tower } = await world({ kind: 'StatefulSet' });
    const runs = (restartCount: number, lastState: object) => ({
      ...readyStatus,
      containerStatuses: [{ name: 'server', ready: true, restartCount, state: { running: {} }, lastState }],
    });
    for (const { metadata } of fake.pods()) fake.setPod(metadata.name, runs(5, {}));
    let looks = 0;
    fake.failure(({ method, path }) => {
      // The second poll after all pods were replaced.
      const isReplaced = fake.calls.some((call) => call === 'PATCH /apis/apps/v1/namespaces/shop/statefulsets/web');
      if (isReplaced && method === 'GET' && path.endsWith('/pods') && ++looks === 3)
        for (const { metadata } of fake.pods())
          fake.setPod(metadata.name, runs(1, { terminated: { reason: 'OOMKilled' } }));
      return undefined;
    });
    const result = await tower().run({ canary: false, watch_seconds: 60 });
    expect([result.status, result.reason]).toEqual(['undone', 'web-0 was OOM-killed']);
  });

  it('keeps changes that others make during a rollback', async () => {
    const { fake, tower, resources } = await world({ signals: [quiet, quiet, { ...quiet, errors: 0.2 }] });
    const theirs = { ...former, requests: { cpu: '700m', memory: '256Mi' } };
    let patches = 0;
    fake.failure(({ method, path }) => {
      if (method === 'PATCH' && path.endsWith('/deployments/web')) patches += 1;
      // Validated, applied, rolled back.
      const { spec } = fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!;
      const { containers } = (spec as { template: { spec: { containers: { resources: object }[] } } }).template.spec;
      if (method === 'GET' && path.endsWith('/pods') && patches === 3) containers[0]!.resources = theirs;
      return undefined;
    });
    expect((await tower().run()).status).toBe('undone');
    expect(resources()).toEqual(theirs);
  });

  it('does not report success if another client reverted it', async () => {
    const { fake, tower } = await world();
    fake.failure(({ method, path }) => {
      const isReplaced = fake.calls.some((call) => call === 'PATCH /apis/apps/v1/namespaces/shop/deployments/web');
      if (isReplaced && method === 'GET' && path.endsWith('/pods')) fake.dropLeases();
      return undefined;
    });
    await expect(tower().run()).rejects.toThrow('this job lost the lease of web');
  });
});
