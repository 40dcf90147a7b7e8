import { describe, expect, it } from 'vitest';
import { hold, renew, restore, restoreLeft } from '../../../services/acquisition/kubernetes/leases.ts';
import { scaleWorkload } from '../../../services/acquisition/kubernetes/workloads.ts';
import { smallCluster as cluster, quick } from '../../support/small-cluster.ts';

describe('the hold on a workload', () => {
  const claim = { namespace: 'shop', service: 'web', holder: 'job-1/1' };
  const held = { ...claim, formerReplicas: 2 };
  const with2 = async () => Promise.resolve({ formerReplicas: 2 });
  const with5 = async () => Promise.resolve({ formerReplicas: 5 });
  const at = (ms: number) => ({ ...quick, now: () => ms });
  const now = Date.parse('2026-11-20T10:00:00Z');

  it('keeps what it found, also when it is taken up again after a crash', async () => {
    const { fake, client } = await cluster();
    await hold(client, at(now), claim, with2);
    await scaleWorkload(client, 'shop', 'web', 5);
    expect(await hold(client, at(now), claim, with5)).toEqual(held);
    await restore(client, held);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
    await restore(client, held);
  });

  it('is one job’s at a time, until it is not renewed any more', async () => {
    const { fake, client } = await cluster();
    await hold(client, at(now), claim, with2);
    const other = { ...claim, holder: 'job-2/1' };
    await expect(hold(client, at(now + 59_000), other, with5)).rejects.toThrow(
      'web in shop is held by another job, job-1/1',
    );
    await renew(client, at(now + 30_000), held);
    await expect(hold(client, at(now + 80_000), other, with5)).rejects.toThrow('job-1/1');
    const theirs = await hold(client, at(now + 91_000), other, with5);
    expect(theirs).toEqual({ ...other, formerReplicas: 2 });
    await expect(renew(client, at(now + 92_000), held)).rejects.toThrow(
      'not held by this job any more, but by job-2/1',
    );
    expect(fake.leases()[0]).toMatchObject({
      spec: { holderIdentity: 'job-2/1', renewTime: '2026-11-20T10:01:31.000000Z' },
    });
    // Who was given up for dead and wakes up leaves the other alone.
    await scaleWorkload(client, 'shop', 'web', 7);
    await restore(client, held);
    expect([fake.replicasOf('web'), fake.leases().length]).toEqual([7, 1]);
    await restore(client, theirs);
    expect([fake.replicasOf('web'), fake.leases()]).toEqual([2, []]);
    await expect(renew(client, at(now + 92_000), held)).rejects.toThrow('not held by this job any more');
  });

  it('is undone by anybody when nobody is at it, and what cannot be undone stops nothing else', async () => {
    const { fake, client } = await cluster();
    await hold(client, at(now), claim, with2);
    await hold(client, at(now), { ...claim, service: 'cart' }, async () => Promise.resolve({ formerReplicas: 1 }));
    await scaleWorkload(client, 'shop', 'web', 0);
    await scaleWorkload(client, 'shop', 'cart', 0);
    const abandoned = async (ms: number, atWork = false) =>
      restoreLeft(client, at(now + ms), 'shop', (_, isOver) => isOver && !atWork);
    expect(await abandoned(10_000)).toEqual([]);
    expect(await abandoned(70_000, true)).toEqual([]);
    expect(fake.replicasOf('web')).toBe(0);
    fake.trouble(({ method, path }) =>
      method === 'PUT' && path.endsWith('cart/scale') ? { status: 422, message: 'no' } : undefined,
    );
    await expect(abandoned(70_000)).rejects.toThrow('Kubernetes: no');
    expect(fake.replicasOf('web')).toBe(2);
    fake.trouble(() => undefined);
    expect(await abandoned(70_000)).toEqual(['cart']);
    expect([fake.replicasOf('cart', 'StatefulSet'), fake.leases()]).toEqual([1, []]);
  });
});
