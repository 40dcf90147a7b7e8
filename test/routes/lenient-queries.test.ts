import { describe, expect, it } from 'vitest';
import { forAllTests } from '../support/cleanup.ts';
import { composeInstance } from './compose-instance.ts';

const instance = await forAllTests(() => composeInstance({ RATE_LIMIT_PER_MINUTE: '10000' }));
const get = (url: string) => instance.app.inject(url);

describe('a query parameter', () => {
  it.each([
    ['/models/all?stge=Production', 'stge', 'stage'],
    ['/models/all?Stage=Production', 'Stage', 'stage'],
    ['/models/all?limits=3', 'limits', 'limit'],
    ['/models/all?metrics=accuracy', 'metrics', 'metric'],
    ['/models/events?tpye=x', 'tpye', 'type'],
    ['/api/v1/analytics/aggregate?metric=x&granularty=DAY', 'granularty', 'granularity'],
    ['/model/DNA/compare?version=1,2', 'version', 'versions'],
    ['/models/hygiene?nmae=DNA', 'nmae', 'name'],
  ])('that is nearly a known one is refused, with the known one: %s', async (url, parameter, meant) => {
    const response = await get(url);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toMatchObject({ error: { details: { parameter } } });
    expect(response.json<{ detail: string }>().detail).toContain(`did you mean ${meant}?`);
  });

  it.each([
    ['/models/all?_=1764547200', '_'],
    ['/models/all?cachebuster=1&_=2', 'cachebuster, _'],
    ['/models/all?cb=7', 'cb'],
    ['/models/events?utm_source=mail', 'utm_source'],
    ['/model/DNA/compare?versions=1,2&t%C3%A9=1', 't%C3%A9'],
    ['/models/all?%0d%0ax-evil:1=1', '%0D%0Ax-evil%3A1'],
    ['/models/all?aaaaaaa=1&bbbbbbb=1&ccccccc=1&ddddddd=1&eeeeeee=1&fffffff=1', 'ccccccc, ddddddd, eeeeeee, ...'],
  ])('that is unknown is ignored, and named in a header: %s', async (url, names) => {
    const plain = await get(url.replace(/\?.*/, url.includes('compare') ? '?versions=1,2' : ''));
    const response = await get(url);
    expect(response.statusCode, response.body).toBe(200);
    expect(response.json()).toEqual(plain.json());
    expect(response.headers['x-warning']).toMatch(/^ignored unknown query parameters: /);
    expect(response.headers['x-warning']).toContain(names);
    expect(plain.headers['x-warning']).toBeUndefined();
  });

  it.each([
    ['/model/DNA/2/gate?baseline=1', 'baseline'],
    ['/model/DNA/2/gate?rules=x', 'rules'],
  ])('that belongs in the body is refused: %s', async (url, parameter) => {
    const payload = { rules: [{ owner: true }] };
    const response = await instance.app.inject({ method: 'POST', url, payload });
    expect(response.json()).toMatchObject({ error: { type: 'invalid', details: { parameter } } });
  });

  it('start_time and end_time are start and end', async () => {
    const path = '/api/v1/analytics/aggregate?metric=x';
    expect((await get(`${path}&start_time=soon`)).json()).toMatchObject({ error: { details: { parameter: 'start' } } });
    const [a, b] = await Promise.all([
      get(`${path}&start=2026-11-19T00:00:00Z&end=2026-11-20`),
      get(`${path}&start_time=2026-11-19T00:00:00&end_time=2026-11-20T00:00`),
    ]);
    expect([a.statusCode, b.json()]).toEqual([b.statusCode, a.json()]);
    const both = await get(`${path}&start_time=2026-11-19&start=2026-11-18`);
    expect(both.json()).toMatchObject({ error: { details: { parameter: 'start_time' } } });
  });

  it.each([
    ['/models/events?limit=1000000', true],
    ['/models/events?limit=10', false],
    ['/api/v1/access/audit?limit=5000', true],
    ['/api/v1/analytics/metrics?limit=99999', true],
    ['/models/all?limit=5000', true],
  ])('limit above the maximum is capped, and the header says so: %s', async (url, isCapped) => {
    const response = await get(url);
    expect(response.statusCode, response.body).toBe(200);
    expect(/limit is at most \d+/.test(String(response.headers['x-warning']))).toBe(isCapped);
  });

  it.each(['0', '-1', '1.5', 'many', '1e9'])('limit=%s is still refused', async (limit) => {
    expect((await get(`/models/events?limit=${limit}`)).statusCode).toBe(400);
  });
});

it('a date that does not exist is refused, a time without a zone is UTC', async () => {
  for (const start of ['2026-02-30', '2026-02-30T10:00:00Z', '2026-04-31T00:00:00'])
    expect((await get(`/api/v1/analytics/aggregate?metric=x&start=${start}`)).json()).toMatchObject({
      error: { details: { parameter: 'start' } },
    });
  const post = (timestamp: string) =>
    instance.app.inject({
      method: 'POST',
      url: '/api/v1/analytics/metrics',
      payload: { metric: 'naive', resource: 'a', value: 1, timestamp },
    });
  expect((await post('2026-02-30T10:00:00Z')).statusCode).toBe(400);
  const at = new Date(instance.clock.now() - 60_000).toISOString();
  expect((await post(at.slice(0, -1))).statusCode).toBeLessThan(300);
  const { points } = (await get('/api/v1/analytics/metrics?metric=naive')).json<{ points: { timestamp: string }[] }>();
  expect(points.map(({ timestamp }) => timestamp)).toEqual([at]);
});

it.each([
  '/models/',
  '/model/DNA/versions/',
  '/models/all/?stage=Production',
  '/healthz/',
  '/api/v1/access/whoami/',
])('a slash at the end changes nothing: %s', async (url) => {
  const [a, b] = await Promise.all([get(url), get(url.replace(/\/(\?|$)/, '$1'))]);
  expect([a.statusCode, a.json()]).toEqual([b.statusCode, b.json()]);
  expect(a.statusCode).toBe(200);
});

it.each(['/docs/', '/redoc/'])('%s leads to the page', async (url) => {
  const response = await get(url);
  expect([response.statusCode, response.headers.location]).toEqual([308, url.slice(0, -1)]);
});
