import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bitsOf, part, request, sample, snap, text } from '../support/remote-write.ts';
import { composeInstance } from './compose-instance.ts';

const url = '/prometheus/api/v1/import/prometheus';
const lines = 'up{instance="a"} 1\nup{instance="b"} 0\n';

async function pushing() {
  const { app, clock } = await composeInstance();
  const post = (path: string, headers: Record<string, string>, payload: string | Buffer) =>
    app.inject({ method: 'POST', url: path, headers, payload });
  return { app, clock, post };
}

describe('a push in the text format', () => {
  it('may be compressed with gzip', async () => {
    const { post } = await pushing();
    const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' };
    expect((await post(url, headers, gzipSync(lines))).json()).toMatchObject({ recorded: 2, refused: 0 });
  });

  it.each([
    ['not compressed', Buffer.from(lines), 400],
    ['truncated', gzipSync(lines).subarray(0, 20), 400],
    ['larger than allowed when decompressed', gzipSync(Buffer.alloc(17 * 2 ** 20, '#')), 400],
  ])('that claims gzip and is %s is refused', async (_, body, status) => {
    const { post } = await pushing();
    const response = await post(url, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }, body);
    expect(response.statusCode).toBe(status);
    expect(response.json()).toMatchObject({ error: { details: { parameter: 'body' } } });
  });

  it.each([
    'br',
    'zstd',
    'deflate',
    'gzip, gzip',
    'snappy',
  ])('with the encoding %s is refused (415)', async (encoding) => {
    const { post } = await pushing();
    const response = await post(url, { 'content-type': 'text/plain', 'content-encoding': encoding }, lines);
    expect(response.statusCode).toBe(415);
    expect(response.json()).toMatchObject({ error: { type: 'invalid', details: { parameter: 'content-encoding' } } });
  });

  it('of which every line is refused is an error, one line less is not', async () => {
    const { post } = await pushing();
    const headers = { 'content-type': 'text/plain' };
    const refused = await post(url, headers, 'up{\n7x 1\n');
    expect(refused.statusCode).toBe(400);
    expect(refused.json()).toMatchObject({ error: { details: { refused: 2, results: [{ index: 1 }, { index: 2 }] } } });
    expect((await post(url, headers, 'up{\nup 1\n')).json()).toMatchObject({ recorded: 1, refused: 1 });
    expect((await post(url, headers, '# nothing\n')).json()).toMatchObject({ recorded: 0, refused: 0 });
  });
});

describe('a request with a compressed body', () => {
  it.each([
    '/api/v1/analytics/metrics',
    '/models/churn/1/monitor',
    '/cache/refresh',
  ])('is refused where bodies are not decompressed: %s', async (path) => {
    const { post } = await pushing();
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    expect((await post(path, headers, gzipSync('{"metrics":[]}'))).statusCode).toBe(415);
  });
});

describe('remote write', () => {
  const write = '/prometheus/api/v1/write';
  const one = Buffer.from(snap(request([{ labels: [['__name__', 'x']], samples: [] }])));

  it.each([
    ['application/x-protobuf', undefined, 204],
    ['application/x-protobuf', 'snappy', 204],
    ['application/x-protobuf;proto=prometheus.WriteRequest', 'snappy', 204],
    ['application/x-protobuf; proto="prometheus.WriteRequest"; charset=utf-8', 'snappy', 204],
    ['application/x-protobuf;proto=io.prometheus.write.v3.Request', 'snappy', 415],
    ['application/x-protobuf;proto=opentelemetry', 'snappy', 415],
    ['application/x-protobuf', 'gzip', 415],
    ['application/x-protobuf', 'zstd', 415],
    ['application/json', undefined, 400],
  ])('as %s with the encoding %s: %i', async (type, encoding, status) => {
    const { post } = await pushing();
    const headers = { 'content-type': type, ...(encoding === undefined ? {} : { 'content-encoding': encoding }) };
    const response = await post(write, headers, type.includes('json') ? '{}' : one);
    expect(response.statusCode).toBe(status);
  });

  it.each([
    { RATE_LIMIT_RECORD_PER_MINUTE: '1' },
    { RATE_LIMIT_POINTS_PER_MINUTE: '1' },
  ])('beyond a limit is 503 with Retry-After, on which senders retry: %o', async (env: Record<string, string>) => {
    const { app, clock } = await composeInstance(env);
    const labels: [string, string][] = [['__name__', 'x']];
    const post = (at: number) =>
      app.inject({
        method: 'POST',
        url: write,
        headers: { 'content-type': 'application/x-protobuf' },
        payload: Buffer.from(snap(request([{ labels, samples: [[at, bitsOf(1)]] }]))),
      });
    expect((await post(clock.now())).statusCode).toBe(204);
    const refused = await post(clock.now() + 1);
    expect([refused.statusCode, refused.json<{ error: { type: string } }>().error.type]).toEqual([503, 'unavailable']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    const text = await app.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'text/plain' },
      payload: 'x 1\nx{a="b"} 1\n',
    });
    expect(text.statusCode).toBe(429);
  });

  it('of version 2.0 is stored, and the answer counts what was', async () => {
    const { app, post, clock } = await pushing();
    const headers = {
      'content-type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
      'content-encoding': 'snappy',
      'x-prometheus-remote-write-version': '2.0.0',
    };
    const body = [
      ...['', '__name__', 'rw2'].flatMap((word) => text(4, word)),
      ...part(5, [...part(1, [1, 2]), ...sample(clock.now(), bitsOf(1))]),
    ];
    const response = await post(write, headers, Buffer.from(snap(body)));
    expect(response.statusCode, response.body).toBe(204);
    expect(response.headers).toMatchObject({
      'x-prometheus-remote-write-samples-written': '1',
      'x-prometheus-remote-write-histograms-written': '0',
      'x-prometheus-remote-write-exemplars-written': '0',
    });
    const found = await app.inject(`/prometheus/api/v1/series?match[]=rw2`);
    expect(found.json()).toMatchObject({ status: 'success', data: [{ __name__: 'rw2' }] });
  });
});
