import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHttpClient } from '#kernel/http-client.ts';
import { proxiesOf, proxyFor } from '#kernel/proxies.ts';
import { handClock } from '../support/sources.ts';

const proxy = 'http://proxy.example.com:3128';
const isProxied = (exceptions: string, address: string) =>
  proxyFor(proxiesOf({ https_proxy: proxy, http_proxy: proxy, no_proxy: exceptions }), address) !== null;

describe('NO_PROXY', () => {
  it.each([
    ['example.com', 'https://example.com', false],
    ['example.com', 'https://www.example.com', false],
    ['example.com', 'https://example.com:8443', false],
    ['example.com', 'https://notexample.com', true],
    ['.example.com', 'https://www.example.com', false],
    ['.example.com', 'https://example.com', false],
    ['*.example.com', 'https://a.b.example.com', false],
    ['EXAMPLE.com.', 'https://www.Example.com', false],
    ['localhost, example.com 10.0.0.1', 'http://10.0.0.1/x', false],
    ['*', 'https://anything.example', false],
    ['', 'https://example.com', true],
    ['10.0.0.0/8', 'http://10.200.3.4', false],
    ['10.0.0.0/8', 'http://11.0.0.1', true],
    ['192.168.1.0/24,172.16.0.0/12', 'http://172.31.255.1', false],
    ['192.168.1.7/32', 'http://192.168.1.8', true],
    ['10.0.0.0/0', 'http://8.8.8.8', false],
    ['10.0.0.0/33', 'http://10.0.0.0', true],
    ['10.0.0.0/', 'http://10.0.0.0', true],
    ['10.0', 'http://10.0.0.1', true],
    ['fd00::/8', 'http://[fd12::1]:5000', false],
    ['[fd12::1]', 'http://[fd12::1]', false],
    ['::1', 'http://[::1]:5000', false],
    ['fd00::/8', 'http://[fe80::1]', true],
    ['example.com:8080', 'http://example.com:8080', false],
    ['example.com:8080', 'http://example.com', true],
    ['com', 'https://example.com', false],
  ])('"%s" for %s', (exceptions, address, expected) => {
    expect(isProxied(exceptions, address)).toBe(expected);
  });
});

describe('the variables of proxies', () => {
  it.each([
    [{ HTTPS_PROXY: proxy }, 'https://a.example', proxy],
    [{ HTTPS_PROXY: proxy }, 'http://a.example', null],
    [{ HTTP_PROXY: proxy }, 'http://a.example', proxy],
    [{ http_proxy: 'http://one:1', HTTP_PROXY: 'http://two:2' }, 'http://a.example', 'http://one:1'],
    [{ ALL_PROXY: 'proxy:8080' }, 'https://a.example', 'http://proxy:8080'],
    [{ https_proxy: ` ${proxy}\n`, no_proxy: '', NO_PROXY: '*' }, 'https://a.example', proxy],
    [{ https_proxy: proxy, NO_PROXY: '*' }, 'https://a.example', null],
    [{}, 'https://a.example', null],
  ])('%o for %s', (env, address, expected) => {
    expect(proxyFor(proxiesOf(env), address)).toBe(expected);
  });

  it.each([
    { https_proxy: 'socks5://user:secret@proxy:1080' },
    { HTTP_PROXY: 'http://user:secret@[::' },
  ])('are refused by name, without the password: %o', (env) => {
    const refused = () => proxiesOf(env);
    expect(refused).toThrow(Object.keys(env)[0]);
    expect(refused).not.toThrow('secret');
  });
});

/** An HTTP proxy that forwards requests and tunnels, and what it was asked for. */
async function forwardProxy() {
  const asked: { target: string; authorization: string | undefined }[] = [];
  const note = ({ url, headers }: IncomingMessage) =>
    asked.push({ target: url ?? '', authorization: headers['proxy-authorization'] });
  const server = createServer((incoming, response) => {
    note(incoming);
    const { authorization: _, ...headers } = incoming.headers;
    incoming.pipe(
      request(incoming.url!, { method: incoming.method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      }),
    );
  });
  server.on('connect', (incoming: IncomingMessage, socket, head) => {
    note(incoming);
    const [host = '', port] = (incoming.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.write(head);
      target.pipe(socket).pipe(target);
    });
    target.on('error', () => socket.destroy());
    socket.on('error', () => target.destroy());
  });
  return { url: await listening(server), asked };
}

async function listening(server: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('the client sends its calls through a proxy, with its credentials', async () => {
  const url = await listening(
    createServer((_, response) => response.setHeader('content-type', 'application/json').end('{"a":1}')),
  );
  const { url: proxyUrl, asked } = await forwardProxy();
  const client = createHttpClient({
    baseUrl: url,
    serverName: 'MLflow',
    headers: { authorization: 'Bearer of-the-server' },
    tls: { insecure: false },
    proxy: proxyUrl.replace('//', '//me:secret@'),
    maxInFlight: 2,
    timeoutMs: 5_000,
    maxRetries: 0,
    clock: handClock(),
    random: Math.random,
  });
  onTestFinished(() => client.close());
  expect((await client.get('/x')).json).toEqual({ a: 1 });
  expect(asked).toEqual([
    {
      target: expect.stringContaining(new URL(url).host) as string,
      authorization: `Basic ${Buffer.from('me:secret').toString('base64')}`,
    },
  ]);
});
