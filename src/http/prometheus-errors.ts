import type { FastifyError, FastifyInstance } from 'fastify';
import { TowerError } from '../kernel/errors.ts';

/** Errors and forms as Prometheus' clients have them, for the routes of one scope. */
export function answerAsPrometheus(app: FastifyInstance): void {
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_, body, done) => {
    const form: Record<string, string | string[]> = {};
    for (const [name, value] of new URLSearchParams(String(body)))
      form[name] = name.endsWith('[]') ? [form[name] ?? [], value].flat() : value;
    done(null, form);
  });
  app.setErrorHandler((error: FastifyError | TowerError, _request, reply) => {
    // Whoever may not ask, asks too often or too much is answered as everywhere.
    if (!(error instanceof TowerError) || error.code !== 'invalid') throw error;
    const errorType = error.details['errorType'] === 'execution' ? 'execution' : 'bad_data';
    return reply
      .code(errorType === 'execution' ? 422 : 400)
      .serializer(JSON.stringify)
      .type('application/json; charset=utf-8')
      .send({ status: 'error', errorType, error: error.message });
  });
}
