import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { composeInstance } from '../routes/compose-instance.ts';

/** A listening instance that gets raw bytes. */
async function listening() {
  const tower = await composeInstance();
  await tower.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = tower.app.server.address() as AddressInfo;
  const send = (...parts: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      let said = '';
      const socket = connect(port, '127.0.0.1', () => {
        for (const part of parts) socket.write(part);
      });
      socket.on('data', (chunk: Buffer) => (said += chunk));
      socket.on('close', () => resolve(said));
      // A response sent while the client is still sending resets the connection.
      socket.on('error', (error: NodeJS.ErrnoException) =>
        said === '' && error.code !== 'EPIPE' && error.code !== 'ECONNRESET' ? reject(error) : resolve(said),
      );
    });
  const stillWorks = async () => expect((await tower.app.inject('/healthz')).statusCode).toBe(200);
  return { ...tower, send, stillWorks };
}

const head = (more: string) => `POST /monitor HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${more}`;

describe('the HTTP server', () => {
  it('refuses headers of a megabyte in the usual format', async () => {
    const { send, stillWorks } = await listening();
    const said = await send(`GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ${'a'.repeat(20_000)}\r\n\r\n`);
    expect(said).toMatch(/^HTTP\/1\.1 431 /);
    expect(JSON.parse(said.slice(said.indexOf('\r\n\r\n')))).toMatchObject({
      detail: 'URL and headers together must be at most 16 KB',
      error: { type: 'invalid' },
    });
    await send(`GET / HTTP/1.1\r\nhost: localhost\r\nx-long: ${'a'.repeat(1_000_000)}\r\n\r\n`);
    await stillWorks();
  });

  it('refuses bytes that are not HTTP', async () => {
    const { send } = await listening();
    expect(await send('\x16\x03\x01\x02hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*"Not a valid HTTP request"/);
  });

  it('closes the connection if a body arrives too slowly', async () => {
    const { app, send, stillWorks } = await listening();
    app.server.headersTimeout = 100;
    app.server.requestTimeout = 200;
    expect(await send(head('content-length: 1000\r\n\r\n'), '{"model')).toMatch(
      /^HTTP\/1\.1 408 [\s\S]*"The request was not received in time"/,
    );
    await stillWorks();
  });

  it('refuses a body that is too large before reading it', async () => {
    const { send } = await listening();
    expect(await send(head('content-length: 99999999\r\nconnection: close\r\n\r\n'))).toMatch(/^HTTP\/1\.1 413 /);
  });

  it.each([
    '/monitor',
    '/cache/refresh',
    '/model/DNA/1/observations',
    '/model/DNA/1/gate',
    '/api/v1/access/keys',
    '/webhooks/mlflow',
  ])('accepts deep JSON sent to %s', async (url) => {
    const { app, stillWorks } = await listening();
    for (const payload of [
      '['.repeat(500_000),
      `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
      `{"a":`.repeat(50_000) + '1' + '}'.repeat(50_000),
    ]) {
      const response = await app.inject({
        method: 'POST',
        url,
        headers: { 'content-type': 'application/json' },
        payload,
      });
      expect(response.statusCode, response.body).toBeLessThan(500);
    }
    await stillWorks();
  });

  it('treats names of Object.prototype like any other name', async () => {
    const { app } = await listening();
    const payload =
      '{"observations":[{"at":"2026-11-19T00:00:00Z","feature":"__proto__","histogram":{"categories":{"__proto__":5,"constructor":7}}}]}';
    const posted = await app.inject({
      method: 'POST',
      url: '/model/DNA/1/observations',
      headers: { 'content-type': 'application/json' },
      payload,
    });
    expect(posted.statusCode).toBeLessThan(500);
    expect((await app.inject('/model/DNA/drift')).statusCode).toBe(200);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
