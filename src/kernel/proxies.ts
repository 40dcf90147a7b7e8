import { BlockList, isIP } from 'node:net';
import { invalid } from './errors.ts';

/** Forward proxies for outgoing connections, from the variables that curl reads. */
export type Proxies = {
  /** For http:// and https:// addresses; may contain a password. */
  http: string | undefined;
  https: string | undefined;
  /** NO_PROXY: hosts and their subdomains, addresses, networks (CIDR), `*`; separated by commas or spaces. */
  exceptions: string;
};

const variables = {
  http: ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'],
  https: ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'],
  exceptions: ['no_proxy', 'NO_PROXY'],
} as const;

/** The lower-case variable counts if both are set. @throws TowerError `invalid` for what is no address of an HTTP proxy */
export function proxiesOf(env: Record<string, string | undefined>): Proxies {
  const read = (names: readonly string[]): string | undefined => {
    for (const name of names) {
      const value = env[name]?.trim();
      if (!value) continue;
      // As in curl, a proxy without a scheme is an HTTP proxy.
      const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
      if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
      const constraint = 'must be the address of an HTTP proxy, such as http://proxy.example.com:3128';
      throw invalid(`${name} ${constraint}`, { parameter: name, constraint });
    }
    return undefined;
  };
  const [http, https] = [read(variables.http), read(variables.https)];
  const exceptions = variables.exceptions.map((name) => env[name]).find((value) => value !== undefined) ?? '';
  return { http, https, exceptions };
}

/** The proxy for an address; null: none. */
export function proxyFor({ http, https, exceptions }: Proxies, address: string): string | null {
  const { protocol, hostname, port } = new URL(address);
  const proxy = protocol === 'https:' ? https : http;
  return proxy === undefined || isException(exceptions, hostname, port || (protocol === 'https:' ? '443' : '80'))
    ? null
    : proxy;
}

/** Port numbers after a host are understood as well, as by Python's libraries. */
function isException(exceptions: string, hostname: string, port: string): boolean {
  const host = hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  return exceptions
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === '*') return true;
      const [, bracketed, named, ofPort] = /^(?:\[([^\]]*)\]|([^:]*|[^:]*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? [];
      const plain = (bracketed ?? named ?? '').replace(/^\*?\./, '').replace(/\.$/, '');
      if (plain === '' || (ofPort !== undefined && ofPort !== port)) return false;
      if (isIP(host) === 0) return host === plain || host.endsWith(`.${plain}`);
      return isInNetwork(host, plain);
    });
}

function isInNetwork(address: string, network: string): boolean {
  const [start = '', bits] = network.split('/');
  const family = isIP(start);
  if (family === 0 || isIP(address) !== family) return false;
  const name = family === 4 ? 'ipv4' : 'ipv6';
  const length = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  if (!Number.isInteger(length) || length < 0 || length > (family === 4 ? 32 : 128) || bits === '') return false;
  const list = new BlockList();
  list.addSubnet(start, length, name);
  return list.check(address, name);
}
