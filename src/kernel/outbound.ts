import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import type { Dispatcher, request } from 'undici';
import { invalid, TowerError, unavailable } from './errors.ts';
import { inTime } from './in-time.ts';
import { withoutCredentials } from './without-credentials.ts';

/**
 * HTTP calls to addresses that users provide (webhooks, key sets), guarded against SSRF. A host name is resolved, every
 * resolved address is checked, and the connection goes to a checked address, which defeats DNS rebinding. Redirects are
 * not followed. Refused: loopback, private networks, link-local and metadata addresses, multicast.
 */
export type Outbound = {
  /** @throws `invalid` with the parameter's name if the address may not be called */
  check(url: string, parameter: string): void;
  /** @throws `unavailable` without an answer, `invalid` if the address may not be called */
  send(call: OutboundCall, signal: AbortSignal): Promise<OutboundAnswer>;
  close(): Promise<void>;
};

type OutboundCall = {
  method: 'GET' | 'POST';
  url: string;
  headers: Record<string, string>;
  body?: string;
  /** Discards the response body. */
  ignoreBody?: boolean;
};
/** `text` has at most `maxBytes` bytes; a longer answer is an error. */
export type OutboundAnswer = { status: number; headers: Record<string, string>; text: string };

type Options = {
  /**
   * Hosts, addresses and networks (CIDR) that may be called although they are private; http is allowed for them too.
   */
  allowed: string[];
  timeoutMs: number;
  maxBytes: number;
  /** Resolves a host name to all its addresses; the default is the system resolver. */
  resolve?: Resolve;
};

type Resolve = (host: string, done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void) => void;

export function createOutbound(options: Options): Outbound {
  const allowed = parseAllowed(options.allowed);
  let wire: Promise<{ agent: Dispatcher; request: typeof request }> | null = null;
  const open = async () => {
    const undici = await import('undici');
    const connect = { lookup: guardedLookup(allowed, options.resolve ?? systemResolve), timeout: options.timeoutMs };
    return { agent: new undici.Agent({ connect, connections: 8 }), request: undici.request };
  };
  const check = (text: string, parameter: string): URL => {
    const refuse = (constraint: string) => invalid(`${parameter} ${constraint}`, { parameter, constraint });
    if (!URL.canParse(text)) throw refuse('must be a URL such as https://hooks.example.com/path');
    const url = new URL(text);
    const host = hostOf(url);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('must begin with https://');
    if (url.username || url.password) throw refuse('must not contain a user name or password');
    const isNamed = allowed.hosts.has(host);
    if (isIP(host) && !isNamed && !mayCall(host, allowed))
      throw refuse(`must not be a private or local address (${host}); OUTBOUND_ALLOWED_HOSTS can allow it`);
    if (!isNamed && !isIP(host) && isLocalName(host))
      throw refuse(
        `must not be an address of this machine or its network (${host}); OUTBOUND_ALLOWED_HOSTS can allow it`,
      );
    const isAllowed = isNamed || (isIP(host) !== 0 && isListed(host, allowed));
    if (url.protocol === 'http:' && !isAllowed)
      throw refuse('must begin with https://; http is allowed for hosts in OUTBOUND_ALLOWED_HOSTS only');
    return url;
  };
  return {
    check: (url, parameter) => void check(url, parameter),
    send: async (call, signal) => {
      const url = check(call.url, 'url');
      wire ??= open();
      const limit = AbortSignal.any([signal, AbortSignal.timeout(options.timeoutMs)]);
      try {
        return await inTime(exchange(await wire, url, call, limit, options.maxBytes), limit);
      } catch (error) {
        throw outboundError(error, url, limit, options.timeoutMs);
      }
    },
    close: async () => (await wire)?.agent.destroy(),
  };
}

async function exchange(
  { agent, request }: { agent: Dispatcher; request: typeof import('undici').request },
  url: URL,
  call: OutboundCall,
  signal: AbortSignal,
  maxBytes: number,
): Promise<OutboundAnswer> {
  const { statusCode, headers, body } = await request(url, {
    method: call.method,
    headers: call.headers,
    body: call.body ?? null,
    dispatcher: agent,
    signal,
  });
  if (call.ignoreBody) {
    body.on('error', () => undefined).destroy();
    return { status: statusCode, headers: flatHeaders(headers), text: '' };
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw unavailable(`${url.host} answered with more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return { status: statusCode, headers: flatHeaders(headers), text: Buffer.concat(chunks).toString() };
}

const flatHeaders = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)]),
  );

function outboundError(error: unknown, url: URL, limit: AbortSignal, timeoutMs: number): TowerError {
  const cause = (error as { cause?: unknown }).cause;
  const known = [error, cause].find((item) => item instanceof TowerError);
  if (known) return known;
  const code = (error as { code?: string }).code ?? '';
  if (limit.aborted || code.includes('TIMEOUT'))
    return unavailable(`${url.host} did not answer within ${timeoutMs / 1000} s`, error);
  return unavailable(`cannot reach ${url.host}${code ? ` (${code})` : ''}`, error);
}

type Allowed = { hosts: Set<string>; networks: BlockList };

/** @throws `invalid` for an entry that is no host name, address or network */
export function parseAllowed(entries: string[]): Allowed {
  const hosts = new Set<string>();
  const networks = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address);
    if (family && bits === undefined) networks.addAddress(address, familyName(address));
    else if (family && /^\d{1,3}$/.test(bits ?? '') && Number(bits) <= (family === 4 ? 32 : 128))
      networks.addSubnet(address, Number(bits), familyName(address));
    else if (/^[\w.-]+$/.test(entry)) hosts.add(entry.toLowerCase());
    else {
      const constraint = 'must contain host names, addresses or networks such as 10.1.0.0/16';
      throw invalid(`OUTBOUND_ALLOWED_HOSTS ${constraint} (got ${JSON.stringify(withoutCredentials(entry))})`, {
        parameter: 'OUTBOUND_ALLOWED_HOSTS',
        constraint,
      });
    }
  }
  return { hosts, networks };
}

const systemResolve: Resolve = (host, done) => lookup(host, { all: true }, done);

/** DNS lookup that returns addresses only if every one of them may be called. */
const guardedLookup =
  (allowed: Allowed, resolve: Resolve): LookupFunction =>
  (host, options, done) => {
    resolve(host, (error, addresses) => {
      if (error) return done(error, []);
      const bad = allowed.hosts.has(host.toLowerCase())
        ? undefined
        : addresses.find(({ address }) => !mayCall(address, allowed));
      if (bad || addresses.length === 0) {
        const reason = `${host} resolves to a private or local address (${bad?.address ?? 'none'}); OUTBOUND_ALLOWED_HOSTS can allow it`;
        return done(invalid(reason, { parameter: 'url' }), []);
      }
      if (options.all) return done(null, addresses);
      return done(null, addresses[0]?.address ?? '', addresses[0]?.family);
    });
  };

/** Whether an address is public, or private and explicitly allowed. */
function mayCall(address: string, allowed: Allowed): boolean {
  return isListed(address, allowed) || isPublic(address);
}

const isListed = (address: string, { networks }: Allowed): boolean => {
  const plain = unmapped(address);
  return networks.check(plain, familyName(plain));
};

/** Public = globally routable (IANA special-purpose registries, RFC 6890). */
export function isPublic(address: string): boolean {
  const plain = unmapped(address);
  if (isIP(plain) === 4) return !specialV4.check(plain, 'ipv4');
  return globalV6.check(plain, 'ipv6') && !specialV6.check(plain, 'ipv6');
}

/** Unwraps IPv4-mapped IPv6 addresses in any notation: `::ffff:10.0.0.1` is 10.0.0.1. */
function unmapped(address: string): string {
  if (isIP(address) !== 6) return address;
  const host = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [, high = '', low = ''] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host) ?? [];
  if (high === '') return host;
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}

const familyName = (address: string) => (isIP(address) === 4 ? ('ipv4' as const) : ('ipv6' as const));

const networksOf = (family: 'ipv4' | 'ipv6', networks: string[]): BlockList => {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    list.addSubnet(address, Number(bits), family);
  }
  return list;
};

const specialV4 = networksOf('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);
const globalV6 = networksOf('ipv6', ['2000::/3']);
const specialV6 = networksOf('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']);

const hostOf = (url: URL): string =>
  url.hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();

const isLocalName = (host: string): boolean =>
  host === 'localhost' || /\.(localhost|local|internal|lan|home\.arpa)$/.test(host) || !host.includes('.');
