import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Sampled } from '../../../support/cluster-series.ts';
import { now, stepMs, towerOver, withoutHpa } from '../../../support/sized-tower.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const day = 86_400_000;

describe('a recommendation', () => {
  it('respects floors, caps, the largest node and OOM kills', { timeout: 30_000 }, async () => {
    // Two days ago a deleted pod was OOM-killed at a limit; the current one may have a higher limit.
    const killedAt = (limit: number, since = limit) => {
      const at = Array.from({ length: 432 }, (_, i) => now - 60_000 - (431 - i) * stepMs);
      const of = (pod: string, name: string, more: Record<string, string>, value: (ms: number) => number): Sampled => ({
        name: `kube_pod_container_${name}`,
        labels: { job: 'kube-state-metrics', namespace: 'shop', pod, container: 'web', ...more },
        samples: at.filter((ms) => ms > now - day === pod.endsWith('d')).map((ms) => [ms, value(ms)]),
      });
      const [gone, there] = ['web-7d9f8b6c5d-ccccc', 'web-7d9f8b6c5d-ddddd'];
      const again = (ms: number) => (ms > now - 2 * day ? 1 : 0);
      const memory = { resource: 'memory' };
      return [
        ...withoutHpa,
        of(gone, 'resource_limits', memory, () => limit * 2 ** 20),
        of(there, 'resource_limits', memory, () => since * 2 ** 20),
        of(gone, 'status_restarts_total', {}, again),
        of(gone, 'status_last_terminated_reason', { reason: 'OOMKilled' }, again),
        of(there, 'status_last_terminated_reason', { reason: 'OOMKilled' }, () => 1),
      ];
    };
    const { recommend } = await towerOver(killedAt(90), { RIGHTSIZING_MAX_CPU_CORES: '0.1' });
    const answer = await recommend('web', { history_days: 4, max_replicas: 3 });
    const [proxy, web] = answer.containers;
    expect(proxy!.cpu).toMatchObject({ request: 0.01, bound_by: 'floor' });
    expect(web!.cpu).toMatchObject({ request: 0.1, bound_by: 'cap' });
    expect(web!.cpu.explanation).toMatch(/was lowered to the cap, 0.1: the stated share is not met$/);
    expect(web!.memory).toMatchObject({ request: 190 * 2 ** 20, bound_by: 'oom', current_limit: 90 * 2 ** 20 });
    expect(answer.replicas).toMatchObject({ recommended: 3, bound_by: 'cap' });
    expect(web!.cpu.confidence).toBeNull();
    const most = await recommend('web', { history_days: 4, min_cpu_cores: 8, max_cpu_cores: 9 });
    expect(most.containers[1]!.cpu.explanation).toMatch(
      /; 0\.3\d+ was raised to the floor, which was lowered to the largest node, \d(\.\d+)?$/,
    );
    // The limit at the time of the kill counts, not scraped usage or the later limit.
    const raised = await (await towerOver(killedAt(150, 400))).recommend('web', { history_days: 4 });
    expect(raised.containers[1]!.memory).toMatchObject({ bound_by: 'oom', request: 250 * 2 ** 20 });
    // Kills during a load experiment do not count.
    const directory = temporaryDirectory();
    const id = 'cart_browsing_replicas_1_users_5';
    writeFileSync(join(directory, `${id}.csv`), 'timestamp\n');
    const load_test = {
      start_time: new Date(now - 2 * day - 3_600_000).toISOString(),
      end_time: new Date(now - 2 * day + 3_600_000).toISOString(),
    };
    const circumstances = { namespace: 'shop', duration_minutes: 30, load_test };
    writeFileSync(join(directory, `${id}.json`), JSON.stringify(circumstances));
    const tried = await towerOver(killedAt(150, 400), { EXPERIMENTS_DIRECTORY: directory });
    expect((await tried.recommend('web', { history_days: 4 })).containers[1]!.memory.bound_by).toBe('usage');
    const longAgo = await (await towerOver(killedAt(150, 400))).recommend('web', { history_days: 1 });
    expect(longAgo.containers[1]!.memory).toMatchObject({ bound_by: 'usage', current_limit: 400 * 2 ** 20 });
  });

  it('respects LimitRanges and quotas', { timeout: 30_000 }, async () => {
    const ofNamespace = (name: string, labels: Record<string, string>, value: number): Sampled => ({
      name,
      labels: { job: 'kube-state-metrics', namespace: 'shop', ...labels },
      samples: [[now - 60_000, value]],
    });
    const range = (constraint: string, resource: string, value: number) =>
      ofNamespace('kube_limitrange', { limitrange: 'all', type: 'Container', constraint, resource }, value);
    const quota = (resource: string, hard: number, used: number) =>
      [hard, used].map((value, i) =>
        ofNamespace('kube_resourcequota', { resourcequota: 'all', type: i === 0 ? 'hard' : 'used', resource }, value),
      );
    const ranged = [...withoutHpa, range('min', 'cpu', 0.02), range('max', 'memory', 60 * 2 ** 20)];
    const [proxy, web] = (await (await towerOver(ranged)).recommend('web', { history_days: 4 })).containers;
    expect(proxy!.cpu).toMatchObject({ request: 0.02, bound_by: 'limit_range' });
    expect(web!.memory).toMatchObject({ request: 60 * 2 ** 20, bound_by: 'limit_range', confidence: null });
    expect(web!.memory.explanation).toMatch(
      /was set to the bound of a LimitRange, 60 MiB: the stated share is not met$/,
    );
    // A pod requests 0.3 cores, there are two: the rest must suffice for both, and for a surge pod.
    const small = withoutHpa.map((each) => {
      const isRequest = each.name === 'kube_pod_container_resource_requests' && each.labels['resource'] === 'cpu';
      if (!isRequest || each.labels['container'] !== 'web') return each;
      return { ...each, samples: each.samples.map(([ms]): [number, number] => [ms, 0.2]) };
    });
    const boundBy = async (...quotas: Sampled[]) =>
      (await (await towerOver([...small, ...quotas])).recommend('web', { history_days: 4 })).containers[1]!;
    const some = await boundBy(...quota('requests.cpu', 1, 0.6), ...quota('limits.memory', 8e9, 1e9));
    expect(some.cpu).toMatchObject({ request: 0.233, bound_by: 'quota', confidence: null });
    expect(some.memory.bound_by).toBe('usage');
    // An overdrawn quota never lowers a request.
    const none = await boundBy(...quota('requests.cpu', 0.5, 3));
    expect(none.cpu).toMatchObject({ request: 0.2, bound_by: 'quota' });
  });
});
