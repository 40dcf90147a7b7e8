import { describe, expect, it } from 'vitest';
import { createLog } from '#kernel/log.ts';
import { createExperimentJobs, type ExperimentDeps } from '#services/acquisition/experiments/experiment-jobs.ts';
import { acquire, renew, restore, restoreAbandoned } from '#services/acquisition/kubernetes/leases.ts';
import { findWorkload, setResources } from '#services/acquisition/kubernetes/resources.ts';
import { scaleWorkload } from '#services/acquisition/kubernetes/workloads.ts';
import type { Queue } from '#store/queue.ts';
import { smallCluster as cluster, quick } from '../../../support/small-cluster.ts';

describe('the lease of a workload', () => {
  const claim = { namespace: 'shop', service: 'web', holder: 'job-1/1' };
  const held = { ...claim, formerReplicas: 2 };
  /** The current state, when it is read. */
  const asIs = (fake: Awaited<ReturnType<typeof cluster>>['fake']) => async () =>
    Promise.resolve({ formerReplicas: fake.replicasOf('web')! });
  const at = (ms: number) => ({ now: () => ms, sleep: async () => undefined });
  const now = Date.parse('2026-11-20T10:00:00Z');

  it('restores the recorded state, also after a crash', async () => {
    const { fake, client } = await cluster();
    await acquire(client, at(now), claim, asIs(fake));
    await scaleWorkload(client, 'shop', 'web', 5);
    expect(await acquire(client, at(now), claim, asIs(fake))).toEqual(held);
    await restore(client, held);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
    await restore(client, held);
  });

  it("does not expire because the leader's clock is ahead", async () => {
    const { fake, client } = await cluster();
    await acquire(client, at(now), claim, asIs(fake));
    await scaleWorkload(client, 'shop', 'web', 5);
    const noted: object[] = [];
    // The leader's clock is two minutes ahead.
    let leads = now + 120_000;
    const jobs = createExperimentJobs({
      client,
      clock: { ...quick, now: () => leads },
      queue: { handle: () => undefined, list: async () => [{ subject: 'shop' }] } as unknown as Queue,
      audit: async ({ details }: { details: object }) => void noted.push(details),
      log: createLog('ERROR', 'json', { write: () => undefined }),
    } as unknown as ExperimentDeps);
    const look = async () => jobs.restore(new AbortController().signal);
    for (let minutes = 1; minutes <= 5; minutes += 1) {
      await look();
      await renew(client, at(now + minutes * 60_000), held);
      leads += 60_000;
    }
    expect([fake.replicasOf('web'), fake.leases().length]).toEqual([5, 1]);
    await look();
    leads += 59_000;
    await look();
    expect(fake.replicasOf('web')).toBe(5);
    leads += 1_000;
    expect(noted).toEqual([]);
    await look();
    expect([fake.replicasOf('web'), fake.leases(), noted]).toEqual([2, [], [{ restored: ['web'] }]]);
  });

  it('is not taken over by a job whose clock is ahead', async () => {
    const { fake, client } = await cluster();
    await acquire(client, at(now), claim, asIs(fake));
    await scaleWorkload(client, 'shop', 'web', 5);
    const ahead = { ...at(now + 120_000), sleep: async () => renew(client, at(now + 15_000), held) };
    await expect(acquire(client, ahead, { ...claim, holder: 'job-2/1' }, asIs(fake))).rejects.toThrow('job-1/1');
    expect([fake.replicasOf('web'), fake.leases().length]).toEqual([5, 1]);
  });

  it('belongs to one job at a time, until it expires', async () => {
    const { fake, client } = await cluster();
    await acquire(client, at(now), claim, asIs(fake));
    const other = { ...claim, holder: 'job-2/1' };
    await expect(acquire(client, at(now + 59_000), other, asIs(fake))).rejects.toThrow(
      'web in shop is leased by another job, job-1/1',
    );
    await renew(client, at(now + 30_000), held);
    await expect(acquire(client, at(now + 80_000), other, asIs(fake))).rejects.toThrow('job-1/1');
    const theirs = await acquire(client, at(now + 91_000), other, asIs(fake));
    expect(theirs).toEqual({ ...other, formerReplicas: 2 });
    await expect(renew(client, at(now + 92_000), held)).rejects.toThrow('this job lost the lease of web to job-2/1');
    expect(fake.leases()[0]).toMatchObject({
      spec: { holderIdentity: 'job-2/1', renewTime: '2026-11-20T10:01:31.000000Z' },
    });
    // A suspended holder that resumes does not disturb its successor.
    await scaleWorkload(client, 'shop', 'web', 7);
    await restore(client, held);
    expect([fake.replicasOf('web'), fake.leases().length]).toEqual([7, 1]);
    await restore(client, theirs);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
    await expect(renew(client, at(now + 92_000), held)).rejects.toThrow('this job lost the lease of web');
  });

  it('is rolled back by the leader after its holder died, independently of other leases', async () => {
    const { fake, client } = await cluster();
    await acquire(client, at(now), claim, asIs(fake));
    await acquire(client, at(now), { ...claim, service: 'cart' }, async () => Promise.resolve({ formerReplicas: 1 }));
    await scaleWorkload(client, 'shop', 'web', 0);
    await scaleWorkload(client, 'shop', 'cart', 0);
    const abandoned = async (ms: number, atWork = false) =>
      restoreAbandoned(client, 'shop', (_, { spec }) => Date.parse(spec.renewTime!) + 60_000 < now + ms && !atWork);
    expect(await abandoned(10_000)).toEqual({ restored: [], waiting: [] });
    expect(await abandoned(70_000, true)).toEqual({ restored: [], waiting: [] });
    expect(fake.replicasOf('web')).toBe(0);
    fake.failure(({ method, path }) =>
      method === 'PUT' && path.endsWith('cart/scale') ? { status: 422, message: 'no' } : undefined,
    );
    await expect(abandoned(70_000)).rejects.toThrow('Kubernetes: no');
    expect(fake.replicasOf('web')).toBe(2);
    fake.failure(() => undefined);
    expect(await abandoned(70_000)).toEqual({ restored: ['cart'], waiting: [] });
    expect([fake.replicasOf('cart', 'StatefulSet'), fake.leases()]).toEqual([1, []]);
  });

  it('rolls back what another kind of job left before it starts', async () => {
    const { fake, client } = await cluster();
    const resources = () => JSON.stringify(fake.get('/apis/apps/v1/namespaces/shop/deployments', 'web')!.spec);
    const before = resources();
    const found = await findWorkload(client, 'shop', 'web');
    const target = { namespace: 'shop', service: 'web', kind: found.kind };
    const former = { kind: found.kind, selector: found.selector, containers: found.containers, pods: [] };
    // A job that resizes crashes, then one that scales replicas crashes, then one that resizes acquires the lease.
    await acquire(client, at(now), claim, async () => Promise.resolve({ formerReplicas: 2, formerResources: former }));
    await setResources(client, target, [{ name: 'server', resources: { requests: { cpu: '1m' } } }]);
    const replicas = await acquire(client, at(now + 61_000), { ...claim, holder: 'job-2/1' }, asIs(fake));
    expect(resources()).toBe(before);
    await scaleWorkload(client, 'shop', 'web', 7);
    expect(replicas.formerResources).toBeUndefined();
    const again = await acquire(client, at(now + 122_000), { ...claim, holder: 'job-3/1' }, async () =>
      Promise.resolve({ formerReplicas: fake.replicasOf('web')!, formerResources: former }),
    );
    expect([again.formerReplicas, fake.replicasOf('web')]).toEqual([2, 2]);
    await restore(client, again);
    expect([resources(), fake.leases()]).toEqual([before, []]);
  });

  it('is released if the changes cannot be prepared', async () => {
    const { fake, client } = await cluster();
    await expect(
      acquire(client, at(now), claim, async () => Promise.reject(new Error('nothing to do'))),
    ).rejects.toThrow('nothing to do');
    expect(fake.leases()).toEqual([]);
  });
});
