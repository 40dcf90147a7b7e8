import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '#kernel/clock.ts';
import { createHttpClient } from '#kernel/http-client.ts';
import { collectColumns } from '#services/acquisition/prometheus/collect.ts';
import { metricQueries } from '#services/acquisition/prometheus/metric-queries.ts';
import { createPrometheus } from '#services/acquisition/prometheus/prometheus.ts';
import { whenTestIsOver } from '../../../support/cleanup.ts';

type Answer = { status?: number; body: unknown; headers?: Record<string, string> };

/** A server that answers as the test says, and records requests. */
async function serverSaying(answer: (url: URL, request: IncomingMessage) => Answer | null, clock: Clock = systemClock) {
  const asked: URL[] = [];
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://here');
    asked.push(url);
    const said = answer(url, request);
    // Null: never answers.
    if (!said) return;
    response.writeHead(said.status ?? 200, { 'content-type': 'application/json', ...said.headers });
    response.end(typeof said.body === 'string' ? said.body : JSON.stringify(said.body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const http = createHttpClient({
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prom`,
    serverName: 'Prometheus',
    headers: { authorization: 'Bearer secret', 'x-scope-orgid': 'team' },
    tls: { insecure: false },
    maxInFlight: 2,
    timeoutMs: 300,
    maxRetries: 1,
    clock: { now: () => Date.now(), sleep: async () => undefined },
    random: Math.random,
  });
  whenTestIsOver(async () => {
    await http.close();
    server.closeAllConnections();
    server.close();
  });
  const prometheus = createPrometheus({ http, clock });
  const queries = await metricQueries('plain', 'none', null, '');
  const collect = async () =>
    collectColumns({ prometheus, queries, scrapeMs: 15_000 }, { namespace: 'shop', service: 'web' }, lastHour);
  return { prometheus, asked, collect };
}

/** Range query results as Prometheus returns them: a sample wherever `value` has one. */
const rangeOf = (url: URL, value: (ms: number) => number | string | null): Answer => {
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(url.searchParams.get(name)));
  const values: [number, string][] = [];
  for (let at = start!; at <= end! + 1e-9; at += step!) {
    const said = value(Math.round(at * 1000));
    if (said !== null) values.push([at, String(said)]);
  }
  return { body: { status: 'success', data: { resultType: 'matrix', result: [{ metric: { pod: 'a' }, values }] } } };
};

const minute = 60_000;
const lastHour = { startMs: 0, endMs: 60 * minute, stepMs: minute, queryTimeoutMs: 100 };

describe('the Prometheus client', () => {
  it.each([
    'null',
    '[]',
    '<html>',
    '{"status":"success"}',
    '{"status":"success","data":null}',
    '{"status":"success","data":{"result":{}}}',
    '{"status":"success","data":{"result":[null]}}',
    '{"status":"success","data":{"result":[{"metric":null,"value":[1,"2"]}]}}',
    '{"status":"success","data":{"result":[{"metric":{"pod":1},"value":[1,"2"]}]}}',
    '{"status":"success","data":{"result":[{"metric":{},"value":"2"}]}}',
    '{"status":"success","data":{"result":[{"metric":{},"values":[[1]]}]}}',
    '{"status":"success","data":{"result":[{"metric":{},"values":{"0":[1,"2"]}}]}}',
  ])('refuses an answer with status 200 that is not Prometheus’: %s', async (body) => {
    const { prometheus } = await serverSaying(() => ({ body }));
    await expect(prometheus.instant('up', 0)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(prometheus.range('up', 0, 60_000, 15_000)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('splits long time ranges into parts and merges them', async () => {
    const { prometheus, asked } = await serverSaying((url) => rangeOf(url, (ms) => ms / minute));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(10_000_000),
        fc.nat(3_000),
        fc.constantFrom(15_000, minute, 300_000),
        async (from, steps, stepMs) => {
          const startMs = 1_600_000_000_000 + from * 1000;
          const {
            series,
            size,
            startMs: first,
          } = await prometheus.range('x', startMs, startMs + steps * stepMs, stepMs);
          expect(first % stepMs).toBe(0);
          expect(first - startMs).toBeLessThan(stepMs);
          expect(series).toHaveLength(size === 0 ? 0 : 1);
          expect([...(series[0]?.values ?? [])]).toEqual(
            Array.from({ length: size }, (_, i) => (first + i * stepMs) / minute),
          );
        },
      ),
      { numRuns: 20 },
    );
    for (const url of asked) {
      const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(url.searchParams.get(name)));
      expect((end! - start!) / step!).toBeLessThan(11_000);
    }
  });

  it('keeps gaps, NaN and infinities as gaps', async () => {
    const { prometheus } = await serverSaying((url) =>
      rangeOf(url, (ms) => [1, null, 'NaN', '+Inf', '-Inf', 2][(ms / minute) % 6] ?? null),
    );
    const start = 6 * minute * 4_000_000;
    const { series } = await prometheus.range('x', start, start + 5 * minute, minute);
    expect([...series[0]!.values]).toEqual([1, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 2]);
  });

  it('caches samples that no longer change', async () => {
    const { prometheus, asked } = await serverSaying((url) => rangeOf(url, () => 1));
    const start = 1_700_000_000_000;
    const first = await prometheus.range('x', start, start + 2_500 * minute, minute);
    const calls = asked.length;
    expect(await prometheus.range('x', start, start + 2_500 * minute, minute)).toEqual(first);
    expect(asked.length).toBe(calls);
    // Recent samples are queried again.
    const now = Date.now();
    await prometheus.range('x', now - 5 * minute, now, minute);
    await prometheus.range('x', now - 5 * minute, now, minute);
    expect(asked.length).toBe(calls + 2);
  });

  it('reads samples again that may still be filled in', async () => {
    let known = 0;
    let nowMs = 1_800_000_000_000;
    const { prometheus } = await serverSaying(
      (url) =>
        known === 0
          ? { body: { status: 'success', data: { resultType: 'matrix', result: [] } } }
          : rangeOf(url, () => known),
      { now: () => nowMs, sleep: async () => undefined },
    );
    const start = 1_700_000_000_000;
    const first = async () => (await prometheus.range('x', start, start + 100 * minute, minute)).series[0]?.values[0];
    expect(await first()).toBeUndefined();
    known = 1;
    expect(await first()).toBe(1);
    known = 2;
    expect(await first()).toBe(1);
    nowMs += 61 * minute;
    expect(await first()).toBe(2);
  });

  it('does not cache an answer with a missing part', async () => {
    let away = true;
    const { prometheus } = await serverSaying((url) => {
      const answer = rangeOf(url, () => (away ? null : 1));
      return away ? { body: { ...(answer.body as object), warnings: ['partial response'] } } : answer;
    });
    const start = 1_700_000_000_000;
    expect((await prometheus.range('x', start, start + 2_500 * minute, minute)).warnings).toEqual(['partial response']);
    away = false;
    const { series, warnings } = await prometheus.range('x', start, start + 2_500 * minute, minute);
    expect([warnings, series[0]!.values.every((value) => value === 1)]).toEqual([[], true]);
  });

  it('retries temporary failures, and reports others', async () => {
    let calls = 0;
    const { prometheus } = await serverSaying((url) =>
      (calls += 1) === 1 ? { status: 503, body: 'loading' } : rangeOf(url, () => 1),
    );
    expect((await prometheus.range('x', 0, minute, minute)).series).toHaveLength(1);
    expect(calls).toBe(2);
  });

  it.each([
    [
      { status: 400, body: { status: 'error', errorType: 'bad_data', error: 'parse error: unexpected <EOF>' } },
      'invalid',
      /refused the query: parse error/,
    ],
    [
      { status: 422, body: { status: 'error', errorType: 'execution', error: 'many-to-many matching' } },
      'invalid',
      /many-to-many/,
    ],
    [{ status: 401, body: 'no' }, 'unavailable', /check PROMETHEUS_USERNAME/],
    [{ status: 404, body: 'no' }, 'unavailable', /PROMETHEUS_URL must be the base URL/],
    [{ status: 302, body: '', headers: { location: '/login' } }, 'unavailable', /a redirect/],
    [{ status: 503, body: 'no' }, 'unavailable', /^Prometheus answered 503$/],
    [{ body: '<html>hello</html>' }, 'unavailable', /does not answer like Prometheus/],
    [{ body: { status: 'success', data: {} } }, 'unavailable', /does not answer like Prometheus/],
    [null, 'unavailable', /did not answer within 0.3 s/],
  ])('reports the reason: %j', async (answer, code, text) => {
    const { prometheus } = await serverSaying(() => answer);
    await expect(prometheus.range('up', 0, minute, minute)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(text) as string,
    });
    const { reachable, error } = await prometheus.testConnection();
    expect(reachable).toBe(false);
    expect(error).toMatch(text);
    expect(error).not.toContain('secret');
  });

  it.each([
    ['answers too late', null],
    ['answers 503', { status: 503, body: { status: 'error', error: 'query timed out in expression evaluation' } }],
  ])('keeps all other columns if one query %s, and reports it', async (_, refusal) => {
    const { collect } = await serverSaying((url) =>
      url.searchParams.get('query')!.includes('container_fs') ? refusal : rangeOf(url, () => 1),
    );
    const { columns } = await collect();
    const silent = columns.filter(({ unanswered }) => unanswered);
    expect(silent.map(({ name, known, trouble }) => [name, known, trouble])).toEqual([
      ['fs_bytes', 0, expect.stringMatching(/^Prometheus (did not finish in time|answered 503)$/)],
    ]);
    expect(columns.find(({ name }) => name === 'cpu_cores')).toMatchObject({ known: 1, trouble: null });
  });

  it('stops querying a server that does not answer', async () => {
    const { collect, asked } = await serverSaying(() => ({ status: 503, body: '' }));
    await expect(collect()).rejects.toThrow('Prometheus answered 503');
    // Four concurrent queries, one retry each.
    expect(asked.length).toBeLessThan(12);
  });

  it.each([
    [
      'columns: {reqest_rate: {query: up}}',
      /^PROMETHEUS_QUERIES_FILE: columns has unknown keys: reqest_rate; known are cpu_cores, /,
    ],
    [
      'columns: {cpu_cores: {qery: up, query: up}}',
      /: columns\.cpu_cores has unknown keys: qery; known are unit and query$/,
    ],
    [
      'foo: 1\npods: 5',
      /: pods must be an object of names, received number; the file has unknown keys: foo; known are columns, pods, state$/,
    ],
  ])('reports errors in a query file: %s', async (file, message) => {
    await expect(metricQueries('plain', 'none', file, '')).rejects.toThrow(message);
  });

  it('refuses too many series', async () => {
    const { prometheus } = await serverSaying(() => ({
      body: {
        status: 'success',
        data: {
          resultType: 'matrix',
          result: Array.from({ length: 5_001 }, (_, i) => ({ metric: { i: String(i) }, values: [] })),
        },
      },
    }));
    await expect(prometheus.range('x', 0, minute, minute)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(/5001 series; the maximum is 5000/) as string,
    });
  });

  it("reports the server's version if known", async () => {
    const { prometheus } = await serverSaying((url) =>
      url.pathname.endsWith('buildinfo')
        ? { body: { status: 'success', data: { version: '2.42.0' } } }
        : { body: { status: 'success', data: { resultType: 'vector', result: [{ metric: {}, value: [1, '1'] }] } } },
    );
    expect(await prometheus.testConnection()).toMatchObject({ reachable: true, version: '2.42.0', error: null });
  });
});

it('selects series by the settings, else by the preset', async () => {
  const sources = { cadvisor: 'job="cadvisor",env="a"', kubeState: 'job="ksm"' };
  const texts = async (preset: 'plain' | 'kube-prometheus-stack', own?: typeof sources) => {
    const { columns, pods, state } = await metricQueries(preset, 'istio', null, '', own);
    return [...Object.values(columns).map(({ query }) => query), ...Object.values(pods), ...Object.values(state)];
  };
  for (const preset of ['plain', 'kube-prometheus-stack'] as const) {
    const own = await texts(preset, sources);
    expect(own.filter((text) => /job="kubelet"|job="kube-state-metrics"|\$[AS]/.test(text))).toEqual([]);
    const of = (metric: RegExp) => own.filter((text) => metric.test(text));
    expect(of(/container_cpu_usage/).every((text) => text.includes('{job="cadvisor",env="a",namespace='))).toBe(true);
    expect(of(/kube_deployment_/).every((text) => text.includes('{job="ksm",namespace='))).toBe(true);
    expect((await texts(preset)).filter((text) => /\$[AS]|\{,/.test(text))).toEqual([]);
  }
});
