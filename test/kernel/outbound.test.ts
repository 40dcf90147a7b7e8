import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createOutbound, isPublic } from '#kernel/outbound.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { noSignal } from '../support/sources.ts';

function outbound(allowed: string[] = [], more: Partial<Parameters<typeof createOutbound>[0]> = {}) {
  const made = createOutbound({ allowed, timeoutMs: 2_000, maxBytes: 1000, ...more });
  whenTestIsOver(() => made.close());
  return made;
}

async function server(
  answer: (path: string) => { status?: number; headers?: Record<string, string>; body?: string } | null,
) {
  const calls: string[] = [];
  const made = createServer((request, response) => {
    calls.push(request.url ?? '');
    const said = answer(request.url ?? '');
    if (said) response.writeHead(said.status ?? 200, said.headers).end(said.body ?? 'ok');
  });
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  whenTestIsOver(() => {
    made.closeAllConnections();
    made.close();
  });
  return { port: (made.address() as AddressInfo).port, calls };
}

const get = (url: string) => ({ method: 'GET' as const, url, headers: {} });

describe('addresses that must not be called', () => {
  it.each([
    'http://127.0.0.1/',
    'https://127.0.0.1/',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://0/',
    'https://10.1.2.3/',
    'https://172.31.0.1/',
    'https://192.168.1.1/',
    'https://100.64.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://224.0.0.1/',
    'https://255.255.255.255/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[fe80::1]/',
    'https://[fc00::1]/',
    'https://[ff02::1]/',
    'https://[2002:7f00:1::]/',
    'https://localhost/',
    'https://LOCALHOST./',
    'https://metadata.google.internal/',
    'https://printer.local/',
    'https://intranet/',
  ])('refuses %s', (url) => {
    expect(() => outbound().check(url, 'url')).toThrow(/^url must not be /);
  });

  it.each([
    ['ftp://example.com/', /^url must begin with https:/],
    ['http://example.com/', /^url must begin with https:\/\/; http is allowed for hosts/],
    ['https://user:pass@example.com/', /^url must not contain a user name or password$/],
    ['example.com', /^url must be a URL such as/],
    ['javascript:alert(1)', /^url must begin with https/],
  ])('refuses %s', (url, text) => {
    expect(() => outbound().check(url, 'url')).toThrow(text);
  });

  it('allows public addresses', () => {
    for (const url of ['https://example.com/x', 'https://93.184.216.34:8443/', 'https://[2606:4700::1111]/'])
      expect(() => outbound().check(url, 'url')).not.toThrow();
    expect(isPublic('8.8.8.8')).toBe(true);
    expect(isPublic('::ffff:8.8.8.8')).toBe(true);
    expect(isPublic('::ffff:10.0.0.1')).toBe(false);
  });

  it.each([
    ['a private address', ['127.0.0.1']],
    ['a private address among public ones', ['93.184.216.34', '127.0.0.1']],
    ['a private address of the other family', ['::ffff:7f00:1']],
    ['nothing', []],
  ])('refuses a name that resolves to %s at the time of the call', async (_what, addresses) => {
    const { port, calls } = await server(() => ({}));
    const resolve = resolver(addresses);
    const sent = outbound([], { resolve }).send(get(`https://rebind.example.com:${port}/`), noSignal);
    await expect(sent).rejects.toThrow(/^rebind\.example\.com resolves to a private or local address/);
    expect(calls).toEqual([]);
  });
});

const resolver =
  (addresses: string[]): NonNullable<Parameters<typeof createOutbound>[0]['resolve']> =>
  (_host, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );

describe('allowed addresses', () => {
  it.each([['127.0.0.1'], ['127.0.0.0/8']])('are allowed by %s', async (entry) => {
    const { port } = await server(() => ({ body: 'hello' }));
    expect(await outbound([entry]).send(get(`http://127.0.0.1:${port}/`), noSignal)).toMatchObject({
      status: 200,
      text: 'hello',
    });
  });

  it('are allowed by name', async () => {
    const { port } = await server(() => ({ body: 'hello' }));
    expect((await outbound(['localhost']).send(get(`http://localhost:${port}/`), noSignal)).text).toBe('hello');
    expect(() => outbound(['localhost']).check('http://127.0.0.1/', 'url')).toThrow(/private or local/);
  });

  it('may resolve to any address if allowed by name', async () => {
    const { port } = await server(() => ({ body: 'hello' }));
    const calls = outbound(['hooks.lan'], { resolve: resolver(['127.0.0.1']) });
    expect((await calls.send(get(`http://hooks.lan:${port}/`), noSignal)).text).toBe('hello');
  });

  it('do not follow redirects', async () => {
    const { port, calls } = await server((path) => (path === '/a' ? { status: 302, headers: { location: '/b' } } : {}));
    expect(await outbound(['127.0.0.1']).send(get(`http://127.0.0.1:${port}/a`), noSignal)).toMatchObject({
      status: 302,
    });
    expect(calls).toEqual(['/a']);
  });

  it('have limits for size and time of answers', async () => {
    const { port } = await server((path) => (path === '/big' ? { body: 'x'.repeat(2000) } : null));
    const calls = outbound(['127.0.0.1'], { timeoutMs: 200 });
    await expect(calls.send(get(`http://127.0.0.1:${port}/big`), noSignal)).rejects.toThrow(/more than 1000 bytes/);
    await expect(calls.send(get(`http://127.0.0.1:${port}/silent`), noSignal)).rejects.toThrow(
      /did not answer within 0.2 s/,
    );
  });

  it.each(['10.0.0.0/33', 'a b', 'http://x', '10.0.0.0/'])('refuses the invalid entry %s', (entry) => {
    expect(() => outbound([entry])).toThrow(/^OUTBOUND_ALLOWED_HOSTS must contain/);
  });
});
