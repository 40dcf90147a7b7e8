import { describe, expect, it } from 'vitest';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { restoreAbandoned } from '#services/acquisition/kubernetes/leases.ts';
import { amountOf } from '#services/acquisition/kubernetes/objects.ts';
import { scalingNotes } from '#services/rightsizing/apply/apply-scaling.ts';
import { answerOf, former, quiet, scalesBy, applyWorld as world } from '../../../support/apply-world.ts';
import { quick } from '../../../support/small-cluster.ts';

/** 400 m: 60 % of the former 500 m are 75 % of it. */
const recommended = answerOf(0.4);
const queue = { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'Value', value: '30' } } };
const absolute = (averageValue: string) => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'AverageValue', averageValue } },
});

type World = Awaited<ReturnType<typeof world>>;
type Scaled = { resource?: { target: { type: string; averageUtilization?: number; averageValue?: string } } };

/** Usage per pod at which the autoscaler acts, recorded at every cluster call. */
function watched({ fake, ofPods, scaledBy }: World): { amounts: Set<number>; targets: string[] } {
  const [amounts, targets] = [new Set<number>(), [] as string[]];
  fake.trouble(() => {
    const { averageUtilization, averageValue } = (scaledBy() as Scaled[]).find(({ resource }) => resource)!.resource!
      .target;
    const requests = (ofPods() as { requests: { cpu: string } }[]).map(({ requests: { cpu } }) => amountOf(cpu)!);
    const mean = requests.reduce((sum, each) => sum + each, 0) / requests.length;
    amounts.add(
      Number((averageValue === undefined ? (mean * averageUtilization!) / 100 : amountOf(averageValue)!).toFixed(6)),
    );
    const target = averageValue ?? `${averageUtilization}%`;
    if (targets.at(-1) !== target) targets.push(target);
    return undefined;
  });
  return { amounts, targets };
}

/**
 * Targets in percent of requests change their meaning when requests change; pods of two sizes have no common
 * percentage.
 */
describe('what an autoscaler scales in shares of requests', () => {
  it('is set with its target, and scales at the same amount all the while', async () => {
    const there = await world({ recommended, metrics: [queue, scalesBy('cpu')] });
    const seen = watched(there);
    const { run, said } = there.tower();
    const result = await run();
    expect(result).toMatchObject({
      status: 'applied',
      autoscaler: {
        name: 'web',
        targets: [{ resource: 'cpu', container: null, from: '60%', meanwhile: '300m', to: '75%', acts_at: '300m' }],
      },
    });
    expect([...seen.amounts]).toEqual([0.3]);
    expect(seen.targets).toEqual(['60%', '300m', '75%']);
    expect([there.scaledBy(), there.fake.leases()]).toEqual([[queue, scalesBy('cpu', 75)], []]);
    expect(said).toEqual(
      expect.arrayContaining([
        'the autoscaler web acts at 300m of cpu a pod while they are changed, which is its 60 %',
        'the autoscaler web acts at 75 % of cpu requested, 300m a pod',
      ]),
    );
  });

  it.each([
    true,
    false,
  ])('is taken back with its target, and scales at the same amount all the while (canary: %s)', async (canary) => {
    const there = await world({ recommended, metrics: [scalesBy('cpu')], signals: [quiet, { ...quiet, errors: 0.2 }] });
    const seen = watched(there);
    expect((await there.tower().run({ canary })).status).toBe('undone');
    expect([...seen.amounts]).toEqual([0.3]);
    expect(seen.targets).toEqual(canary ? ['60%', '300m', '60%'] : ['60%', '300m', '75%', '300m', '60%']);
    expect([there.resources(), there.scaledBy(), there.fake.leases()]).toEqual([former, [scalesBy('cpu')], []]);
  });

  it('keeps an amount where pods are sized in place: new ones ask for what the template says', async () => {
    const there = await world({ recommended, metrics: [scalesBy('cpu')] });
    const seen = watched(there);
    expect((await there.tower().run({ in_place: true })).status).toBe('applied');
    expect([...seen.amounts]).toEqual([0.3]);
    expect(there.scaledBy()).toEqual([absolute('300m')]);
    const worse = await world({
      recommended,
      metrics: [scalesBy('cpu')],
      signals: [quiet, quiet, { ...quiet, errors: 0.2 }],
    });
    expect((await worse.tower().run({ in_place: true })).status).toBe('undone');
    expect(worse.scaledBy()).toEqual([scalesBy('cpu')]);
  });

  it('is no share of what is not changed', async () => {
    const { fake, tower, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu'), queue] });
    expect(await tower().run({ resources: ['memory'] })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(scaledBy()).toEqual([scalesBy('cpu'), queue]);
    expect(fake.calls.filter((call) => call.startsWith('PATCH /apis/autoscaling'))).toEqual([]);
  });

  it('counts all containers of a pod, or the one it names', async () => {
    const proxy = { name: 'istio-proxy', resources: { requests: { cpu: '100m', memory: '64Mi' } } };
    for (const [metrics, expected] of [
      // 60 % of 600 m are 360 m, which are 72 % of 500 m.
      [[scalesBy('cpu')], { container: null, meanwhile: '360m', to: '72%', acts_at: '360m' }],
      [
        [{ type: 'ContainerResource', containerResource: { ...scalesBy('cpu').resource, container: 'server' } }],
        { container: 'server', meanwhile: '300m', to: '75%', acts_at: '300m' },
      ],
      [
        [{ type: 'ContainerResource', containerResource: { ...scalesBy('cpu').resource, container: 'istio-proxy' } }],
        null,
      ],
    ] as const) {
      const { fake, tower } = await world({ recommended, metrics: [...metrics] });
      // One container was injected, the other is a native sidecar.
      for (const [i, pod] of fake.pods().entries()) {
        const { containers } = pod.spec as { containers: object[] };
        pod.spec =
          i % 2 === 0
            ? { containers: [...containers, proxy] }
            : { containers, initContainers: [{ ...proxy, restartPolicy: 'Always' }, { name: 'migrate' }] };
      }
      const result = await tower().run({ resources: ['cpu'], canary: false });
      expect(result.autoscaler?.targets ?? null).toEqual(expected && [{ resource: 'cpu', from: '60%', ...expected }]);
    }
  });

  it('is left as somebody else has set it meanwhile, which is said', async () => {
    for (const theirs of [[scalesBy('cpu', 45), queue], [scalesBy('cpu')], []]) {
      for (const signals of [[quiet], [quiet, quiet, { ...quiet, errors: 0.2 }]]) {
        const { fake, tower, scaledBy, hpas } = await world({ recommended, metrics: [scalesBy('cpu')], signals });
        let isSet = false;
        fake.trouble(({ method, path }) => {
          const { spec, ...web } = fake.get(hpas, 'web')!;
          if (
            method === 'PATCH' &&
            path.endsWith('/deployments/web') &&
            fake.leases()[0]?.metadata['annotations'] &&
            !isSet
          ) {
            isSet = true;
            fake.add(hpas, { ...web, spec: { ...spec, metrics: theirs } });
          }
          return undefined;
        });
        const { run, said } = tower();
        expect((await run()).autoscaler).toBeNull();
        expect([isSet, scaledBy(), fake.leases()]).toEqual([true, theirs, []]);
        expect(said).toContain('the autoscaler web is left as somebody else has set it');
      }
    }
  });

  it('that was changed just before is looked at again first', async () => {
    const { fake, tower, resources, scaledBy, hpas } = await world({ recommended, metrics: [scalesBy('cpu')] });
    fake.trouble(({ method, path }) => {
      const { spec, ...web } = fake.get(hpas, 'web')!;
      // When its state is recorded.
      if (method === 'PUT' && path.endsWith('/leases/control-tower-web'))
        fake.add(hpas, { ...web, spec: { ...spec, metrics: [scalesBy('cpu', 45)] } });
      return undefined;
    });
    await expect(tower().run()).rejects.toThrow('the autoscaler web was changed just now: look at it, and apply again');
    expect([resources(), scaledBy(), fake.leases()]).toEqual([former, [scalesBy('cpu', 45)], []]);
  });

  it('is moved as far as is good for a service, which is told before, and watched', async () => {
    const there = await world({ metrics: [scalesBy('cpu')] });
    const seen = watched(there);
    const { run, said } = there.tower();
    const result = await run();
    // 300 m would be 484 % of 62 m.
    expect(result.autoscaler!.targets).toEqual([
      { resource: 'cpu', container: null, from: '60%', meanwhile: '300m', to: '90%', acts_at: '56m' },
    ]);
    expect(said.indexOf('it is watched how they do')).toBeGreaterThan(
      said.indexOf('the autoscaler web acts at 90 % of cpu requested, 56m a pod'),
    );
    expect(seen.targets).toEqual(['60%', '300m', '90%']);
    const moved = {
      name: 'web',
      shares: [{ resource: 'cpu', container: null, percent: 60, held: '300m', next: 90, actsAt: '56m' }],
    } as const;
    expect(scalingNotes({ ...moved, shares: [...moved.shares] })).toEqual([
      'the autoscaler web will act at 56m of cpu a pod and not at 300m as now: 90 % of the request is the nearest within 50 and 90 %',
    ]);
    // In-place resizes change no percentage of the template.
    const inPlace = await world({ metrics: [scalesBy('cpu')] });
    await inPlace.tower().run({ in_place: true });
    expect(inPlace.scaledBy()).toEqual([absolute('300m')]);
  });

  it('waits for pods that are slow to come back, whoever cancels, and is looked at until then', async () => {
    const { fake, tower, resources, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu')] });
    const cancel = new AbortController();
    let patches = 0;
    fake.trouble(({ method, path }) => {
      // The dry run first, then the change.
      if (method === 'PATCH' && path.endsWith('/deployments/web') && ++patches === 2) {
        cancel.abort(new Error('cancelled'));
        fake.podsAre(() => ({ phase: 'Pending' }));
      }
      return undefined;
    });
    const { steps, status } = await tower().run({}, cancel.signal, false);
    expect([status, steps.at(-1)!.text]).toEqual([
      'undone',
      'the autoscaler web gets its share back when all pods are as before, which is checked every minute',
    ]);
    expect([resources(), scaledBy(), fake.leases().length]).toEqual([former, [absolute('300m')], 1]);
    const client = createKubernetesClient({ config: fake.file, context: undefined, timeoutMs: 5000, clock: quick });
    const left = async () => restoreAbandoned(client, 'shop', () => true);
    expect(await left()).toEqual({ restored: [], waiting: ['web'] });
    const web = fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!;
    web.status = { ...web.status, readyReplicas: 3 };
    expect(await left()).toEqual({ restored: ['web'], waiting: [] });
    expect([scaledBy(), fake.leases()]).toEqual([[scalesBy('cpu')], []]);
  });

  it('is not moved while pods are being replaced, twice, or where a pod asks for CPU as a whole', async () => {
    const deployment = '/apis/apps/v1/namespaces/shop/deployments';
    const rolling = await world({ recommended, metrics: [scalesBy('cpu')] });
    const web = rolling.fake.get(deployment, 'web')!;
    web.status = { ...web.status, updatedReplicas: 1 };
    await expect(rolling.tower().run()).rejects.toThrow('and they are being replaced: apply it when that is done');
    const twice = await world({ recommended, metrics: [scalesBy('cpu'), absolute('300m')] });
    await expect(twice.tower().run()).rejects.toThrow('the autoscaler web scales by cpu twice');
    const whole = await world({ recommended, metrics: [scalesBy('cpu')] });
    for (const pod of whole.fake.pods()) pod.spec = { ...pod.spec, resources: { requests: { cpu: '1' } } };
    expect(await whole.tower().run({ canary: false })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(whole.scaledBy()).toEqual([scalesBy('cpu')]);
  });

  it('is of no concern where what it scales by stays', async () => {
    const { fake, tower, scaledBy } = await world({ recommended: answerOf(0.5), metrics: [scalesBy('cpu')] });
    for (const pod of fake.pods())
      (pod.spec as { containers: object[] }).containers = [{ name: 'server', resources: former }, { name: 'helper' }];
    expect(await tower().run({ canary: false })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(scaledBy()).toEqual([scalesBy('cpu')]);
  });

  it('may be of memory, and of a StatefulSet', async () => {
    const there = await world({ recommended, metrics: [scalesBy('memory', 70)], kind: 'StatefulSet' });
    const { autoscaler } = await there.tower().run();
    // 70 % of 256 MiB are more than 90 MiB.
    expect(autoscaler!.targets).toMatchObject([{ resource: 'memory', from: '70%', meanwhile: '187904819', to: '90%' }]);
    expect(there.scaledBy()).toEqual([scalesBy('memory', 90)]);
  });

  it('is set over what its controller says of it meanwhile, and refused where nobody lets it be', async () => {
    const { fake, tower, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu')] });
    let conflicts = 0;
    fake.trouble(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/') && ++conflicts <= 3
        ? { status: 409 }
        : undefined,
    );
    expect((await tower().run()).status).toBe('applied');
    expect(scaledBy()).toEqual([scalesBy('cpu', 75)]);
    const never = await world({ recommended, metrics: [scalesBy('cpu')] });
    never.fake.trouble(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/') ? { status: 409 } : undefined,
    );
    await expect(never.tower().run()).rejects.toThrow('the autoscaler web is changed all the time');
    expect([never.resources(), never.fake.leases()]).toEqual([former, []]);
  });

  it('says before anything is changed that it may not set targets', async () => {
    const { fake, tower, resources } = await world({ recommended, metrics: [scalesBy('cpu')] });
    fake.trouble(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/')
        ? { status: 403, message: 'User "tower" cannot patch resource "horizontalpodautoscalers"' }
        : undefined,
    );
    await expect(tower().run()).rejects.toThrow('Kubernetes does not allow');
    expect([resources(), fake.leases()]).toEqual([former, []]);
    expect(fake.calls.filter((call) => call.startsWith('PATCH') && !call.endsWith('?dryRun'))).toEqual([]);
  });

  it('is refused where somebody else keeps the target, or it is a share of nothing', async () => {
    const kept = await world({ recommended, metrics: [scalesBy('cpu')] });
    const web = kept.fake.get(kept.hpas, 'web')!;
    const ownerReferences = [{ kind: 'ScaledObject', name: 'web-queue', controller: true }];
    kept.fake.add(kept.hpas, { ...web, metadata: { ...web.metadata, ownerReferences } });
    await expect(kept.tower().run()).rejects.toThrow(
      'the autoscaler web scales by 60 % of cpu requested, and the ScaledObject web-queue keeps it so: set 75 % there, together with the requests',
    );
    const broken = await world({ recommended, metrics: [scalesBy('cpu')] });
    for (const pod of broken.fake.pods())
      (pod.spec as { containers: object[] }).containers = [{ name: 'server', resources: former }, { name: 'helper' }];
    await expect(broken.tower().run({ canary: false })).rejects.toThrow(
      'and helper requests none: it cannot work as it is',
    );
    for (const { resources, fake } of [kept, broken]) expect([resources(), fake.leases()]).toEqual([former, []]);
  });
});
