import { describe, expect, it } from 'vitest';
import { createCluster, type Signals } from '#services/acquisition/kubernetes/cluster.ts';
import { createApplyJobs } from '#services/rightsizing/apply/apply-jobs.ts';
import type { Queue } from '#store/queue.ts';
import type { QueuedJob, Work } from '#store/queue-job.ts';
import { fakeKubernetes } from '../../../fakes/kubernetes.ts';
import { answer, former, quiet, request } from '../../../support/apply-world.ts';
import { fastClock } from '../../../support/experiment-world.ts';
import { shopClient } from '../../../support/small-cluster.ts';

async function jobsOver(change: object = {}, signals: Signals[] = []) {
  const fake = await fakeKubernetes();
  fake.workload('Deployment', 'web', 3, [{ name: 'server', image: 'web:1', resources: former }]);
  const clock = fastClock({ real: 1000 });
  const client = shopClient(fake.file, clock);
  const unmeasured = async () => Promise.reject(new Error('nobody measures'));
  const noted: object[] = [];
  const told: unknown[] = [];
  let work: Work | undefined;
  const jobs = createApplyJobs({
    cluster: {
      ...createCluster({ client, clock, collect: unmeasured, throttled: unmeasured }),
      signals: async () => signals.shift() ?? quiet,
    },
    clock,
    queue: { handle: (_: string, each: Work) => (work = each) } as unknown as Queue,
    recommend: async () => answer(change),
    audit: async (entry) => void noted.push(entry),
    onApplied: (outcome, { service }, reason) => told.push([outcome, service, reason]),
  });
  const run = async (abandoned: number) =>
    work!(
      {
        id: 'job-1',
        attempts: 1 + abandoned,
        abandoned,
        subject: 'shop/web',
        payload: JSON.stringify(request),
      } as QueuedJob,
      { signal: new AbortController().signal, progress: () => undefined, isStopping: () => false },
    );
  return { fake, jobs, run, noted, told };
}

describe('an apply job', () => {
  it('is not restarted if it was rolled back after its instance died', async () => {
    const { fake, run, noted } = await jobsOver();
    await expect(run(1)).rejects.toThrow(
      'the instance died while web was changed, and no changes are left to roll back: check its requests, and apply again',
    );
    expect(fake.calls.filter((call) => call.startsWith('PATCH'))).toEqual([]);
    expect(noted).toMatchObject([{ job: 'job-1', details: { status: 'failed' } }]);
  });

  it('records its outcome with measurements', async () => {
    const kept = await jobsOver();
    await kept.run(0);
    const target = { namespace: 'shop', service: 'web' };
    expect(kept.noted).toMatchObject([
      {
        action: 'apply a recommendation',
        job: 'job-1',
        target,
        details: { status: 'applied', before: { latency_p95_ms: 80 }, after: { latency_p95_ms: 80 } },
      },
    ]);
    const undone = await jobsOver({}, [quiet, { ...quiet, errors: 0.5 }]);
    await undone.run(0);
    expect(undone.noted).toMatchObject([
      { target, details: { status: 'undone', reason: expect.stringContaining('failed requests rose') as string } },
    ]);
    expect([...kept.told, ...undone.told]).toEqual([
      ['applied', 'web', null],
      ['undone', 'web', expect.stringContaining('failed requests rose')],
    ]);
  });

  it('sends only valid names to the cluster', async () => {
    const { fake, jobs } = await jobsOver();
    const odd = '../../../../../../api/v1/namespaces/kube-system/secrets/db?x=';
    await expect(jobs.plan({ namespace: 'shop', service: odd }, request)).rejects.toThrow(
      /^service must be a valid Kubernetes name/,
    );
    await expect(jobs.plan({ namespace: '../..', service: 'web' }, request)).rejects.toThrow(
      /^namespace must be a valid Kubernetes name/,
    );
    expect(fake.calls).toEqual([]);
  });

  it('refuses recommendations from incomplete results', async () => {
    const { fake, jobs } = await jobsOver({ warnings: ['store eu-2 is away'] });
    await expect(jobs.plan({ namespace: 'shop', service: 'web' }, request)).rejects.toThrow(
      'usage may be incomplete: store eu-2 is away',
    );
    expect(fake.calls.filter((call) => call.startsWith('PATCH'))).toEqual([]);
  });
});
