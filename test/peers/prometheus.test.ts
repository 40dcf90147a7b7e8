import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PointsAnswer, SeriesList } from '#services/analytics/schemas.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { freePort, start, untilAnswers } from '../support/processes.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

const program = '/usr/bin/prometheus';
const isThere = existsSync(program) || process.env['CI'] === 'true';
if (!isThere) console.warn(`NOT TESTED with ${program}: it is not installed`);

type Matrix = { data: { result: { metric: Record<string, string>; values: [number, string][] }[] } };
const byText = (a: string, b: string) => (a < b ? -1 : 1);
const inOrder = (labels: Record<string, string>) => Object.entries(labels).toSorted(([a], [b]) => byText(a, b));
const json = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T;

/** A real Prometheus that scrapes an instance every second and writes the samples back to it. */
async function writingPrometheus() {
  const directory = temporaryDirectory();
  const tower = await servingTower(directory, {
    RATE_LIMIT_PER_MINUTE: '100000',
    RATE_LIMIT_METRICS_PER_MINUTE: '100000',
  });
  const port = await freePort();
  const config = join(directory, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [{ job_name: 'tower', static_configs: [{ targets: [new URL(tower.url).host] }] }],
      remote_write: [{ url: `${tower.url}/prometheus/api/v1/write`, queue_config: { batch_send_deadline: '1s' } }],
    }),
  );
  const started = start(
    program,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { cwd: directory },
  );
  whenTestIsOver(() => started.stop('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/-/ready`, started, 20_000);
  return { tower, url };
}

describe.skipIf(!isThere)('a real Prometheus', () => {
  it('remote-writes its samples, and every sample arrives with its time and value', { timeout: 60_000 }, async () => {
    const { tower, url } = await writingPrometheus();
    const ofTower = (metric: string) =>
      json<PointsAnswer>(`${tower.url}/api/v1/analytics/metrics?metric=${metric}&limit=10000`);
    await expect.poll(async () => (await ofTower('up')).count, { timeout: 30_000, interval: 500 }).toBeGreaterThan(5);
    const { points } = await ofTower('up');
    const newest = Date.parse(points[0]!.timestamp) / 1000;
    for (const metric of ['up', 'tower_http_request_duration_seconds_count', 'process_cpu_seconds_total']) {
      const { data } = await json<Matrix>(
        `${url}/api/v1/query?time=${newest}&query=${encodeURIComponent(`${metric}[1h]`)}`,
      );
      const theirs = data.result.flatMap(({ metric: labels, values }) =>
        values.map(([at, value]) => `${JSON.stringify(inOrder(labels))} ${at.toFixed(3)} ${Number(value)}`),
      );
      const ours = (await ofTower(metric)).points
        .filter(({ timestamp }) => Date.parse(timestamp) / 1000 <= newest)
        .map(({ metric: __name__, resource: instance, labels, timestamp, value }) => {
          const all = inOrder({ ...labels, __name__, instance });
          return `${JSON.stringify(all)} ${(Date.parse(timestamp) / 1000).toFixed(3)} ${value}`;
        });
      expect(theirs.length).toBeGreaterThan(3);
      expect(ours.toSorted(byText)).toEqual(theirs.toSorted(byText));
    }
    const { series } = await json<SeriesList>(`${tower.url}/api/v1/analytics/series?metric=up`);
    expect(series).toEqual([{ metric: 'up', resource: new URL(tower.url).host, labels: { job: 'tower' } }]);
    await tower.stop();
  });
});
