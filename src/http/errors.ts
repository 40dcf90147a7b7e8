import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ErrorCode, TowerError } from '#kernel/errors.ts';

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
      details: z.record(z.string(), z.unknown()).describe('Names the field and the rule where there is one'),
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
    const { error, status } = translate(thrown, request.id);
    // An unavailable dependency is in /health and in the log of the job that noticed; probes must not flood the log.
    if (status === 500)
      request.log.error(
        { err: thrown, request_id: request.id, method: request.method, path: request.routeOptions.url },
        'a request failed',
      );
    return sendError(reply, error, status, now());
  });
}

/** Answers requests that the router refuses (a malformed or too long URL) with an `ErrorBody`. */
export const refuseAddress = (now: () => number) => (error: FastifyError, _request: unknown, reply: FastifyReply) => {
  void sendError(
    reply,
    new TowerError('invalid', `The address is not valid: ${addressRule[error.code] ?? 'it cannot be read'}`),
    400,
    now(),
  );
};

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
    const [status, reason, text] = byteRule[error.code ?? ''] ?? [400, 'Bad Request', 'This is not HTTP'];
    const body = JSON.stringify(bodyOf(new TowerError('invalid', text), now()));
    const headers = `content-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
    socket.end(`HTTP/1.1 ${status} ${reason}\r\n${headers}\r\n\r\n${body}`);
  };

const byteRule: Record<string, [status: number, reason: string, text: string]> = {
  HPE_HEADER_OVERFLOW: [
    431,
    'Request Header Fields Too Large',
    'Address and headers together must not be longer than 16 KB',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'The request did not come within the time allowed'],
};

const addressRule: Record<string, string> = {
  FST_ERR_BAD_URL: 'a % must be followed by two hexadecimal digits (%25 for a % itself)',
  FST_ERR_MAX_PARAM_LENGTH: 'a part of it is too long',
};

/** Answers unknown paths with an `ErrorBody`; they count against the rate limit too. */
export function handleUnknownPaths(app: FastifyInstance, now: () => number): void {
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) => {
    const path = request.url.replace(/\?.*$/, '');
    return sendError(
      reply,
      new TowerError('not_found', `There is no ${request.method} ${path}; /docs lists what there is`),
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
  if (thrown instanceof TowerError) return { error: thrown, status: statusOf[thrown.code] };
  const status = thrown.statusCode ?? 500;
  // Fastify's own client errors (body too large, not JSON, unknown content type) have public texts.
  if (status === 415)
    return {
      error: new TowerError('invalid', 'content-type must be one that this path takes; /docs says which'),
      status,
    };
  if (status >= 400 && status < 500) return { error: new TowerError('invalid', thrown.message), status };
  return {
    error: new TowerError('internal', `Internal error; the log has the details under request id ${requestId}`, {
      details: { request_id: requestId },
    }),
    status: 500,
  };
}

const mostIssues = 10;

/** Validates a part of a request against its zod schema; the error names each field and its rule. */
export function validatorCompiler({ schema, httpPart }: { schema: unknown; httpPart?: string | undefined }) {
  return (data: unknown) => {
    const parsed = (schema as z.ZodType).safeParse(data);
    if (parsed.success) return { value: parsed.data };
    const all = parsed.error.issues.flatMap((issue) => rulesOf(issue, httpPart ?? 'request'));
    // Caps the issues shown: ten thousand invalid values do not need ten thousand lines.
    const issues = all.slice(0, mostIssues);
    const text = issues.map(({ parameter, constraint }) =>
      /^[A-Z]/.test(constraint) ? constraint : `${parameter} ${constraint}`,
    );
    if (all.length > mostIssues) text.push(`and ${all.length - mostIssues} more`);
    return { error: new TowerError('invalid', text.join('; '), { details: { ...issues[0], issues } }) };
  };
}

/** Fields and the rules they break; a complete sentence starts with a capital. */
function rulesOf(issue: z.core.$ZodIssue, part: string): { parameter: string; constraint: string }[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      parameter: [...issue.path, key].join('.'),
      constraint: `is not a known field of the ${part}`,
    }));
  }
  const constraint = issue.message
    .replace('Invalid input: expected', 'must be')
    .replace(', received undefined', ', but is missing');
  return [{ parameter: issue.path.join('.') || part, constraint }];
}
