import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { createHttpClient } from '#kernel/http-client.ts';
import { createPrometheus } from '#services/acquisition/prometheus/prometheus.ts';
import { whenTestIsOver } from '../../../support/cleanup.ts';
import { testTower } from '../../../support/tower.ts';

/** Authentication at Prometheus, and limits on its answers. */

const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url));

/** Prometheus with a self-signed certificate; `points` values per answer. */
async function lockedPrometheus(isAllowed: (headers: IncomingHttpHeaders) => boolean, points = 1) {
  const server = createServer(
    { key: readFileSync(fixture('localhost-key.pem')), cert: readFileSync(fixture('localhost-cert.pem')) },
    ({ headers }, response) => {
      const values = Array.from({ length: points }, (_, i) => [60 * i, '1']);
      const body = isAllowed(headers)
        ? { status: 'success', data: { resultType: 'matrix', result: [{ metric: {}, value: [0, '1'], values }] } }
        : {};
      response.writeHead(isAllowed(headers) ? 200 : 401, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  return `https://localhost:${(server.address() as AddressInfo).port}`;
}

const statusWith = async (env: Record<string, string>) => {
  const { app, logText } = await testTower({ PROMETHEUS_MAX_RETRIES: '0', ...env });
  const answer = (await app.inject('/api/v1/acquisition/prometheus')).json<{
    reachable: boolean;
    error: string | null;
  }>();
  const document = (await app.inject('/openapi.json')).body;
  return { ...answer, told: `${JSON.stringify(answer)}${document}${logText()}` };
};
const ca = { PROMETHEUS_CA_PATH: fixture('localhost-cert.pem') };

it('a self-signed certificate is refused unless its authority is configured or verification is off', async () => {
  const PROMETHEUS_URL = await lockedPrometheus(() => true);
  expect(await statusWith({ PROMETHEUS_URL })).toMatchObject({
    reachable: false,
    error: expect.stringContaining('DEPTH_ZERO_SELF_SIGNED_CERT') as string,
  });
  expect(await statusWith({ PROMETHEUS_URL, ...ca })).toMatchObject({ reachable: true, error: null });
  expect(await statusWith({ PROMETHEUS_URL, PROMETHEUS_INSECURE_TLS: 'true' })).toMatchObject({ reachable: true });
});

it('credentials and tenant are sent as configured, and never shown', async () => {
  const basic = `Basic ${Buffer.from('tower:s3cret-word').toString('base64')}`;
  const byUser = { ...ca, PROMETHEUS_URL: await lockedPrometheus((headers) => headers.authorization === basic) };
  const allowed = await statusWith({ ...byUser, PROMETHEUS_USERNAME: 'tower', PROMETHEUS_PASSWORD: 's3cret-word' });
  expect([allowed.reachable, allowed.told.includes('s3cret-word')]).toEqual([true, false]);
  const refused = await statusWith({ ...byUser, PROMETHEUS_USERNAME: 'tower', PROMETHEUS_PASSWORD: 'wr0ng-word' });
  expect(refused).toMatchObject({
    reachable: false,
    error: 'Prometheus answered 401: check PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD, or PROMETHEUS_TOKEN',
  });
  expect(refused.told).not.toContain('wr0ng-word');
  const byToken = await lockedPrometheus(
    ({ authorization, ...others }) => authorization === 'Bearer t0ken-word' && others['x-scope-orgid'] === 'team-a',
  );
  const env = { ...ca, PROMETHEUS_URL: byToken, PROMETHEUS_TOKEN: 't0ken-word' };
  expect((await statusWith(env)).reachable).toBe(false);
  const tenant = await statusWith({ ...env, PROMETHEUS_TENANT: 'team-a' });
  expect([tenant.reachable, tenant.told.includes('t0ken-word')]).toEqual([true, false]);
});

it('an answer that is too long is aborted, reported, and not requested again', async () => {
  let asked = 0;
  const baseUrl = await lockedPrometheus(() => (asked += 1) > 0, 1000);
  const http = createHttpClient({
    baseUrl,
    serverName: 'Prometheus',
    headers: {},
    tls: { insecure: true },
    maxInFlight: 1,
    timeoutMs: 5000,
    maxAnswerBytes: 4096,
    maxRetries: 3,
    clock: systemClock,
    random: Math.random,
  });
  whenTestIsOver(() => http.close());
  const { range } = createPrometheus({ http, clock: systemClock });
  await expect(range('up', 0, 60_000, 60_000)).rejects.toThrow(
    'the answer of Prometheus exceeds 4096 bytes: request less',
  );
  // Allowed and answered, once.
  expect(asked).toBe(2);
});
