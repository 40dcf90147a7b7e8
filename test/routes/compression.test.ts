import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { testNow } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';

describe('compression', () => {
  it('compresses PromQL answers and the OpenAPI document for clients that accept it', async () => {
    const { app, services } = await testTower();
    const at = testNow();
    await services.analytics.record({
      metrics: Array.from({ length: 300 }, (_, i) => ({
        metric: 'cpu',
        resource: `node-${i}`,
        value: i,
        timestamp: new Date(at - 1_000).toISOString(),
      })),
    });
    for (const url of [
      `/prometheus/api/v1/query?query=cpu&time=${at / 1000}`,
      '/prometheus/api/v1/series?match[]=cpu',
      '/openapi.json',
    ]) {
      const plain = await app.inject({ url });
      expect([url, plain.statusCode, plain.headers['content-encoding']]).toEqual([url, 200, undefined]);
      for (const [encoding, unpack] of [
        ['gzip', gunzipSync],
        ['br', brotliDecompressSync],
      ] as const) {
        const small = await app.inject({ url, headers: { 'accept-encoding': encoding } });
        expect(small.headers).toMatchObject({
          'content-encoding': encoding,
          vary: expect.stringContaining('accept-encoding'),
        });
        expect(small.rawPayload.length).toBeLessThan(plain.rawPayload.length / 3);
        expect(JSON.parse(unpack(small.rawPayload).toString())).toEqual(plain.json());
      }
    }
  });

  it('leaves small answers and request bodies uncompressed', async () => {
    const { app } = await testTower();
    const small = await app.inject({
      url: '/prometheus/api/v1/query?query=1',
      headers: { 'accept-encoding': 'gzip' },
    });
    expect(small.headers['content-encoding']).toBeUndefined();
    const packed = await app.inject({
      method: 'POST',
      url: '/api/v1/analytics/metrics',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      payload: Buffer.from('1f8b', 'hex'),
    });
    expect(packed.statusCode).toBe(415);
  });
});
