import { describe, expect, it } from 'vitest';
import { lockedTower } from '../support/locked-tower.ts';
import { testTower } from '../support/tower.ts';

describe('the audit log', () => {
  const payload = { model_type: 'classifier', registered_by: 'dana' };

  it('has a change before it is made and after it, by whom and from where', async () => {
    const { app, services, id } = await lockedTower();
    const headers = { authorization: `Bearer ${await id.token({ scope: 'operate' })}`, 'x-request-id': 'abc' };
    await app.inject({ method: 'POST', url: '/models/DNA/1/monitor', headers, payload });
    await app.inject({ method: 'POST', url: '/models/DNA/77/monitor', headers, payload });
    const { records } = await services.access.auditPage({});
    expect(records.map(({ phase, status, target }) => [phase, status, target['model_version']])).toEqual([
      ['done', 404, '77'],
      ['requested', null, '77'],
      ['done', 201, '1'],
      ['requested', null, '1'],
    ]);
    expect(records[3]).toMatchObject({
      actor: 'dana',
      via: 'jwt',
      address: '127.0.0.1',
      request_id: 'abc',
      details: payload,
      action: 'POST /models/:model_name/:model_version/monitor',
    });
  });

  it('has nothing of what was refused, and nothing of what only reads', async () => {
    const { app, services, id } = await lockedTower();
    const headers = { authorization: `Bearer ${await id.token({ scope: 'read' })}` };
    await app.inject({ method: 'POST', url: '/models/DNA/1/monitor', headers, payload });
    await app.inject({ method: 'POST', url: '/models/DNA/1/monitor', payload });
    await app.inject({ url: '/models', headers });
    expect((await services.access.auditPage({})).total).toBe(0);
  });

  it('pages', async () => {
    const { app, services, id } = await lockedTower();
    const headers = { authorization: `Bearer ${await id.token({ scope: 'admin' })}` };
    for (const version of ['1', '2', '10'])
      await app.inject({ method: 'POST', url: `/models/DNA/${version}/monitor`, headers, payload });
    const first = await app.inject({ url: '/api/v1/access/audit?limit=4', headers });
    expect(first.headers['x-total-count']).toBe('6');
    const next = /<([^>]+)>/.exec(String(first.headers['link']))?.[1] ?? '';
    const second = await app.inject({ url: next, headers });
    const seqs = [...first.json<{ seq: number }[]>(), ...second.json<{ seq: number }[]>()].map((row) => row.seq);
    expect(seqs).toEqual([6, 5, 4, 3, 2, 1]);
    expect(second.headers['link']).toBeUndefined();
    expect((await services.access.audit.verify()).problem).toBeNull();
  });
});

describe('rate limits', () => {
  it('are told in the headers of the draft and in the older ones', async () => {
    const { app } = await testTower({ RATE_LIMIT_PER_MINUTE: '5' });
    const { headers } = await app.inject('/models');
    expect(headers).toMatchObject({
      'ratelimit-policy': '"api";q=5;w=60',
      'x-ratelimit-limit': '5',
      'x-ratelimit-remaining': '4',
    });
    expect(headers['ratelimit']).toMatch(/^"api";r=4;t=\d+$/);
    for (let i = 0; i < 5; i += 1) await app.inject('/models');
    const refused = await app.inject('/models');
    expect(refused.statusCode).toBe(429);
    expect(refused.headers['ratelimit']).toMatch(/^"api";r=0;t=\d+$/);
  });

  it('count before anybody is identified: guessing keys is limited', async () => {
    const { app } = await testTower({ AUTH_ENABLED: 'true', RATE_LIMIT_PER_MINUTE: '3' });
    const statuses = [];
    for (let i = 0; i < 5; i += 1)
      statuses.push((await app.inject({ url: '/models', headers: { 'x-api-key': `tower_${i}` } })).statusCode);
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
  });
});
