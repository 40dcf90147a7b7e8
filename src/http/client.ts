import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';

/** The client of a request, by which work is limited: the authenticated identity, else the address. */
export const clientOf = ({ caller, ip, socket }: FastifyRequest): string =>
  caller.via === 'none' ? addressOf(ip, socket.remoteAddress) : `${caller.via} ${caller.name}`;

/**
 * An IPv4 address, or the /64 network of an IPv6 address, which one host can use as a whole. Proxies may forward
 * `address:port`; anything else that they forward counts as the address of the connection.
 */
export function addressOf(forwarded: string | undefined, connection = ''): string {
  // A connection that was reset has no address.
  const bare = (forwarded ?? '')
    .trim()
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined || isIP(bare) === 4) return mapped ?? bare;
  if (isIP(bare) === 6) return networkOf(bare);
  return connection === '' ? 'unknown' : addressOf(connection);
}

/** The first 64 bits of an IPv6 address: `2001:db8:0:1::/64`. */
function networkOf(address: string): string {
  // The URL parser writes every address in the same, compressed form.
  const canonical = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = '', tail = ''] = canonical.split('::');
  const [first, last] = [head, tail].map((part) => (part === '' ? [] : part.split(':')));
  const zeros = Array.from({ length: 8 - first!.length - last!.length }, () => '0');
  const groups = canonical.includes('::') ? [...first!, ...zeros, ...last!] : first!;
  return `${groups.slice(0, 4).join(':')}::/64`;
}
