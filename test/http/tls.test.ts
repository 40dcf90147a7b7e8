import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { readConfig } from '#config/config.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const pair = { key: readFileSync(fixture('localhost-key.pem')), cert: readFileSync(fixture('localhost-cert.pem')) };

async function listening(env: Record<string, string> = {}) {
  const directory = temporaryDirectory();
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  copyFileSync(fixture('localhost-cert.pem'), cert);
  copyFileSync(fixture('localhost-key.pem'), key);
  const tower = await testTower({ API_TLS_CERT_PATH: cert, API_TLS_KEY_PATH: key, ...env });
  await tower.app.listen({ host: '127.0.0.1', port: 0 });
  return { ...tower, cert, key, port: (tower.app.server.address() as AddressInfo).port };
}

const ask = (port: number, options: object = {}) =>
  new Promise<number | string>((resolve) => {
    const url = `https://localhost:${port}/healthz`;
    const call = request(url, { ca: pair.cert, agent: false, ...options }, (response) => {
      resolve(response.statusCode ?? 0);
      response.resume();
    });
    call.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end();
  });

/** Of the certificate that a new connection is offered; only a host name is sent as the server name. */
const fingerprint = (port: number, host = 'localhost') =>
  new Promise<string>((resolve) => {
    const socket = connect({ port, host, rejectUnauthorized: false }, () => {
      resolve((socket.getPeerCertificate() as PeerCertificate).fingerprint256);
      socket.destroy();
    });
  });

describe('TLS', () => {
  it('is served with the certificate of the settings, from version 1.2', async () => {
    const { port } = await listening();
    expect(await ask(port)).toBe(200);
    expect(await ask(port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).not.toBe(200);
    expect(await ask(port, { ca: [] })).not.toBe(200);
  });

  it('admits only clients with a certificate of the client CA, which gives them no scope', async () => {
    const { port } = await listening({
      API_TLS_CLIENT_CA_PATH: fixture('localhost-cert.pem'),
      AUTH_ENABLED: 'true',
    });
    expect(await ask(port)).not.toBe(200);
    expect(await ask(port, pair)).toBe(200);
    const status = await new Promise((resolve) => {
      request(`https://localhost:${port}/models`, { ca: pair.cert, ...pair, agent: false }, (response) =>
        resolve(response.resume().statusCode),
      ).end();
    });
    expect(status).toBe(401);
  });

  it('keeps the certificate while the changed files are unusable', { timeout: 30_000 }, async () => {
    const { port, cert, logText } = await listening();
    const before = await fingerprint(port);
    writeFileSync(cert, 'not a certificate');
    await vi.waitFor(() => expect(logText()).toContain('cannot use the changed TLS files'), { timeout: 20_000 });
    expect(await fingerprint(port)).toBe(before);
  });

  it('uses a new certificate for connections with and without a server name', { timeout: 30_000 }, async () => {
    const { port, cert, key, logText } = await listening();
    const before = await fingerprint(port);
    copyFileSync(fixture('other-key.pem'), key);
    copyFileSync(fixture('other-cert.pem'), cert);
    await vi.waitFor(() => expect(logText()).toContain('reloaded the TLS certificate'), { timeout: 20_000 });
    const after = await fingerprint(port);
    expect(after).not.toBe(before);
    expect(await fingerprint(port, '127.0.0.1')).toBe(after);
  });

  it.each([
    [{ API_TLS_CERT_PATH: 'a' }],
    [{ API_TLS_KEY_PATH: 'a' }],
    [{ API_TLS_CLIENT_CA_PATH: 'a' }],
  ])('needs certificate and key: %o', (env) => {
    expect(() => readConfig(env, 'serve')).toThrow('API_TLS_CERT_PATH and API_TLS_KEY_PATH must be set together');
  });
});
