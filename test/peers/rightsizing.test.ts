import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Clock } from '#kernel/clock.ts';
import { metricQueries } from '#services/acquisition/prometheus/metric-queries.ts';
import { meshes, presets } from '#services/acquisition/prometheus/presets.ts';
import { queryFor } from '#services/acquisition/prometheus/workload-query.ts';
import type { RangeAnswer, WorkloadMetrics } from '#services/acquisition/schemas.ts';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { clusterSeries, exposition, prometheusOver } from '../support/cluster-series.ts';
import { freePort, start, untilAnswers } from '../support/processes.ts';
import { backfilledPrometheus, prometheus } from '../support/real-prometheus.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

const [program, victoria] = ['/usr/bin/prometheus', resolve('.peers/victoriametrics/victoria-metrics')] as const;
const [isThere, isVictoriaThere] = [program, victoria].map((each) => {
  const there = existsSync(each) || process.env['CI'] === 'true';
  if (!there) console.warn(`NOT TESTED with ${each}: it is not installed`);
  return there;
});

describe.skipIf(!isThere)('a real Prometheus', () => {
  it('gives the same recommendation as the fake server', async () => {
    const { now, clock, series } = eightDays();
    const real = await asked(await backfilledPrometheus(exposition(series, true)), clock);
    const fake = await asked(await prometheusOver(series, now), clock);
    expect(real.connection.version).toMatch(/^\d+\.\d+/);
    expect(real.recommended.status).toBe('success');
    expect(rounded(real.recommended)).toEqual(rounded(fake.recommended));
    expect(rounded(real.metrics)).toEqual(rounded(fake.metrics));
  });

  it('accepts every query of every preset and mesh, also for one of several clusters', async () => {
    expect(await refusedBy(await prometheus(temporaryDirectory(), []))).toEqual([]);
  });

  it('has the usage of an exporter that replays a trace, with gaps where it was down', {
    timeout: 120_000,
  }, async () => {
    // One core, then three, then failed scrapes, then one again.
    let [used, cores, silent] = [0, 1, false];
    let last = Date.now();
    const exporter = createServer((_request, response) => {
      const now = Date.now();
      used += (cores * (now - last)) / 1000;
      last = now;
      const labels = 'namespace="shop",pod="web-7d9f8b6c5d-bbbbb",container="web",image="web:1"';
      response.writeHead(silent ? 503 : 200, { 'content-type': 'text/plain; version=0.0.4' });
      response.end(
        silent
          ? ''
          : `container_cpu_usage_seconds_total{${labels}} ${used}\ncontainer_memory_working_set_bytes{${labels}} ${cores * 1e8}\n`,
      );
    });
    await new Promise<void>((resolve) => {
      exporter.listen(0, '127.0.0.1', resolve);
    });
    whenTestIsOver(() => void exporter.close());
    const url = await prometheus(temporaryDirectory(), [`127.0.0.1:${(exporter.address() as AddressInfo).port}`]);
    const { app } = await testTower({
      PROMETHEUS_URL: url,
      PROMETHEUS_PRESET: 'plain',
      PROMETHEUS_SCRAPE_SECONDS: '1',
    });
    const begun = Date.now();
    const memory = async () => {
      const query = new URLSearchParams({
        query: 'container_memory_working_set_bytes',
        start: new Date(begun).toISOString(),
        end: new Date().toISOString(),
        step_seconds: '1',
      });
      const answer = await app.inject(`/api/v1/acquisition/range?${query.toString()}`);
      return answer.json<RangeAnswer>().series[0]?.values ?? [];
    };
    const seen = async (wanted: (values: (number | null)[]) => boolean) => {
      await expect.poll(async () => wanted(await memory()), { timeout: 30_000, interval: 500 }).toBe(true);
    };
    await seen((values) => values.filter((value) => value === 1e8).length >= 8);
    cores = 3;
    await seen((values) => values.filter((value) => value === 3e8).length >= 8);
    silent = true;
    // A failed scrape ends the series at once: no value is carried forward.
    await seen((values) => values.slice(values.indexOf(3e8)).filter((value) => value === null).length >= 4);
    const { columns } = (
      await app.inject('/api/v1/acquisition/metrics/shop/web?duration_minutes=1&step_seconds=1')
    ).json<WorkloadMetrics>();
    const measured = columns['cpu_cores']!.values.filter((value) => value !== null);
    // Rates cover four scrapes, so values at the edges lie between the levels.
    for (const level of [1, 3])
      expect(measured.filter((value) => Math.abs(value - level) < 0.05).length).toBeGreaterThan(2);
    expect(columns['mem_bytes']!.values.at(-1)).toBeNull();
    expect(columns['request_rate']!.known).toBe(0);
  });
});

describe.skipIf(!isVictoriaThere)('a real VictoriaMetrics', () => {
  it('accepts every query, and differs by at most 2 %', async () => {
    const { now, clock, series } = eightDays();
    const [directory, port] = [temporaryDirectory(), await freePort()];
    const args = [`-storageDataPath=${directory}`, `-httpListenAddr=127.0.0.1:${port}`, '-retentionPeriod=60d'];
    const started = start(victoria, args, { cwd: directory });
    whenTestIsOver(() => started.stop('SIGKILL'));
    const url = `http://127.0.0.1:${port}`;
    await untilAnswers(`${url}/health`, started, 20_000);
    const post = async (path: string, body: string) => (await fetch(`${url}${path}`, { method: 'POST', body })).status;
    expect(await post('/api/v1/import/prometheus', exposition(series))).toBe(204);
    expect(await post('/internal/force_flush', '')).toBe(200);
    expect(await refusedBy(url)).toEqual([]);
    const [real, fake] = [await asked(url, clock), await asked(await prometheusOver(series, now), clock)];
    expect(real.recommended).toMatchObject({ status: 'success', confidence: expect.any(Number) as number });
    for (const [i, { container, cpu, memory }] of real.recommended.containers.entries()) {
      const theirs = fake.recommended.containers[i]!;
      expect(container).toBe(theirs.container);
      expect(Math.abs(cpu.request! / theirs.cpu.request! - 1)).toBeLessThan(0.02);
      expect(Math.abs(memory.request! / theirs.memory.request! - 1)).toBeLessThan(0.02);
    }
    const known = ({ metrics }: typeof real) =>
      Object.entries(metrics.columns).map(([name, each]) => [name, each.known]);
    expect(known(real)).toEqual(known(fake));
  });
});

/** Eight days of the small cluster, up to four hours ago. */
function eightDays() {
  const stepMs = 300_000;
  const now = Math.floor(Date.now() / stepMs) * stepMs - 4 * 3_600_000;
  const clock = { now: () => now, sleep: async () => undefined };
  return { now, clock, series: clusterSeries(now, 8, stepMs) };
}

/** A recommendation for a workload from such a server. */
async function asked(url: string, clock: Clock) {
  const { app } = await testTower({ PROMETHEUS_URL: url, PROMETHEUS_SCRAPE_SECONDS: '300' }, { clock });
  const ask = async (method: 'GET' | 'POST', path: string, payload?: object) => {
    const answer = await app.inject({ method, url: path, ...(payload ? { payload } : {}) });
    expect([answer.statusCode, path]).toEqual([200, path]);
    return answer.json<SizeAnswer & WorkloadMetrics>();
  };
  return {
    recommended: await ask('POST', '/api/v1/rightsizing/shop/web/recommendation', { history_days: 8, compare: true }),
    metrics: await ask('GET', '/api/v1/acquisition/metrics/shop/web?duration_minutes=1440&step_seconds=300'),
    connection: (await app.inject('/api/v1/acquisition/prometheus')).json<{ version: string }>(),
  };
}

/** All queries that such a server refuses. */
async function refusedBy(url: string): Promise<string[]> {
  const [refused, asked]: [string[], string[]] = [[], []];
  for (const preset of presets)
    for (const mesh of meshes)
      for (const selector of ['', 'cluster="eu1"']) {
        const { columns, pods, state } = await metricQueries(preset, mesh, null, selector);
        const all = [
          ...Object.values(columns).map(({ query }) => query),
          ...Object.values(pods),
          ...Object.values(state),
        ];
        for (const text of all.filter((each) => each !== '')) {
          const query = queryFor(text, { namespace: 'shop', service: 'web' }, 30_000, 15_000);
          const answer = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query }).toString()}`);
          asked.push(query);
          if (answer.status !== 200) refused.push(`${query}: ${await answer.text()}`);
        }
      }
  expect(asked.length).toBeGreaterThan(200);
  return refused;
}

/** Both add floating-point numbers, in different order. */
const rounded = (value: object): unknown =>
  JSON.parse(
    JSON.stringify(value, (key, item: unknown) =>
      key === 'query' ? undefined : typeof item === 'number' ? Number(item.toPrecision(6)) : item,
    ),
  );
