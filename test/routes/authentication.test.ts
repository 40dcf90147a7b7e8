import type { InjectOptions } from 'fastify';
import { exportSPKI, SignJWT } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import type { Scope } from '#services/access/scopes.ts';
import { lockedTower, secretOf } from '../support/locked-tower.ts';
import { audience, issuer, unsigned } from '../support/tokens.ts';
import { testTower } from '../support/tower.ts';

type Operation = { 'x-required-scope'?: Scope; security?: unknown };

describe('every route for every caller', () => {
  it('refuses everyone without the required scope', async () => {
    const { app, id, keyWith } = await lockedTower();
    const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, Operation>> }>();
    const rs = await id.token({ scope: 'admin' });
    // `scopes`: all that the caller may do; null = not authenticated.
    const callers: Record<string, { token: string | null; scopes: Scope[] | null }> = {
      'no token': { token: null, scopes: null },
      'a wrong key': { token: `tower_000000000000_${'A'.repeat(43)}`, scopes: null },
      'a wrong token': { token: `${rs.slice(0, -6)}AAAAAA`, scopes: null },
      'an expired token': { token: await id.token({ scope: 'admin', exp: id.now - 120 }), scopes: null },
      'alg none': {
        token: unsigned({ iss: issuer, aud: audience, sub: 'x', exp: id.now + 60, scope: 'admin' }),
        scopes: null,
      },
      'a token without scopes': { token: await id.token({ scope: '' }), scopes: [] },
      metrics: { token: await keyWith('metrics'), scopes: ['metrics'] },
      record: { token: await keyWith('record'), scopes: ['record'] },
      read: { token: await keyWith('read'), scopes: ['metrics', 'read'] },
      operate: { token: await id.token({ scope: 'operate' }), scopes: ['metrics', 'record', 'read', 'operate'] },
      approve: { token: await keyWith('approve'), scopes: ['metrics', 'read', 'approve'] },
      admin: {
        token: await id.token({ scope: 'admin', alg: 'ES256' }),
        scopes: ['metrics', 'record', 'read', 'operate', 'approve', 'admin'],
      },
    };
    const wrong: string[] = [];
    let checked = 0;
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const needed = operation['x-required-scope'];
        for (const [name, { token, scopes }] of Object.entries(callers)) {
          // An accepted stream would not end; only refusals are tested here.
          if (path === '/models/stream' && scopes?.includes('read')) continue;
          const request: InjectOptions = {
            method: method.toUpperCase() as 'GET',
            url: path.replace('{key_id}', '0123456789ab').replaceAll(/\{\w+\}/g, 'x'),
            headers: token === null ? {} : { authorization: `Bearer ${token}` },
          };
          const { statusCode } = await app.inject(request);
          const mayPass = needed !== undefined && scopes?.includes(needed) === true;
          const expected = needed === undefined ? 'open' : mayPass ? 'in' : scopes === null ? 401 : 403;
          const isRight =
            expected === 'open'
              ? statusCode !== 403 && (path !== '/webhooks/mlflow' || statusCode === 401)
              : expected === 'in'
                ? statusCode !== 401 && statusCode !== 403
                : statusCode === expected;
          checked += 1;
          if (!isRight) wrong.push(`${method} ${path} for ${name}: ${statusCode}, not ${expected}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(checked).toBeGreaterThan(300);
  });

  it('is open for probes, the greeting and signed deliveries only', async () => {
    const { app } = await lockedTower();
    const { paths } = (await app.inject('/openapi.json')).json<{ paths: Record<string, Record<string, Operation>> }>();
    const open = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, operation]) =>
        operation['x-required-scope'] ? [] : [`${method} ${path}`],
      ),
    );
    expect(open).toEqual(['get /', 'get /healthz', 'get /readyz', 'post /webhooks/mlflow']);
    for (const page of ['/docs', '/redoc', '/openapi.json']) expect((await app.inject(page)).statusCode).toBe(200);
  });

  it('says how to authenticate, and which scope is missing', async () => {
    const { app, keyWith } = await lockedTower();
    const nobody = await app.inject('/models');
    expect(nobody.headers['www-authenticate']).toBe('Bearer realm="control tower"');
    expect(nobody.json()).toMatchObject({ detail: /^Say who you are/ });
    const headers = { 'x-api-key': await keyWith('read') };
    const refused = await app.inject({ method: 'DELETE', url: '/cache/clear', headers });
    expect(refused.statusCode).toBe(403);
    expect(refused.headers['www-authenticate']).toContain('error="insufficient_scope", scope="operate"');
    expect(refused.json<{ detail: string }>().detail).toMatch(
      /^Scope operate is required; key read \([0-9a-f]{12}\) has read$/,
    );
    expect((await app.inject({ url: '/models', headers })).statusCode).toBe(200);
  });

  it('is open for everyone while authentication is off', async () => {
    const { app } = await testTower();
    expect((await app.inject('/api/v1/access/whoami')).json()).toEqual({
      name: 'anonymous',
      via: 'none',
      scopes: ['admin'],
    });
  });
});

describe('tokens', () => {
  it.each(['RS256', 'ES256', 'EdDSA', 'HS256'])('signed with %s are accepted', async (alg) => {
    const { id, whoami } = await lockedTower();
    const response = await whoami(await id.token({ alg, scope: 'read tower:operate other' }));
    expect(response.json()).toEqual({ name: 'dana', via: 'jwt', scopes: ['read', 'operate'] });
  });

  it.each<[string, object, RegExp]>([
    ['has expired', { exp: -31 }, /^The token has expired$/],
    ['is not valid yet', { nbf: 31 }, /^The token’s nbf/],
    ['has no end', { exp: undefined }, /^The token’s exp is missing/],
    ['is of another issuer', { iss: 'https://evil.example' }, /^The token’s iss/],
    ['has another audience', { aud: 'other' }, /^The token’s aud/],
    ['has no subject', { sub: undefined }, /^The token’s sub is missing/],
    ['names no key', { kid: null }, /^The token must have a key id/],
    ['names an unknown key', { kid: 'other' }, /^The token was signed with an unknown key$/],
    ['names the key of another algorithm', { kid: 'key-ES256' }, /^The token was signed with an unknown key$/],
  ])('are refused if the token %s', async (_what, more, text) => {
    const { id, whoami } = await lockedTower();
    const at = (offset: unknown) => (typeof offset === 'number' ? id.now + offset : offset);
    const claims = Object.fromEntries(
      Object.entries(more).map(([name, value]) => [name, ['exp', 'nbf'].includes(name) ? at(value) : value]),
    );
    const response = await whoami(await id.token(claims));
    expect(response.statusCode).toBe(401);
    expect(response.json<{ detail: string }>().detail).toMatch(text);
  });

  it('tolerate a small clock difference', async () => {
    const { id, whoami } = await lockedTower();
    expect((await whoami(await id.token({ exp: id.now - 29 }))).statusCode).toBe(200);
  });

  it('signed by HS256 with a public key are refused', async () => {
    const { id, whoami } = await lockedTower();
    const pem = await exportSPKI(id.pairs['RS256'].publicKey);
    const payload = { iss: issuer, aud: audience, sub: 'x', exp: id.now + 60, scope: 'admin' };
    for (const secret of [pem, JSON.stringify(id.keys[0]), id.keys[0]?.n ?? '']) {
      const forged = await new SignJWT(payload)
        .setProtectedHeader({ alg: 'HS256', kid: 'key-RS256' })
        .sign(new TextEncoder().encode(secret));
      expect((await whoami(forged)).statusCode).toBe(401);
    }
  });

  it.each([
    'none',
    'None',
    'nOnE',
    'HS384',
    'PS256',
    '',
    'RS256',
  ])('with alg %j and without a signature are refused', async (alg) => {
    const { id, whoami } = await lockedTower();
    const payload = { iss: issuer, aud: audience, sub: 'x', exp: id.now + 60, scope: 'admin' };
    expect((await whoami(unsigned(payload, { alg, kid: 'key-RS256' }))).statusCode).toBe(401);
  });

  it('by HS256 are refused without a configured secret', async () => {
    const { id, whoami } = await lockedTower({ JWT_HS256_SECRET: '' });
    expect((await whoami(await id.token({ alg: 'HS256' }))).json()).toMatchObject({
      detail: 'Tokens signed with "HS256" are not accepted',
    });
  });

  it('share one read of the keys; a failed read is reported and not repeated for each token', async () => {
    const { id, whoami } = await lockedTower();
    for (let i = 0; i < 5; i += 1) await whoami(await id.token());
    expect(id.issued.requests).toBe(1);
    const { id: other, whoami: ask, clock } = await lockedTower();
    other.issued.broken = true;
    for (let i = 0; i < 5; i += 1) expect((await ask(await other.token())).statusCode).toBe(503);
    expect(other.issued.requests).toBe(1);
    other.issued.broken = false;
    await clock.advance(31_000);
    expect((await ask(await other.token())).statusCode).toBe(200);
  });

  it('require a key set URL that passes the SSRF guard, checked at start', async () => {
    await expect(lockedTower({ OUTBOUND_ALLOWED_HOSTS: '' })).rejects.toThrow(
      /^JWT_JWKS_URL must not be a private or local address/,
    );
  });

  it.each(['', ' ', 'a\0b'])('of %j are refused', async (sub) => {
    const { id, whoami } = await lockedTower();
    expect((await whoami(await id.token({ sub }))).statusCode).toBe(401);
  });
});

describe('API keys', () => {
  it('are shown once, stored as a hash, and expire', async () => {
    const { app, keyWith, clock, whoami } = await lockedTower();
    const [admin, key] = [await keyWith('admin'), await keyWith('read')];
    const list = await app.inject({ url: '/api/v1/access/keys', headers: { authorization: `Bearer ${admin}` } });
    expect(list.body).not.toContain(secretOf(key));
    expect((await whoami(key)).statusCode).toBe(200);
    await clock.advance(86_400_000);
    expect((await whoami(key)).json()).toMatchObject({ detail: 'Invalid, expired or revoked API key' });
  });

  it('can be revoked', async () => {
    const { app, keyWith, whoami } = await lockedTower();
    const [admin, key] = [await keyWith('admin'), await keyWith('read')];
    const headers = { authorization: `Bearer ${admin}` };
    const id = key.split('_')[1];
    expect((await app.inject({ method: 'DELETE', url: `/api/v1/access/keys/${id}`, headers })).statusCode).toBe(200);
    expect((await whoami(key)).statusCode).toBe(401);
    expect((await app.inject({ method: 'DELETE', url: `/api/v1/access/keys/${id}`, headers })).statusCode).toBe(404);
  });

  it('record their last use to the minute', async () => {
    const { services, keyWith, whoami, clock } = await lockedTower();
    const key = await keyWith('read');
    // Written asynchronously after the response.
    const lastUsed = (at: string) =>
      vi.waitFor(async () => expect(await services.access.keys.list()).toMatchObject([{ last_used_at: at }]));
    await whoami(key);
    await lastUsed('2026-11-20T00:00:00.000Z');
    await clock.advance(30_000);
    await whoami(key);
    await lastUsed('2026-11-20T00:00:00.000Z');
    await clock.advance(31_000);
    await whoami(key);
    await lastUsed('2026-11-20T00:01:01.000Z');
  });
});
