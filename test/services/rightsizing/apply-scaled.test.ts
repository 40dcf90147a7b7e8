import { describe, expect, it } from 'vitest';
import { amountOf } from '../../../services/acquisition/kubernetes/objects.ts';
import { answer, former, quiet, scalesBy, applyWorld as world } from '../../support/apply-world.ts';

/** 400 m: 60 % of the 500 m there were are 75 % of it. */
const recommended = answer({
  containers: [
    { container: 'server', sidecar: false, cpu: { request: 0.4, limit: null }, memory: { request: 90 * 2 ** 20 } },
  ],
});
const queue = { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'Value', value: '30' } } };
const absolute = (averageValue: string) => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'AverageValue', averageValue } },
});

type World = Awaited<ReturnType<typeof world>>;
type Scaled = { resource?: { target: { type: string; averageUtilization?: number; averageValue?: string } } };

/** Cores of a pod at which the autoscaler acts, looked at whenever the cluster is asked anything. */
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

/** Shares of requests are other amounts when requests move; pods of two sizes have no share in common. */
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
        targets: [{ resource: 'cpu', container: null, from: '60%', meanwhile: '300m', to: '75%' }],
      },
    });
    expect([...seen.amounts]).toEqual([0.3]);
    expect(seen.targets).toEqual(['60%', '300m', '75%']);
    expect([there.scaledBy(), there.fake.leases()]).toEqual([[queue, scalesBy('cpu', 75)], []]);
    expect(said).toEqual(
      expect.arrayContaining([
        'the autoscaler web scales at 300m of cpu a pod meanwhile, which is its 60 %',
        'the autoscaler web scales at 75% of cpu requested',
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
    expect(seen.targets).toEqual(['60%', '300m', '60%']);
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
      [[scalesBy('cpu')], { container: null, meanwhile: '360m', to: '72%' }],
      [
        [{ type: 'ContainerResource', containerResource: { ...scalesBy('cpu').resource, container: 'server' } }],
        { container: 'server', meanwhile: '300m', to: '75%' },
      ],
      [
        [{ type: 'ContainerResource', containerResource: { ...scalesBy('cpu').resource, container: 'istio-proxy' } }],
        null,
      ],
    ] as const) {
      const { fake, tower } = await world({ recommended, metrics: [...metrics] });
      // One of them was injected, the other is started before it, and stays.
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

  it('is left as somebody else has set it meanwhile', async () => {
    for (const signals of [[quiet], [quiet, quiet, { ...quiet, errors: 0.2 }]]) {
      const theirs = [scalesBy('cpu', 45), queue];
      const { fake, tower, scaledBy, hpas } = await world({ recommended, metrics: [scalesBy('cpu')], signals });
      fake.trouble(({ method, path }) => {
        const { spec, ...web } = fake.get(hpas, 'web')!;
        if (method === 'PATCH' && path.endsWith('/deployments/web') && fake.leases()[0]?.metadata['annotations'])
          fake.add(hpas, { ...web, spec: { ...spec, metrics: theirs } });
        return undefined;
      });
      await tower().run();
      expect(scaledBy()).toEqual(theirs);
    }
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
      'the autoscaler web scales by cpu in per cent of the request, and the ScaledObject web-queue keeps it as it is',
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
