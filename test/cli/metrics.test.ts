import { describe, expect, it } from 'vitest';
import { answerOf } from '../support/analytics.ts';
import { cliOver } from '../support/cli.ts';
import { testNow } from '../support/sources.ts';

const hours = (count: number, value: (i: number) => number, metric = 'cpu') =>
  Array.from({ length: count }, (_, i) => ({
    metric,
    component: 'training',
    value: value(i),
    timestamp: new Date(testNow() - (count - i) * 3_600_000).toISOString(),
  }));

describe('tower metrics', () => {
  it('prints points as a table with a sparkline, and as CSV', async () => {
    const { tower, services } = await cliOver();
    await services.analytics.record({ metrics: hours(8, (i) => i) });
    const { out } = await tower('metrics', 'query', 'cpu');
    expect(out).toMatch(/^TIME +METRIC +RESOURCE +LABELS +VALUE\n\S+Z +cpu +training +- +7\n/);
    expect(out.split('\n').at(-1)).toBe('▁▂▃▄▅▆▇█');
    const { out: csv } = await tower('metrics', 'query', 'cpu', '--csv', '--limit', '1');
    expect(csv).toMatch(/^timestamp,metric,resource,labels,value\n\S+Z,cpu,training,\{\},7$/);
    expect(await tower('metrics', 'query', '--label', 'x')).toMatchObject({
      code: 2,
      err: 'tower: label must be name:value (got "x")',
    });
  });

  it('prints trends, forecasts, buckets, anomalies and baselines', async () => {
    const { tower, services } = await cliOver();
    await services.analytics.record({ metrics: hours(60, (i) => 100 + 2 * i + (i % 3)) });
    const since = new Date(testNow() - 61 * 3_600_000).toISOString();
    expect((await tower('metrics', 'trend', 'cpu', '--start', since)).out).toMatch(
      /^cpu: INCREASING, 4\d(\.\d+)? per day \(95 %: /,
    );
    expect(
      (await tower('metrics', 'forecast', 'cpu', '--method', 'exponential_smoothing', '--periods-ahead', '3')).out,
    ).toMatch(
      /^FROM +FORECAST +LOWER 90 % +UPPER 90 %\n(\S+Z +\d+(\.\d+)? +\d+(\.\d+)? +\d+(\.\d+)?\n){3}\nmean absolute error /,
    );
    expect((await tower('metrics', 'aggregate', 'cpu', '--granularity', 'day', '--start', since)).out).toMatch(
      /^FROM +POINTS +MEAN +MIN +MAX +P50 +P95 +P99\n/,
    );
    expect((await tower('metrics', 'anomalies', 'cpu')).out).toMatch(
      /^none of 1 series could be evaluated .*the detector learns from the first 60/s,
    );
    expect((await tower('metrics', '--baselines')).out).toMatch(
      /^METRIC +RESOURCE +LABELS +HOURS +MEDIAN +MAD\ncpu +training +- +\d+ +1\d\d/,
    );
  });

  it('analyses a component, and collects metrics of this host', async () => {
    const { tower, services } = await cliOver();
    await services.analytics.record({ metrics: hours(20, (i) => i % 5, 'loss') });
    expect((await tower('metrics', '--analyze', 'training')).out).toMatch(
      /^METRIC +LAST +PER DAY +TREND +ANOMALIES +LAST POINTS\nloss +4 +-?[\d.e-]+ +STABLE +0 +[▁-█]{20}$/,
    );
    for (const args of [
      ['--analyze', 'nobody'],
      ['anomalies', 'nope'],
      ['trend', 'nope'],
      ['aggregate', 'nope'],
      ['query', 'nope'],
      ['baselines', 'nope'],
      ['forecast', 'nope'],
    ])
      expect(await tower('metrics', ...args)).toMatchObject({ code: 3, out: '' });
    expect((await tower('metrics', '--collect', '--interval', '1', '--count', '1')).out).toMatch(
      /Z cpu_usage \d+\.\d % {2}memory_usage \d+\.\d %$/,
    );
    expect(
      (await answerOf(services.analytics.query('series', [{}]))).series.map(({ metric }: { metric: string }) => metric),
    ).toEqual(['cpu_usage', 'loss', 'memory_usage']);
    expect(await tower('metrics')).toMatchObject({ code: 2, err: expect.stringMatching(/set --collect/) });
  });
});
