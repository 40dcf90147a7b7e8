import { describe, expect, it } from 'vitest';
import { lockedTower, secretOf } from '../support/locked-tower.ts';
import { settle } from '../support/sources.ts';
import { testTower } from '../support/tower.ts';

describe('the audit log', () => {
  const payload = { model_type: 'classifier', registered_by: 'dana' };

  it('records each change before and after it is made, with actor and address', async () => {
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

  it('records refused credentials once a minute per address, not reads and requests without credentials', async () => {
    const { app, services, id, clock, logText } = await lockedTower();
    const token = await id.token({ scope: 'read' });
    const headers = { authorization: `Bearer ${token}` };
    const post = (more: object) =>
      app.inject({ method: 'POST', url: '/models/DNA/1/monitor', payload, remoteAddress: '10.0.0.1', ...more });
    await post({});
    await app.inject({ url: '/models', headers });
    expect((await services.access.auditPage({})).total).toBe(0);
    await post({ headers });
    for (let i = 0; i < 5; i += 1) await post({ headers: { 'x-api-key': 'tower_wrong' } });
    await post({ headers: { 'x-api-key': 'tower_wrong' }, remoteAddress: '10.0.0.2' });
    const total = async () => (await services.access.auditPage({})).total;
    await expect.poll(total, { timeout: 5_000 }).toBe(2);
    const rows = async () =>
      (await services.access.auditPage({})).records.map(({ status, actor, address, action, details }) => ({
        status,
        actor,
        address,
        action,
        details,
      }));
    const action = 'POST /models/:model_name/:model_version/monitor';
    expect(await rows()).toEqual([
      { status: 401, actor: 'unauthenticated', address: '10.0.0.2', action, details: { refused: 'unauthenticated' } },
      { status: 403, actor: 'dana', address: '10.0.0.1', action, details: { refused: 'forbidden' } },
    ]);
    await clock.advance(60_000);
    await post({ headers: { 'x-api-key': 'tower_wrong' } });
    await expect.poll(total, { timeout: 5_000 }).toBe(3);
    expect(logText()).toContain('"refused":5');
    expect(logText()).not.toMatch(/tower_wrong/);
    expect(logText()).not.toContain(token);
    expect(await services.access.audit.verify()).toEqual({ rows: 3, problem: null });
  });

  it('records at most 60 refusals per minute, from however many addresses', async () => {
    const { app, services } = await lockedTower();
    for (let i = 0; i < 100; i += 1)
      await app.inject({ url: '/models', headers: { 'x-api-key': 'wrong' }, remoteAddress: `10.1.0.${i}` });
    await expect.poll(async () => (await services.access.auditPage({})).total, { timeout: 10_000 }).toBe(60);
  });

  it('records the outcome of a change whose client disconnected', async () => {
    const { app, services, id, fake } = await lockedTower();
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const gate = Promise.withResolvers<void>();
    fake.hold = gate.promise;
    const client = new AbortController();
    const headers = { authorization: `Bearer ${await id.token({ scope: 'operate' })}` };
    const call = fetch(`${url}/cache/refresh`, { method: 'POST', headers, signal: client.signal }).catch(() => null);
    const phases = async () => (await services.access.auditPage({})).records.map((record) => record.phase);
    while ((await phases()).length < 1) await settle();
    client.abort();
    await call;
    gate.resolve();
    const deadline = Date.now() + 5_000;
    while ((await phases()).length < 2 && Date.now() < deadline) await settle();
    expect(await phases()).toEqual(['done', 'requested']);
  });

  it('records the deleted baseline and the created key', async () => {
    const { app, services, id } = await lockedTower();
    const headers = { authorization: `Bearer ${await id.token({ scope: 'admin' })}` };
    await app.inject({ method: 'DELETE', url: '/model/DNA/1/baselines?subject=accuracy', headers });
    const made = await app.inject({
      method: 'POST',
      url: '/api/v1/access/keys',
      headers,
      payload: { name: 'ci', scopes: ['read'] },
    });
    const { records } = await services.access.auditPage({});
    expect(records[3]?.target).toEqual({ model_name: 'DNA', model_version: '1', subject: 'accuracy' });
    expect(records[0]).toMatchObject({ phase: 'done', details: { id: made.json<{ id: string }>().id } });
  });

  it('never stores a key sent in place of its id', async () => {
    const { app, services, id, keyWith } = await lockedTower();
    const [headers, key] = [{ authorization: `Bearer ${await id.token({ scope: 'admin' })}` }, await keyWith('read')];
    const response = await app.inject({ method: 'DELETE', url: `/api/v1/access/keys/${key}`, headers });
    expect(response.statusCode).toBe(400);
    expect(response.body + JSON.stringify((await services.access.auditPage({})).records)).not.toContain(secretOf(key));
  });

  it('accepts unexpected bodies', async () => {
    const { app, services, id } = await lockedTower();
    const headers = {
      authorization: `Bearer ${await id.token({ scope: 'admin' })}`,
      'content-type': 'application/json',
    };
    await app.inject({ method: 'POST', url: '/cache/refresh', headers, payload: '"a text"' });
    expect((await app.inject({ url: '/api/v1/access/audit', headers })).statusCode).toBe(200);
    expect((await services.access.auditPage({})).records[1]?.details).toEqual({});
  });

  it('is paginated', async () => {
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
  it('are reported in the draft headers and in the older ones', async () => {
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

  it('apply before authentication, which limits guessing of keys', async () => {
    const { app } = await testTower({ AUTH_ENABLED: 'true', RATE_LIMIT_PER_MINUTE: '3' });
    const statuses = [];
    for (let i = 0; i < 5; i += 1)
      statuses.push((await app.inject({ url: '/models', headers: { 'x-api-key': `tower_${i}` } })).statusCode);
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
  });
});
