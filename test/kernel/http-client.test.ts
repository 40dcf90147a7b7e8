import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHttpClient, type HttpClientOptions } from '#kernel/http-client.ts';
import { inTime } from '#kernel/in-time.ts';
import { handClock } from '../support/sources.ts';

async function clientOf(listener: Parameters<typeof createServer>[1], more: Partial<HttpClientOptions> = {}) {
  const server = createServer(listener!);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = createHttpClient({
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    serverName: 'the server',
    headers: {},
    tls: { insecure: false },
    maxInFlight: 2,
    timeoutMs: 200,
    maxRetries: 0,
    clock: handClock(),
    random: Math.random,
    ...more,
  });
  onTestFinished(async () => {
    await client.close();
    server.closeAllConnections();
    server.close();
  });
  return client;
}

describe('the HTTP client', () => {
  it.each(['abc\n', 'abc\r\nx: 1', 'a–b', 'a\0b', '😀'])('refuses a header that cannot be sent: %j', async (value) => {
    await expect(clientOf(() => undefined, { headers: { authorization: value } })).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('ends a call whose answer trickles in for ever', async () => {
    const client = await clientOf((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const timer = setInterval(() => response.write(' '), 20);
      response.once('close', () => clearInterval(timer));
    });
    await expect(client.get('/')).rejects.toMatchObject({
      code: 'unavailable',
      message: 'the server did not answer within 0.2 s',
    });
  });

  it('does not count the wait for other calls towards the timeout', async () => {
    let [current, most] = [0, 0];
    const client = await clientOf((_, response) => {
      current += 1;
      most = Math.max(most, current);
      setTimeout(() => {
        current -= 1;
        response.setHeader('content-type', 'application/json').end('{}');
      }, 50);
    });
    const answers = await Promise.all(Array.from({ length: 16 }, () => client.get('/')));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(most).toBe(2);
  });

  it('passes turns on when waiting calls are aborted', async () => {
    const client = await clientOf((request, response) => {
      if (request.url === '/fast') response.setHeader('content-type', 'application/json').end('{}');
    });
    await client.get('/fast');
    const slow = [client.get('/slow'), client.get('/slow')].map((call) => call.catch((error: Error) => error.message));
    const aborted = new AbortController();
    const waiting = Array.from({ length: 5 }, () => client.get('/fast', {}, aborted.signal));
    const fast = client.get('/fast');
    await new Promise(setImmediate);
    aborted.abort(new Error('over'));
    for (const call of waiting) await expect(call).rejects.toMatchObject({ code: 'unavailable' });
    expect(await Promise.all(slow)).toEqual(Array(2).fill('the server did not answer within 0.2 s'));
    expect((await fast).status).toBe(200);
  });

  it('settles although its pool has refused requests, which once made it hang', async () => {
    const { Agent, request } = await import('undici');
    const agent = new Agent({ connections: 1 });
    onTestFinished(() => agent.destroy());
    const call = () => {
      const signal = AbortSignal.timeout(100);
      return inTime(
        request('http://127.0.0.1:1/', { dispatcher: agent, headers: { authorization: 'Bearer abc\n' }, signal }),
        signal,
      ).then(
        () => 'answered',
        () => 'failed',
      );
    };
    expect(await Promise.all(Array.from({ length: 5 }, call))).toEqual(Array(5).fill('failed'));
  });
});
