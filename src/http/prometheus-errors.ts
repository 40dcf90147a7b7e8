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
    const isWrong = error instanceof TowerError ? error.code === 'invalid' : error.statusCode === 400;
    // Authentication, rate-limit and overload errors keep the common format.
    if (!isWrong) throw error;
    const execution = error instanceof TowerError && error.details['errorType'] === 'execution';
    const errorType = execution ? 'execution' : 'bad_data';
    return reply
      .code(errorType === 'execution' ? 422 : 400)
      .serializer(JSON.stringify)
      .type('application/json; charset=utf-8')
      .send({ status: 'error', errorType, error: error.message });
  });
}
