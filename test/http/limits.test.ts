import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressOf } from '#http/client.ts';
import { createQuota } from '#kernel/quota.ts';
import { lockedTower } from '../support/locked-tower.ts';
import { testTower } from '../support/tower.ts';

describe('the address of a client', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:51234', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', '198.51.100.1'],
    ['_hidden', '198.51.100.1'],
    // A connection that was reset.
    [undefined, '198.51.100.1'],
  ])('%s counts as %s', (forwarded, counted) => {
    expect(addressOf(forwarded, '198.51.100.1')).toBe(counted);
  });

  it('is unknown without any', () => {
    expect([addressOf(undefined), addressOf('x', '')]).toEqual(['unknown', 'unknown']);
  });

  it('is the same for all addresses of an IPv6 /64 network, and differs between networks', () => {
    const hex = fc.integer({ min: 0, max: 0xffff }).map((word) => word.toString(16));
    const half = fc.tuple(hex, hex, hex, hex).map((words) => words.join(':'));
    fc.assert(
      fc.property(half, half, half, half, (network, other, a, b) => {
        expect(addressOf(`${network}:${a}`)).toBe(addressOf(`${network}:${b}`));
        fc.pre(network !== other);
        expect(addressOf(`${network}:${a}`)).not.toBe(addressOf(`${other}:${a}`));
      }),
    );
  });
});

describe('a quota', () => {
  it('is reset a minute after its first use', () => {
    let now = 1e6;
    const quota = createQuota(() => now);
    expect(quota.take('a', 3, 5)).toEqual({ remaining: 2, isExceeded: false, resetSeconds: 60 });
    now += 59_000;
    expect(quota.take('a', 3, 5)).toEqual({ remaining: 0, isExceeded: true, resetSeconds: 1 });
    expect(quota.take('b', 1, 5).isExceeded).toBe(false);
    now += 1_000;
    expect(quota.take('a', 1, 5)).toEqual({ remaining: 4, isExceeded: false, resetSeconds: 60 });
  });
});

describe('rate limits', () => {
  it('count requests of an identity together, wherever they come from, and guesses by address', async () => {
    const { app, keyWith } = await lockedTower({ RATE_LIMIT_PER_MINUTE: '3', TRUST_PROXY: '1' });
    const keys = [await keyWith('read'), await keyWith('operate')];
    const ask = (key: string, from: string) =>
      app.inject({ url: '/models?limit=1', headers: { 'x-api-key': key, 'x-forwarded-for': from } });
    const statuses = async (key: string, ...from: string[]) =>
      Promise.all(from.map(async (address) => (await ask(key, address)).statusCode));
    expect(await statuses(keys[0]!, '192.0.2.1', '192.0.2.2', '2001:db8::1')).not.toContain(429);
    expect(await statuses(keys[0]!, '192.0.2.3')).toEqual([429]);
    expect(await statuses(keys[1]!, '192.0.2.3')).not.toContain(429);
    const guess = `tower_000000000000_${'A'.repeat(43)}`;
    expect(await statuses(guess, '192.0.2.9:1', '192.0.2.9:2', '192.0.2.9', '192.0.2.9:4')).toEqual([
      401, 401, 401, 429,
    ]);
    expect(await statuses(guess, '2001:db8::1', '2001:db8::2', '2001:db8:0:0:9::', '2001:db8::4')).toEqual([
      401, 401, 401, 429,
    ]);
    expect((await app.inject({ url: '/nowhere', headers: { 'x-forwarded-for': '192.0.2.9' } })).statusCode).toBe(429);
    expect(await statuses(keys[1]!, '192.0.2.9')).not.toContain(429);
  });

  it('count points, refused ones too', async () => {
    const { app } = await testTower({ RATE_LIMIT_POINTS_PER_MINUTE: '3' });
    const push = (payload: string) =>
      app.inject({
        method: 'POST',
        url: '/prometheus/api/v1/import/prometheus',
        headers: { 'content-type': 'text/plain' },
        payload,
      });
    expect((await push('a 1\nb 2\n')).statusCode).toBe(200);
    const { statusCode, headers } = await push('a 1\nb 2\n');
    expect(statusCode).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(50);
    const row = { metric: 'a', resource: 'b', value: 1 };
    expect((await app.inject({ method: 'POST', url: '/api/v1/analytics/metrics', payload: row })).statusCode).toBe(429);
  });
});
