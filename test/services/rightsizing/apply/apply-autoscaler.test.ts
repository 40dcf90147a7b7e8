import { describe, expect, it } from 'vitest';
import { restoreAbandoned } from '#services/acquisition/kubernetes/leases.ts';
import { amountOf } from '#services/acquisition/kubernetes/objects.ts';
import { scalingNotes } from '#services/rightsizing/apply/apply-scaling.ts';
import { answerOf, former, quiet, scalesBy, applyWorld as world } from '../../../support/apply-world.ts';
import { quick, shopClient } from '../../../support/small-cluster.ts';

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
  fake.failure(() => {
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
describe('an autoscaler with targets in per cent of requests', () => {
  it('changes with the requests, and always scales at the same amount', async () => {
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
        'the autoscaler web scales at 300m of cpu per pod during the change, the same as 60 %',
        'the autoscaler web scales at 75 % of cpu requests, 300m per pod',
      ]),
    );
  });

  it.each([true, false])('is rolled back, and always scales at the same amount (canary: %s)', async (canary) => {
    const there = await world({ recommended, metrics: [scalesBy('cpu')], signals: [quiet, { ...quiet, errors: 0.2 }] });
    const seen = watched(there);
    expect((await there.tower().run({ canary })).status).toBe('undone');
    expect([...seen.amounts]).toEqual([0.3]);
    expect(seen.targets).toEqual(canary ? ['60%', '300m', '60%'] : ['60%', '300m', '75%', '300m', '60%']);
    expect([there.resources(), there.scaledBy(), there.fake.leases()]).toEqual([former, [scalesBy('cpu')], []]);
  });

  it('keeps an absolute amount if pods are resized in place', async () => {
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

  it('is unchanged if its resource is unchanged', async () => {
    const { fake, tower, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu'), queue] });
    expect(await tower().run({ resources: ['memory'] })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(scaledBy()).toEqual([scalesBy('cpu'), queue]);
    expect(fake.calls.filter((call) => call.startsWith('PATCH /apis/autoscaling'))).toEqual([]);
  });

  it('covers all containers of a pod, or the one it names', async () => {
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

  it('is left alone, with a note, if another client changes it meanwhile', async () => {
    for (const theirs of [[scalesBy('cpu', 45), queue], [scalesBy('cpu')], []]) {
      for (const signals of [[quiet], [quiet, quiet, { ...quiet, errors: 0.2 }]]) {
        const { fake, tower, scaledBy, hpas } = await world({ recommended, metrics: [scalesBy('cpu')], signals });
        let isSet = false;
        fake.failure(({ method, path }) => {
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
        expect(said).toContain('the autoscaler web was changed by another client and is left unchanged');
      }
    }
  });

  it('that changed just before is checked again first', async () => {
    const { fake, tower, resources, scaledBy, hpas } = await world({ recommended, metrics: [scalesBy('cpu')] });
    fake.failure(({ method, path }) => {
      const { spec, ...web } = fake.get(hpas, 'web')!;
      // When its state is recorded.
      if (method === 'PUT' && path.endsWith('/leases/control-tower-web'))
        fake.add(hpas, { ...web, spec: { ...spec, metrics: [scalesBy('cpu', 45)] } });
      return undefined;
    });
    await expect(tower().run()).rejects.toThrow('the autoscaler web was changed just now: check it, and apply again');
    expect([resources(), scaledBy(), fake.leases()]).toEqual([former, [scalesBy('cpu', 45)], []]);
  });

  it('is kept within 50 and 90 %, with a note, and watched', async () => {
    const there = await world({ metrics: [scalesBy('cpu')] });
    const seen = watched(there);
    const { run, said } = there.tower();
    const result = await run();
    // 300 m would be 484 % of 62 m.
    expect(result.autoscaler!.targets).toEqual([
      { resource: 'cpu', container: null, from: '60%', meanwhile: '300m', to: '90%', acts_at: '56m' },
    ]);
    expect(said.indexOf('watching the pods')).toBeGreaterThan(
      said.indexOf('the autoscaler web acts at 90 % of cpu requested, 56m a pod'),
    );
    expect(seen.targets).toEqual(['60%', '300m', '90%']);
    const moved = {
      name: 'web',
      shares: [{ resource: 'cpu', container: null, percent: 60, held: '300m', next: 90, actsAt: '56m' }],
    } as const;
    expect(scalingNotes({ ...moved, shares: [...moved.shares] })).toEqual([
      'the autoscaler web will scale at 56m of cpu per pod instead of 300m: 90 % of requests is the nearest target within 50 and 90 %',
    ]);
    // In-place resizes change no percentage of the template.
    const inPlace = await world({ metrics: [scalesBy('cpu')] });
    await inPlace.tower().run({ in_place: true });
    expect(inPlace.scaledBy()).toEqual([absolute('300m')]);
  });

  it('waits for slow pods, despite cancellations, and is restored later', async () => {
    const { fake, tower, resources, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu')] });
    const cancel = new AbortController();
    let patches = 0;
    fake.failure(({ method, path }) => {
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
      'the percentage targets of the autoscaler web are restored once all pods are rolled back (checked every minute)',
    ]);
    expect([resources(), scaledBy(), fake.leases().length]).toEqual([former, [absolute('300m')], 1]);
    const client = shopClient(fake.file, quick);
    const left = async () => restoreAbandoned(client, 'shop', () => true);
    expect(await left()).toEqual({ restored: [], waiting: ['web'] });
    const web = fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!;
    web.status = { ...web.status, readyReplicas: 3 };
    expect(await left()).toEqual({ restored: ['web'], waiting: [] });
    expect([scaledBy(), fake.leases()]).toEqual([[scalesBy('cpu')], []]);
  });

  it('is refused during a rollout, with duplicate targets, and for pod-level resources', async () => {
    const deployment = '/apis/apps/v1/namespaces/shop/deployments';
    const rolling = await world({ recommended, metrics: [scalesBy('cpu')] });
    const web = rolling.fake.get(deployment, 'web')!;
    web.status = { ...web.status, updatedReplicas: 1 };
    await expect(rolling.tower().run()).rejects.toThrow('apply after the rollout');
    const twice = await world({ recommended, metrics: [scalesBy('cpu'), absolute('300m')] });
    await expect(twice.tower().run()).rejects.toThrow('the autoscaler web scales by cpu twice');
    const whole = await world({ recommended, metrics: [scalesBy('cpu')] });
    for (const pod of whole.fake.pods()) pod.spec = { ...pod.spec, resources: { requests: { cpu: '1' } } };
    expect(await whole.tower().run({ canary: false })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(whole.scaledBy()).toEqual([scalesBy('cpu')]);
  });

  it('is ignored if its metrics do not depend on requests', async () => {
    const { fake, tower, scaledBy } = await world({ recommended: answerOf(0.5), metrics: [scalesBy('cpu')] });
    for (const pod of fake.pods())
      (pod.spec as { containers: object[] }).containers = [{ name: 'server', resources: former }, { name: 'helper' }];
    expect(await tower().run({ canary: false })).toMatchObject({ status: 'applied', autoscaler: null });
    expect(scaledBy()).toEqual([scalesBy('cpu')]);
  });

  it('may use memory, and belong to a StatefulSet', async () => {
    const there = await world({ recommended, metrics: [scalesBy('memory', 70)], kind: 'StatefulSet' });
    const { autoscaler } = await there.tower().run();
    // 70 % of 256 MiB are more than 90 MiB.
    expect(autoscaler!.targets).toMatchObject([{ resource: 'memory', from: '70%', meanwhile: '187904819', to: '90%' }]);
    expect(there.scaledBy()).toEqual([scalesBy('memory', 90)]);
  });

  it('is changed despite concurrent status updates, and refused without permission', async () => {
    const { fake, tower, scaledBy } = await world({ recommended, metrics: [scalesBy('cpu')] });
    let conflicts = 0;
    fake.failure(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/') && ++conflicts <= 3
        ? { status: 409 }
        : undefined,
    );
    expect((await tower().run()).status).toBe('applied');
    expect(scaledBy()).toEqual([scalesBy('cpu', 75)]);
    const never = await world({ recommended, metrics: [scalesBy('cpu')] });
    never.fake.failure(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/') ? { status: 409 } : undefined,
    );
    await expect(never.tower().run()).rejects.toThrow('other clients keep changing the autoscaler web');
    expect([never.resources(), never.fake.leases()]).toEqual([former, []]);
  });

  it('is checked for permission before any change', async () => {
    const { fake, tower, resources } = await world({ recommended, metrics: [scalesBy('cpu')] });
    fake.failure(({ method, path }) =>
      method === 'PATCH' && path.includes('/horizontalpodautoscalers/')
        ? { status: 403, message: 'User "tower" cannot patch resource "horizontalpodautoscalers"' }
        : undefined,
    );
    await expect(tower().run()).rejects.toThrow('Kubernetes denied permission');
    expect([resources(), fake.leases()]).toEqual([former, []]);
    expect(fake.calls.filter((call) => call.startsWith('PATCH') && !call.endsWith('?dryRun'))).toEqual([]);
  });

  it('is refused if another controller owns it, or its requests are missing', async () => {
    const kept = await world({ recommended, metrics: [scalesBy('cpu')] });
    const web = kept.fake.get(kept.hpas, 'web')!;
    const ownerReferences = [{ kind: 'ScaledObject', name: 'web-queue', controller: true }];
    kept.fake.add(kept.hpas, { ...web, metadata: { ...web.metadata, ownerReferences } });
    await expect(kept.tower().run()).rejects.toThrow(
      'the autoscaler web scales by 60 % of cpu requests, and the ScaledObject web-queue manages it: set 75 % there, together with the requests',
    );
    const broken = await world({ recommended, metrics: [scalesBy('cpu')] });
    for (const pod of broken.fake.pods())
      (pod.spec as { containers: object[] }).containers = [{ name: 'server', resources: former }, { name: 'helper' }];
    await expect(broken.tower().run({ canary: false })).rejects.toThrow('container helper has no cpu request');
    for (const { resources, fake } of [kept, broken]) expect([resources(), fake.leases()]).toEqual([former, []]);
  });
});
