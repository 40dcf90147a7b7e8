import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { freePort, start, untilAnswers } from '../support/processes.ts';
import { complianceQueries } from '../support/promql-queries.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

const [program, promtool] = ['/usr/bin/prometheus', '/usr/bin/promtool'];
const isThere = existsSync(program) || process.env['CI'] === 'true';
if (!isThere) console.warn(`NOT TESTED with ${program}: it is not installed`);

/**
 * One hour of the demo service's metrics, every 15 s, from three instances, as lines without timestamps: `(labels,
 * value at step i)`.
 */
function demo(): [series: string, value: (i: number) => number | null][] {
  const all: [string, (i: number) => number | null][] = [];
  const random = seededRandom(17);
  for (const instance of ['demo.promlabs.com:10000', 'demo.promlabs.com:10001', 'demo.promlabs.com:10002']) {
    const labels = (more: string) => `{instance="${instance}",job="demo"${more}}`;
    for (const type of ['used', 'free', 'cached', 'buffers']) {
      const noise = Array.from({ length: 241 }, () => Math.round(1e9 * random()));
      all.push([`demo_memory_usage_bytes${labels(`,type="${type}"`)}`, (i) => 1e9 + noise[i]!]);
    }
    all.push([`demo_num_cpus${labels('')}`, () => 4]);
    for (const mode of ['user', 'system', 'idle']) {
      let total = 0;
      // A restart in the middle resets counters.
      const values = Array.from({ length: 241 }, (_, i) => (total = i === 130 ? 0.5 : total + 10 * random()));
      all.push([`demo_cpu_usage_seconds_total${labels(`,mode="${mode}"`)}`, (i) => values[i]!]);
    }
    all.push([`demo_disk_usage_bytes${labels('')}`, (i) => 1e10 + 12_345.5 * i]);
    all.push([`demo_batch_last_success_timestamp_seconds${labels('')}`, (i) => 1_700_000_000 + 60 * Math.floor(i / 9)]);
    all.push([`demo_intermittent_metric${labels('')}`, (i) => (Math.floor(i / 25) % 2 === 0 ? i : null)]);
    for (const path of ['/api/foo', '/api/bar']) {
      let below = 0;
      for (const le of ['0.01', '0.1', '0.5', '1', '5', '+Inf']) {
        const speed = (below += random());
        all.push([
          `demo_api_request_duration_seconds_bucket${labels(`,method="GET",path="${path}",le="${le}"`)}`,
          (i) => Math.floor(speed * i),
        ]);
      }
      all.push([
        `demo_api_request_duration_seconds_count${labels(`,method="GET",path="${path}"`)}`,
        (i) => Math.floor(below * i),
      ]);
    }
  }
  return all;
}

type Answer = { status: string; error?: string; data?: { resultType: string; result: unknown[] } };
const range = async (base: string, query: string, from: number): Promise<Answer & { http: number }> => {
  const body = new URLSearchParams({ query, start: String(from), end: String(from + 1200), step: '30' });
  const response = await fetch(`${base}/api/v1/query_range`, { method: 'POST', body });
  return { http: response.status, ...((await response.json()) as Answer) };
};

/** Answers as comparable texts: series, times and values to ten digits. */
const comparable = (answer: Answer): string[] =>
  (answer.data!.result as { metric: Record<string, string>; values: [number, string][] }[])
    .map(({ metric, values }) => {
      const labels = Object.entries(metric).toSorted(([a], [b]) => (a < b ? -1 : 1));
      const points = values.map(([at, value]) => `${at}:${Number(value) === 0 ? 0 : Number(value).toPrecision(10)}`);
      return `${JSON.stringify(labels)} ${points.join(' ')}`;
    })
    .toSorted((a, b) => (a < b ? -1 : 1));

type World = { tower: string; oracle: string; from: number };

/** The same hour in Prometheus as blocks, and pushed to an instance as text. */
async function sameHour(): Promise<World> {
  const directory = temporaryDirectory();
  const end = Math.floor(Date.now() / 60_000) * 60 - 600;
  const from = end - 1500;
  const lines = demo().flatMap(([series, value]) =>
    Array.from({ length: 241 }, (_, i) => [series, value(i), end - 3600 + 15 * i] as const).filter(
      (line) => line[1] !== null,
    ),
  );
  // Samples of a metric must be contiguous in OpenMetrics, ordered by series.
  const openMetrics = join(directory, 'demo.om');
  writeFileSync(openMetrics, `${lines.map(([series, value, at]) => `${series} ${value} ${at}`).join('\n')}\n# EOF\n`);
  const blocks = join(directory, 'tsdb');
  execFileSync(promtool, ['tsdb', 'create-blocks-from', 'openmetrics', openMetrics, blocks], { stdio: 'ignore' });
  const config = join(directory, 'prometheus.yml');
  writeFileSync(config, '{}');
  const port = await freePort();
  const started = start(
    program,
    [`--config.file=${config}`, `--storage.tsdb.path=${blocks}`, `--web.listen-address=127.0.0.1:${port}`],
    { cwd: directory },
  );
  await untilAnswers(`http://127.0.0.1:${port}/-/ready`, started, 20_000);
  const oracle = `http://127.0.0.1:${port}`;
  const ours = await servingTower(directory, { BODY_LIMIT_BYTES: '33554432', RATE_LIMIT_PER_MINUTE: '1000000' });
  const tower = `${ours.url}/prometheus`;
  const pushed = await fetch(`${tower}/api/v1/import/prometheus`, {
    method: 'POST',
    body: lines.map(([series, value, at]) => `${series} ${value} ${at * 1000}`).join('\n'),
  });
  expect(await pushed.json()).toMatchObject({ recorded: lines.length, refused: 0 });
  return { tower, oracle, from };
}

async function compareAll({ tower, oracle, from }: World): Promise<void> {
  const refused = new Set<string>();
  const different: string[] = [];
  let alike = 0;
  for (const query of complianceQueries()) {
    const [theirs, ours] = await Promise.all([range(oracle, query, from), range(tower, query, from)]);
    if (ours.http === 422 && / is not supported /.test(ours.error ?? ''))
      refused.add(ours.error!.replace(/ is not.*/, ''));
    else if (theirs.status !== ours.status)
      different.push(`${query}: ${theirs.error ?? 'answered'} / ${ours.error ?? 'answered'}`);
    else if (theirs.status === 'success' && String(comparable(theirs)) !== String(comparable(ours)))
      different.push(`${query}\n  ${comparable(theirs)[0]?.slice(0, 300)}\n  ${comparable(ours)[0]?.slice(0, 300)}`);
    else alike += 1;
  }
  expect(different).toEqual([]);
  expect([...refused]).toEqual(['the aggregation count_values', 'a subquery']);
  expect(alike).toBeGreaterThan(500);
}

function askByPromtool({ tower, from }: World): void {
  const ask = (...args: string[]) => execFileSync(promtool, ['query', ...args], { encoding: 'utf8' }).trim();
  expect(ask('instant', tower, '1+1')).toMatch(/^scalar: 2 @\[/);
  expect(ask('instant', `--time=${from}`, tower, 'sum(demo_num_cpus)')).toMatch(/^\{\} => 12 @\[/);
  expect(ask('range', `--start=${from}`, `--end=${from + 60}`, '--step=30s', tower, 'count(demo_num_cpus)')).toMatch(
    /^\{\} =>\n3 @\[/,
  );
  expect(ask('series', `--match=demo_num_cpus`, tower).split('\n').length).toBe(3);
  expect(ask('labels', tower, 'mode').split('\n')).toEqual(['idle', 'system', 'user']);
}

async function askAsGrafana({ tower }: World): Promise<void> {
  const get = async (path: string) => (await (await fetch(`${tower}/api/v1/${path}`)).json()) as { data: unknown };
  const test = await fetch(`${tower}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: '1+1', time: '4' }),
  });
  expect(await test.json()).toEqual({ status: 'success', data: { resultType: 'scalar', result: [4, '2'] } });
  expect((await get('status/buildinfo')).data).not.toHaveProperty('features');
  expect((await get('labels?match[]=demo_num_cpus&start=0&end=9999999999999')).data).toEqual([
    '__name__',
    'instance',
    'job',
  ]);
  expect((await get('label/__name__/values?limit=40000')).data).toContain('demo_disk_usage_bytes');
  expect((await get('metadata?metric=up')).data).toEqual({});
}

describe.skipIf(!isThere)('PromQL compared with a real Prometheus', () => {
  it('has the same answers to all compliance queries or refuses them by name, also for promtool and Grafana', {
    timeout: 240_000,
  }, async () => {
    const world = await sameHour();
    await compareAll(world);
    askByPromtool(world);
    await askAsGrafana(world);
  });
});
