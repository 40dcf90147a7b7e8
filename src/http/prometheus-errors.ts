import type { FastifyError, FastifyInstance } from 'fastify';
import { TowerError } from '#kernel/errors.ts';

/** Prometheus' error format and parameter forms, for the routes of one scope. */
export function usePrometheusErrors(app: FastifyInstance): void {
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_, body, done) => {
    const form: Record<string, string | string[]> = {};
    const given = new URLSearchParams(String(body));
    for (const name of new Set(given.keys())) form[name] = name.endsWith('[]') ? given.getAll(name) : given.get(name)!;
    done(null, form);
  });
  app.setErrorHandler((error: FastifyError | TowerError, _request, reply) => {
    const answer = answerTo(error);
    // Authentication and rate-limit errors keep the common format.
    if (!answer) throw error;
    const [status, errorType] = answer;
    if (error instanceof TowerError && error.retryAfterSeconds !== undefined)
      reply.header('retry-after', String(error.retryAfterSeconds));
    return reply
      .code(status)
      .serializer(JSON.stringify)
      .type('application/json; charset=utf-8')
      .send({ status: 'error', errorType, error: error.message });
  });
}

/** Prometheus' statuses and error types (prometheus.io/docs/prometheus/latest/querying/api). */
function answerTo(error: FastifyError | TowerError): [status: number, errorType: string] | null {
  if (!(error instanceof TowerError)) return error.statusCode === 400 ? [400, 'bad_data'] : null;
  const { errorType } = error.details;
  if (error.code === 'unavailable') return [503, errorType === 'timeout' ? 'timeout' : 'unavailable'];
  if (error.code !== 'invalid') return null;
  return errorType === 'execution' ? [422, 'execution'] : [400, 'bad_data'];
}
