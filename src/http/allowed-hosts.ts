import { isIP } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '#config/config.ts';
import { forbidden } from '#kernel/errors.ts';

/**
 * Protection of a server without authentication against web pages: a page can reach a loopback server through a DNS name
 * that it points there (DNS rebinding), and can send requests to other origins without reading the answers. Programs
 * send the address they were given, and none of the headers of browsers.
 */

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Registers the checks, unless authentication is on: then a page lacks the credentials. */
export function registerAllowedHosts(app: FastifyInstance, config: Config): void {
  if (config.AUTH_ENABLED) return;
  const isAllowedHost = allowedHosts(config);
  const origins = new Set(config.CORS_ORIGINS);
  app.addHook('onRequest', (request, _reply, done) => {
    const { host = '' } = request.headers;
    if (!isAllowedHost(hostnameOf(host)))
      return done(
        forbidden(`Host ${JSON.stringify(host.slice(0, 100))} is not allowed: add it to ALLOWED_HOSTS`, {
          parameter: 'host',
        }),
      );
    if (!safeMethods.has(request.method) && isFromAnotherOrigin(request, origins))
      return done(
        forbidden('changes by pages of another origin are not allowed: add the origin to CORS_ORIGINS', {
          parameter: 'origin',
        }),
      );
    return done();
  });
}

function allowedHosts({ API_HOST, ALLOWED_HOSTS }: Config): (hostname: string) => boolean {
  const listensOnAll = API_HOST === '0.0.0.0' || API_HOST === '::';
  const names = new Set([API_HOST, ...ALLOWED_HOSTS].map((name) => name.toLowerCase()));
  // A page cannot point an address to another one, only a name.
  return (hostname) =>
    names.has(hostname) || isLoopback(hostname) || (listensOnAll && isIP(hostname) !== 0) || hostname === '';
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '::1' || (isIP(hostname) === 4 && hostname.startsWith('127.'));

/** Without port and brackets. Empty: HTTP/1.0 without the header, which no browser sends. */
const hostnameOf = (host: string): string =>
  host
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');

function isFromAnotherOrigin({ headers }: FastifyRequest, allowed: ReadonlySet<string>): boolean {
  const { origin, host } = headers;
  if (origin !== undefined && (allowed.has(origin) || allowed.has('*'))) return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  return origin !== undefined && URL.parse(origin)?.host !== host?.toLowerCase();
}
