import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '#kernel/clock.ts';
import { forbidden, TowerError } from '#kernel/errors.ts';
import type { RootLog } from '#kernel/log.ts';
import type { Access } from '#services/access/access.ts';
import type { Caller, Scope } from '#services/access/scopes.ts';
import type { RequestLimiter } from './limits.ts';
import { createRefusals } from './refusals.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Permission required by a route. `signed`: the route verifies a signature itself. A route without one fails at
     * start.
     */
    access?: 'public' | 'signed' | Scope;
    /** false: a POST that changes nothing and is not written to the audit log. */
    audited?: boolean;
  }
  interface FastifyRequest {
    caller: Caller;
    /** Result of a change for the audit log: the id of the created resource. */
    outcome: Record<string, string> | null;
    /** Whether the audit log has the row before the change, and not yet the one after it. */
    isAuditPending: boolean;
  }
}

/** The client of a request without valid credentials. */
export const unauthenticatedCaller: Caller = { name: 'unauthenticated', via: 'none', scopes: [] };
const methodsThatOnlyRead = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Authentication and authorization hooks. Every route declares its permission, every client is authenticated before
 * anything else runs, and a change is written to the audit log before it is made. If the audit log cannot be written,
 * nothing is changed.
 */
export function registerAuthentication(
  app: FastifyInstance,
  { access, log, clock, limit }: { access: Access; log: RootLog; clock: Clock; limit: RequestLimiter },
): void {
  const refused = createRefusals({ access, log, clock });
  app.decorateRequest('caller');
  app.decorateRequest('isAuditPending', false);
  app.decorateRequest('outcome', null);
  app.addHook('onRoute', ({ url, config, schema }) => {
    // Hidden routes are the documentation pages, which contain no data.
    if (!config?.access && !schema?.hide)
      throw new Error(`the route ${url} declares no required scope (config.access)`);
  });
  app.addHook('onRequest', (request, reply, done) => {
    const needed = request.routeOptions.config.access ?? 'public';
    request.caller = access.anonymousCaller ?? unauthenticatedCaller;
    if (needed !== 'public' && needed !== 'signed' && !access.anonymousCaller)
      return admit({ access, limit, refused }, request, reply, needed);
    limit(request, reply);
    return done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    if (!isAudited(request)) return done();
    return note(access, request, 'requested', null).then(() => {
      request.isAuditPending = true;
    });
  });
  // Before the answer is sent, whether or not the client is still connected.
  app.addHook('onSend', async (request, reply) => {
    if (!request.isAuditPending) return;
    request.isAuditPending = false;
    await note(access, request, 'done', reply.statusCode).catch((error: unknown) => {
      log.error({ err: error, request_id: request.id }, 'failed to record the outcome of a change in the audit log');
    });
  });
}

/** The caller by the credentials of the request, checked again: a key may have been revoked, a token may have expired. */
export const currentCaller = (access: Access, request: FastifyRequest): Promise<Caller> =>
  access.identify(credentialsOf(request)).catch(() => unauthenticatedCaller);

type Admission = { access: Access; limit: RequestLimiter; refused: ReturnType<typeof createRefusals> };

/** Counts the request for its identity; one without valid credentials for its address: wrong guesses get 429 beyond the limit. */
async function admit(
  { access, limit, refused }: Admission,
  request: FastifyRequest,
  reply: FastifyReply,
  needed: Scope,
): Promise<void> {
  const realm = 'Bearer realm="control tower"';
  try {
    request.caller = await access.identify(credentialsOf(request));
  } catch (error) {
    limit(request, reply);
    if (error instanceof TowerError && error.code === 'unauthenticated') {
      reply.header('www-authenticate', realm);
      // A request without credentials is no attempt.
      if (credentialsOf(request) !== undefined) refused(request, error, 401);
    }
    throw error;
  }
  limit(request, reply);
  const { name, scopes } = request.caller;
  if (access.mayDo(request.caller, needed)) return;
  reply.header('www-authenticate', `${realm}, error="insufficient_scope", scope="${needed}"`);
  const error = forbidden(`Scope ${needed} is required; ${name} has ${scopes.join(', ') || 'none'}`, { scope: needed });
  refused(request, error, 403);
  throw error;
}

/** The key from `Authorization: Bearer …`, else from `X-API-Key`. */
function credentialsOf({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const key = headers['x-api-key'];
  return bearer ?? (typeof key === 'string' && key !== '' ? key : undefined);
}

const isAudited = ({ method, routeOptions: { config, url } }: FastifyRequest): boolean =>
  url !== undefined && !methodsThatOnlyRead.has(method) && config.audited !== false;

function note(
  access: Access,
  request: FastifyRequest,
  phase: 'requested' | 'done',
  status: number | null,
): Promise<void> {
  const { caller, ip, method, routeOptions, params, query, body, id } = request;
  return access.audit.record({
    phase,
    actor: caller.name,
    via: caller.via,
    address: ip,
    action: `${method} ${routeOptions.url}`,
    target: { ...(params as object), ...(query as object) },
    // A body without a schema may be arbitrarily deep, so it is not recorded.
    details: phase === 'done' ? (request.outcome ?? {}) : routeOptions.schema?.body ? body : {},
    status,
    requestId: id,
  });
}
