import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ErrorCode, TowerError } from '#kernel/errors.ts';
import { validate } from '#kernel/validate.ts';
import { unauthenticatedCaller } from './auth.ts';
import type { RequestLimiter } from './limits.ts';
import { UnsupportedMedia } from './media.ts';

/** The only mapping from error codes to HTTP statuses. */
const statusOf: Record<ErrorCode, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  limited: 429,
  unavailable: 503,
  internal: 500,
};

/** The error body of every route: `detail` for people and older clients, `error` for programs. */
export const ErrorBody = z
  .object({
    detail: z.string(),
    error: z.object({
      type: z
        .string()
        .describe('invalid, unauthenticated, forbidden, not_found, conflict, limited, unavailable or internal'),
      message: z.string(),
      details: z.record(z.string(), z.unknown()).describe('The field and the rule it breaks, if known'),
      timestamp: z.iso.datetime(),
    }),
  })
  .meta({
    id: 'Error',
    examples: [
      {
        detail: 'Model not found in MLflow',
        error: {
          type: 'not_found',
          message: 'Model not found in MLflow',
          details: { model_name: 'churn-predictor', model_version: '99' },
          timestamp: '2026-11-20T10:30:00.000Z',
        },
      },
    ],
  });

/** Answers every error with an `ErrorBody`. */
export function handleErrors(app: FastifyInstance, now: () => number): void {
  app.setErrorHandler((thrown: FastifyError | TowerError, request: FastifyRequest, reply: FastifyReply) => {
    const { error, status } = asSenderExpects(translate(thrown, request.id), request);
    // An unavailable dependency is in /health and in the log of the job that noticed; probes must not flood the log.
    if (status === 500)
      request.log.error(
        { err: thrown, request_id: request.id, method: request.method, path: request.routeOptions.url },
        'request failed',
      );
    return sendError(reply, error, status, now());
  });
}

type Translated = ReturnType<typeof translate>;

/** 503 in place of 429 for routes whose senders drop what they sent on 429. */
function asSenderExpects(translated: Translated, { routeOptions }: FastifyRequest): Translated {
  const { error, status } = translated;
  if (status !== 429 || routeOptions.config?.dropsOn429 !== true) return translated;
  const { message, details, retryAfterSeconds = 1 } = error;
  return { error: new TowerError('unavailable', message, { details, retryAfterSeconds }), status: 503 };
}

/** Answers requests that the router refuses (a malformed or too long URL) with an `ErrorBody`; they are rate-limited. */
export const refuseAddress =
  (now: () => number, limit: RequestLimiter) =>
  (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const refusal = new TowerError('invalid', `Invalid URL: ${addressRule[thrown.code] ?? 'it cannot be parsed'}`);
    const error = limitedOr(refusal, limit, request, reply);
    sendError(reply, error, statusOf[error.code], now());
  };

/** The error of the rate limit, if the request exceeds it. */
function limitedOr(refusal: TowerError, limit: RequestLimiter, request: FastifyRequest, reply: FastifyReply) {
  try {
    request.caller = unauthenticatedCaller;
    limit(request, reply);
    return refusal;
  } catch (error) {
    return error instanceof TowerError ? error : refusal;
  }
}

/**
 * Answers requests that Node’s HTTP parser refuses (headers too long, too slow, not HTTP) with an `ErrorBody`, and
 * closes the connection.
 */
export const refuseBytes =
  (now: () => number) =>
  (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const [status, reason, text] = byteRule[error.code ?? ''] ?? [400, 'Bad Request', 'Not a valid HTTP request'];
    const body = JSON.stringify(bodyOf(new TowerError('invalid', text), now()));
    const headers = `content-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
    socket.end(`HTTP/1.1 ${status} ${reason}\r\n${headers}\r\n\r\n${body}`);
  };

const byteRule: Record<string, [status: number, reason: string, text: string]> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'URL and headers together must be at most 16 KB'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'The request was not received in time'],
};

const addressRule: Record<string, string> = {
  FST_ERR_BAD_URL: 'a % must be followed by two hexadecimal digits (%25 for a % itself)',
  FST_ERR_MAX_PARAM_LENGTH: 'a path segment is too long',
};

/** Answers unknown paths with an `ErrorBody`; they count against the rate limit too. */
export function handleUnknownPaths(app: FastifyInstance, now: () => number): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.replace(/\?.*$/, '');
    return sendError(
      reply,
      new TowerError('not_found', `${request.method} ${path} not found; /docs lists all routes`),
      404,
      now(),
    );
  });
}

function sendError(reply: FastifyReply, error: TowerError, status: number, now: number): FastifyReply {
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds));
  return reply.code(status).type('application/json; charset=utf-8').serializer(JSON.stringify).send(bodyOf(error, now));
}

const bodyOf = ({ code, message, details }: TowerError, now: number): z.infer<typeof ErrorBody> => ({
  detail: message,
  error: { type: code, message, details, timestamp: new Date(now).toISOString() },
});

function translate(thrown: FastifyError | TowerError, requestId: string): { error: TowerError; status: number } {
  if (thrown instanceof UnsupportedMedia) return { error: thrown, status: 415 };
  if (thrown instanceof TowerError) return { error: thrown, status: statusOf[thrown.code] };
  const status = thrown.statusCode ?? 500;
  // Fastify's own client errors (body too large, not JSON, unknown content type) have public texts.
  if (status === 415)
    return {
      error: new TowerError('invalid', 'content-type must be one that this path accepts, see /docs'),
      status,
    };
  if (status >= 400 && status < 500) return { error: new TowerError('invalid', thrown.message), status };
  return {
    error: new TowerError('internal', `Internal error; the log has details under request id ${requestId}`, {
      details: { request_id: requestId },
    }),
    status: 500,
  };
}

/** Validates a part of a request against its zod schema. */
export const validatorCompiler =
  ({ schema, httpPart }: { schema: unknown; httpPart?: string | undefined }) =>
  (data: unknown) =>
    validate(schema as z.ZodType, data, httpPart ?? 'request');
