import { describe, expect, it } from 'vitest';
import { createRecorder } from '#services/analytics/storage/recorder.ts';
import { analyticsIn } from '../../../support/analytics.ts';

/** Prometheus' test format in short: `load` writes one sample per minute from the test's time 0. */
async function world(series: Record<string, (number | null)[]>) {
  const { analytics, store, now } = analyticsIn();
  const start = now - 3_600_000;
  const points = Object.entries(series).flatMap(([text, values]) => {
    const [, metric = '', list = ''] = /^(\w+)\{?(.*?)\}?$/.exec(text)!;
    const all = Object.fromEntries([...list.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]));
    const { instance: resource = '', ...labels } = all;
    return values.flatMap((value, i) =>
      value === null ? [] : [{ metric, resource, labels, at: start + i * 60_000, value }],
    );
  });
  await createRecorder({ store, maxSeries: 1000 }).record(points);
  const ask = async (query: string, minute: number) => {
    const { resultType, result } = (
      await analytics.promqlInstant({
        query,
        time: String((start + minute * 60_000) / 1000),
      })
    ).data;
    if (resultType !== 'vector') return (result as [number, string])[1];
    return Object.fromEntries(
      (result as { metric: Record<string, string>; value: [number, string] }[]).map(
        ({ metric: { __name__ = '', ...rest }, value }) => [
          `${__name__}{${Object.entries(rest)
            .map(([label, text]) => `${label}=${text}`)
            .sort()
            .join(',')}}`,
          Number(value[1]),
        ],
      ),
    );
  };
  return { ask, analytics, start };
}

const http = {
  'http_requests{job="api",instance="0",group="production"}': [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
  'http_requests{job="api",instance="1",group="production"}': [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200],
  'http_requests{job="app",instance="0",group="canary"}': [0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300],
};

describe('PromQL', () => {
  it('selects by labels and regular expressions, with a look-back of five minutes', async () => {
    const { ask } = await world(http);
    expect(await ask('http_requests{job="api",instance=~"0|2"}', 10)).toEqual({
      'http_requests{group=production,instance=0,job=api}': 100,
    });
    expect(await ask('count(http_requests{group!~"can.*"})', 10)).toEqual({ '{}': 2 });
    expect(await ask('count(http_requests{group=~"(?i)CANARY"})', 10)).toEqual({ '{}': 1 });
    expect(
      await ask('http_requests{constructor=~".+"} or label_join(http_requests{toString!=""}, "a", "-", "valueOf")', 10),
    ).toEqual({});
    // A backtracking engine would take years.
    expect(await ask('http_requests{group=~"(a+)+$"} or http_requests{group=~"(p|pr|pro|prod)*(x+x+)+y"}', 10)).toEqual(
      {},
    );
    expect(
      await ask(
        'label_replace(http_requests{job="app"}, "is", "${name}-$1-$9$constructor", "group", "(?P<name>c.n).*")',
        10,
      ),
    ).toEqual({
      'http_requests{group=canary,instance=0,is=can-can-,job=app}': 300,
    });
    expect(await ask('count(http_requests)', 14.9)).toEqual({ '{}': 3 });
    expect(await ask('count(http_requests)', 15)).toEqual({ '{}': 3 });
    expect(await ask('http_requests', 15.1)).toEqual({});
    expect(await ask('http_requests{job="app"} offset 5m', 10)).toEqual({
      'http_requests{group=canary,instance=0,job=app}': 150,
    });
  });

  it('computes rates with resets, extrapolated to the edges', async () => {
    const { ask } = await world({ ...http, 'c{}': [0, 10, 20, 5, 15, 25] });
    expect(await ask('rate(http_requests{instance="1"}[5m])', 10)).toEqual({
      '{group=production,instance=1,job=api}': 20 / 60,
    });
    expect(await ask('increase(c[5m])', 5)).toEqual({ '{}': 45 });
    expect(await ask('irate(c[5m])', 3)).toEqual({ '{}': 5 / 60 });
    expect(await ask('delta(c[2m])', 3)).toEqual({ '{}': -5 });
    expect(await ask('resets(c[5m]) + changes(c[5m])', 5)).toEqual({ '{}': 6 });
  });

  it('aggregates by and without labels', async () => {
    const { ask } = await world(http);
    expect(await ask('sum by (job) (http_requests)', 10)).toEqual({ '{job=api}': 300, '{job=app}': 300 });
    expect(await ask('sum without (instance, group) (http_requests)', 10)).toEqual({
      '{job=api}': 300,
      '{job=app}': 300,
    });
    expect(await ask('topk(1, http_requests{job="api"})', 10)).toEqual({
      'http_requests{group=production,instance=1,job=api}': 200,
    });
    expect(await ask('quantile(0.5, http_requests)', 10)).toEqual({ '{}': 200 });
  });

  it('matches vectors one to one, many to one, and as sets', async () => {
    const { ask } = await world({ ...http, 'limit{job="api"}': Array.from({ length: 11 }, () => 400) });
    expect(await ask('http_requests / on(job) group_left limit', 10)).toEqual({
      '{group=production,instance=0,job=api}': 0.25,
      '{group=production,instance=1,job=api}': 0.5,
    });
    expect(await ask('sum by (job) (http_requests) > on(job) limit - 200', 10)).toEqual({ '{job=api}': 300 });
    expect(await ask('http_requests unless on(job) limit', 10)).toEqual({
      'http_requests{group=canary,instance=0,job=app}': 300,
    });
    await expect(ask('http_requests / on(job) limit', 10)).rejects.toThrow(/many-to-one matching must be explicit/);
    await expect(ask('limit / on(job) http_requests', 10)).rejects.toThrow(/many-to-many matching not allowed/);
  });

  it('computes with numbers as Prometheus does', async () => {
    const { ask } = await world({});
    expect(await ask('1+1', 0)).toBe('2');
    expect(await ask('-2^2', 0)).toBe('-4');
    expect(await ask('2^3^2', 0)).toBe('512');
    expect(await ask('1 - 2 - 3', 0)).toBe('-4');
    expect(await ask('5 % -3', 0)).toBe('2');
    expect(await ask('1 > bool 2', 0)).toBe('0');
    expect(await ask('1/0', 0)).toBe('+Inf');
    expect(await ask('0x1F + 1e-7', 0)).toBe('31.0000001');
  });

  it('distinguishes invalid from unsupported queries, and names the construct', async () => {
    const { ask } = await world(http);
    const refused = (query: string) =>
      ask(query, 0).then(
        () => null,
        (error: { message: string; details: { errorType?: string } }) => [
          error.details.errorType ?? 'bad_data',
          error.message,
        ],
      );
    expect(await refused('sum(')).toEqual(['bad_data', 'syntax error at character 5']);
    expect(await refused('{job=~".*"}')).toEqual([
      'bad_data',
      'a selector must have a matcher that does not match the empty text',
    ]);
    const unsupported = (construct: string) => [
      'execution',
      `${construct} is not supported (see docs/reference/promql.md)`,
    ];
    expect(await refused('max_over_time(up[5m:1m])')).toEqual(unsupported('a subquery'));
    expect(await refused('up @ 5')).toEqual(unsupported('the @ modifier'));
    expect(await refused('double_exponential_smoothing(up[5m], 0.5, 0.5)')).toEqual(
      unsupported('the function double_exponential_smoothing'),
    );
    expect(await refused('sum(nope(up))')).toEqual(['bad_data', 'unknown function with name "nope"']);
    expect(await refused('count_values("v", up)')).toEqual(unsupported('the aggregation count_values'));
    expect(await refused('{a=~"("}')).toEqual(['bad_data', '( is not a valid regular expression']);
    expect(await refused('('.repeat(5000) + '1' + ')'.repeat(5000))).toEqual([
      'bad_data',
      'the query is nested too deeply',
    ]);
    expect(await refused('rate(http_requests)')).toEqual(['execution', 'rate needs a range vector, such as up[5m]']);
  });

  it('evaluates a range step by step, each series once', async () => {
    const { analytics, start } = await world(http);
    const at = (minute: number) => String((start + minute * 60_000) / 1000);
    const { resultType, result } = (
      await analytics.promqlRange({
        query: 'sum(http_requests)',
        start: at(0),
        end: at(10),
        step: '5m',
      })
    ).data;
    expect(resultType).toBe('matrix');
    expect(result).toEqual([
      {
        metric: {},
        values: [
          [Number(at(0)), '0'],
          [Number(at(5)), '300'],
          [Number(at(10)), '600'],
        ],
      },
    ]);
    await expect(analytics.promqlRange({ query: '1', start: '0', end: '20000', step: '1' })).rejects.toThrow(
      'exceeded maximum resolution',
    );
  });
});

describe('limits of a query', () => {
  const record = async (series: number) => {
    const made = analyticsIn(undefined, 5000);
    const metrics = Array.from({ length: series }, (_, i) => ({
      metric: 'x',
      resource: `r${i}`,
      value: i,
      timestamp: new Date(made.now - 60_000).toISOString(),
    }));
    await made.analytics.record({ metrics });
    return made;
  };
  const seconds = (ms: number) => String(ms / 1000);

  it.each([
    'x',
    'x * 2',
    'x or label_replace(x, "a", "b", "", "")',
  ])('refuse an answer of more than a million points: %s', async (query) => {
    const { analytics, now } = await record(1200);
    const range = { query, start: seconds(now - 60_000), end: seconds(now + 200_000), step: '0.2' };
    await expect(analytics.promqlRange(range)).rejects.toMatchObject({
      code: 'invalid',
      details: { errorType: 'execution' },
    });
  });

  it('refuse labels that nested functions would multiply', async () => {
    const { analytics } = await record(1);
    const nested = Array.from({ length: 20 }).reduce(
      (of: string) => `label_replace(${of}, "a", "$1$1$1$1", "a", "(.+)")`,
      'label_replace(x, "a", "ab", "", "")',
    );
    await expect(analytics.promqlInstant({ query: nested })).rejects.toMatchObject({
      details: { errorType: 'execution' },
    });
    const joined = Array.from({ length: 16 }).reduce(
      (of: string) => `label_join(${of}, "instance", "-", "instance", "instance", "instance")`,
      'x',
    );
    await expect(analytics.promqlInstant({ query: joined })).rejects.toMatchObject({
      details: { errorType: 'execution' },
    });
  });

  it('refuse long regular expressions', async () => {
    const { analytics } = await record(1);
    const query = `x{instance=~"${'(a?)'.repeat(2_501)}"}`;
    await expect(analytics.promqlInstant({ query })).rejects.toMatchObject({ code: 'invalid' });
  });
});
