import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import { experimentId, saveExperiment } from '#services/acquisition/experiments/experiments.ts';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';
import { clusterSeries, prometheusOver, type Sampled } from '../../../support/cluster-series.ts';
import { temporaryDirectory, testTower } from '../../../support/tower.ts';

const now = Date.UTC(2026, 10, 20, 12);
const day = 86_400_000;
const clock = { now: () => now, sleep: async () => undefined };
let series: Sampled[];
beforeAll(() => {
  series = clusterSeries(now, 4, 600_000);
  // Traffic with a daily cycle: 30 to 90 requests per second in total.
  const samples = Array.from({ length: 4 * 144 }, (_, i): [number, number] => {
    const ms = now - 4 * day + i * 600_000;
    return [ms, 60 + 30 * Math.sin((2 * Math.PI * ms) / day)];
  });
  series.push({ name: 'traffic', labels: { app: 'web' }, samples });
});

/**
 * Experiments of a service with 0.02 cores and 50 MB per replica, and 0.004 cores and 100 kB per request per second.
 */
async function experiments(change: { success?: number; counted?: boolean; namespace?: string } = {}): Promise<string> {
  const { success = 1, counted = true, namespace = 'shop' } = change;
  const directory = temporaryDirectory();
  const random = seededRandom(3);
  for (const replicas of [1, 2])
    for (const users of [10, 40, 80, 160]) {
      const load = users / 2;
      const column = (level: number, noise = 0.02) =>
        Float64Array.from({ length: 31 }, () => level * Math.exp(noise * normal(random)));
      const id = experimentId('web', 'browsing', replicas, users);
      const columns = {
        cpu_cores_value: column(0.02 * replicas + 0.004 * load),
        mem_bytes_value: column(50e6 * replicas + 1e5 * load, 0.001),
        replica_count_value: column(replicas, 0),
        ...(counted ? { request_rate_value: column(load, 0.01) } : {}),
      };
      const total = Math.round(load * 900);
      await saveExperiment(
        directory,
        { id, service: 'web', scenario: 'browsing', replicas, users, rows: 31, columns },
        {
          namespace,
          duration_minutes: 15,
          collection_start: '2026-11-19T10:00:00.000Z',
          load_test: {
            total_requests: total,
            successful_requests: Math.round(total * success),
            duration_seconds: 900,
            throughput: load,
          },
        },
      );
    }
  return directory;
}

async function recommend(
  directory: string | null,
  payload: object = {},
  given = series.filter(({ name }) => !name.startsWith('kube_horizontal')),
  query = 'sum(traffic{app="$svc"})',
) {
  const queries = join(temporaryDirectory(), 'queries.json');
  writeFileSync(queries, JSON.stringify({ columns: { request_rate: { unit: '1/s', query } } }));
  const { app } = await testTower(
    {
      PROMETHEUS_URL: await prometheusOver(given, now),
      PROMETHEUS_SCRAPE_SECONDS: '600',
      PROMETHEUS_QUERIES_FILE: queries,
      ...(directory === null ? {} : { EXPERIMENTS_DIRECTORY: directory }),
    },
    { clock },
  );
  const answer = await app.inject({
    method: 'POST',
    url: '/api/v1/rightsizing/shop/web/recommendation',
    payload: { history_days: 4, startup_seconds: 1500, ...payload },
  });
  expect([answer.statusCode, answer.body.includes('NaN')]).toEqual([200, false]);
  return answer.json<SizeAnswer>();
}

describe('a recommendation by capacity', { timeout: 30_000 }, () => {
  it("is the usage at the replica's share of the day's traffic", async () => {
    const answer = await recommend(await experiments());
    const { capacity, containers, replicas, notes } = answer;
    expect(capacity).toMatchObject({
      scenario: 'browsing',
      load_from: 'request_rate',
      experiments: 8,
      left_out: 0,
      levels: 4,
      replicas: 2,
      reason: null,
    });
    // The 95th percentile of a sine of 60 ± 30 is 89.6.
    expect(capacity!.demand_requests_per_second).toBeGreaterThan(85);
    expect(capacity!.demand_requests_per_second).toBeLessThan(100);
    expect(capacity!.tried_requests_per_second).toBeCloseTo(80, 0);
    expect(capacity!.fewest_replicas).toBe(2);
    expect(capacity!.cpu!.error).toBeLessThan(0.05);
    const [sidecar, web] = containers;
    const both = sidecar!.cpu.unbounded! + web!.cpu.unbounded!;
    const exact = 0.02 + (0.004 * capacity!.demand_requests_per_second!) / 2;
    expect(both / exact).toBeGreaterThan(1);
    expect(both / exact).toBeLessThan(1.12);
    expect(web!.cpu.bound_by).toBe('capacity');
    expect(web!.cpu.confidence).toBeGreaterThan(0.6);
    expect(web!.cpu.confidence).toBeLessThan(0.95);
    expect(web!.cpu.explanation).toMatch(
      /^by experiments: \d+(\.\d+)? requests\/s for each of 2 replicas, \d+ % of it for this container: 0\.\d+$/,
    );
    // Production used more memory than any experiment, and memory kills.
    expect(web!.memory.bound_by).toBe('usage');
    expect(replicas).toMatchObject({ recommended: 2, bound_by: 'capacity' });
    expect(notes).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^load experiments ran in the namespace, the latest until 2026-11-19T10:20:00.000Z/),
      ]),
    );
  });

  it('plans replicas for a given demand', async () => {
    const { capacity, replicas, notes, containers, cost, outputs } = await recommend(
      await experiments({ counted: false }),
      {
        demand_requests_per_second: 800,
      },
    );
    expect(capacity).toMatchObject({
      load_from: 'load_test',
      demand_requests_per_second: 800,
      // Tested with 80 each; the plan includes headroom of 20 %.
      replicas: 12,
      fewest_replicas: 12,
      requests_per_second_of_each: 800 / 12,
    });
    expect(replicas).toMatchObject({ recommended: 12, bound_by: 'capacity' });
    expect(notes).toContain('the recommendation is for 12 replicas, there are 2: the outputs set both');
    expect(outputs!.kubectl).toContain('{"spec":{"replicas":12,"template":');
    expect(outputs!.helm).toMatch(/^replicaCount: 12$/m);
    // The cost covers the planned replicas, with injected sidecars unchanged.
    const pod = containers.reduce((sum, { sidecar, cpu, memory }) => {
      const [cores, bytes] = sidecar
        ? [cpu.current_request!, memory.current_request!]
        : [cpu.request!, memory.request!];
      return sum + cores * cost.cpu_core_hour + (bytes / 2 ** 30) * cost.memory_gib_hour;
    }, 0);
    expect(cost.monthly_recommended).toBeCloseTo(730 * 12 * pod, 6);
    const few = await recommend(await experiments(), { demand_requests_per_second: 800, max_replicas: 4 });
    expect(few.capacity!.reason).toBe(
      'each of 4 replicas would need to handle 200 requests/s, the maximum in the experiments is 80: 12 replicas are required',
    );
    expect(few.containers[1]!.cpu.bound_by).toBe('usage');
    const little = await recommend(await experiments(), { demand_requests_per_second: 1 });
    expect(little.notes.find((note) => note.startsWith('by experiments 1 of them suffice'))).toContain(
      'set max_replicas',
    );
  });

  it('is never less memory than was used in a short history', async () => {
    // Two hours, with a maximum of 300 MiB.
    const short = series
      .filter(({ name }) => !name.startsWith('kube_horizontal'))
      .map((each) => {
        if (!each.name.startsWith('container_') || each.labels['container'] !== 'web') return each;
        const last = each.samples.slice(-12);
        return each.name === 'container_memory_working_set_bytes'
          ? { ...each, samples: last.map(([ms]): [number, number] => [ms, 300 * 2 ** 20]) }
          : { ...each, samples: last };
      });
    const { containers } = await recommend(await experiments(), { demand_requests_per_second: 30 }, short);
    const { memory } = containers.find(({ container }) => container === 'web')!;
    expect(memory).toMatchObject({ bound_by: 'usage', peak: 300 * 2 ** 20, confidence: null });
    expect(memory.request).toBeGreaterThan(300 * 2 ** 20);
    expect(memory.explanation).toContain('peak 300 MiB');
  });

  it('falls back to usage if the traffic query returns several series', async () => {
    const query = 'traffic{app="$svc"}';
    const [traffic] = series.slice(-1);
    const twice = [
      ...series.filter(({ name }) => !name.startsWith('kube_horizontal')),
      { ...traffic!, labels: { app: 'web', pod: 'b' } },
    ];
    const { capacity } = await recommend(await experiments(), {}, twice, query);
    expect(capacity!.reason).toBe('the query for request_rate returned 2 series instead of one: use a sum');
  });

  it.each([
    ['there are none', null, {}, false, null],
    ['there are none and they are asked for', null, { basis: 'capacity' }, false, 'no experiments'],
    ['they are those of another namespace', { namespace: 'staging' }, {}, false, null],
    ['usage is asked for', {}, { basis: 'usage' }, false, null],
    ['their load tests failed', { success: 0.5 }, {}, false, 'no experiments; 8 experiments are of low quality'],
    [
      'nobody counted the service’s own requests',
      { counted: false },
      {},
      false,
      'experiments counted the requests of the load test',
    ],
    ['an autoscaler sets the replicas', {}, {}, true, 'the autoscaler web sets the replicas'],
  ])('falls back to usage if %s', async (_, change, payload, scaled, reason) => {
    const directory = change === null ? null : await experiments(change);
    const { capacity, containers, status } = await recommend(directory, payload, scaled ? series : undefined);
    expect(status).toBe('success');
    expect(containers[1]!.cpu.bound_by).toBe('usage');
    if (reason === null) expect(capacity).toBeNull();
    else expect(capacity!.reason).toContain(reason);
  });
});
