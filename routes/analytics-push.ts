import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { errors, tags } from '#http/route-schemas.ts';
import type { Analytics } from '#services/analytics/analytics.ts';
import { RecordAnswer } from '#services/analytics/schemas.ts';

/** Points are not audited: an audit record per point would drown all others. */
const pushing = { access: 'record', quota: 'record', audited: false } as const;

/** Prometheus push formats. */
export async function analyticsPushRoutes(
  instance: FastifyInstance,
  { analytics }: { analytics: Analytics },
): Promise<void> {
  instance.addContentTypeParser(
    ['application/x-protobuf', 'application/octet-stream'],
    { parseAs: 'buffer' },
    (_, body, done) => done(null, body),
  );
  // curl's default content type is that of a form.
  for (const type of [/^text\/plain/, 'application/x-www-form-urlencoded'])
    instance.addContentTypeParser(type, { parseAs: 'string' }, (_, body, done) => done(null, body));
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/prometheus/api/v1/write',
    {
      config: pushing,
      schema: {
        tags: [tags.analytics],
        summary: 'Prometheus remote write 1.0: a WriteRequest, compressed with snappy',
        consumes: ['application/x-protobuf'],
        body: z.instanceof(Buffer, { error: 'must be a WriteRequest, sent as application/x-protobuf' }),
        response: { 204: z.null().describe('Recorded'), ...errors(400) },
      },
    },
    async (request, reply) => {
      await analytics.takeWrite(request.body);
      return reply.code(204).send(null);
    },
  );
  app.post(
    '/prometheus/api/v1/import/prometheus',
    {
      config: pushing,
      schema: {
        tags: [tags.analytics],
        summary: 'Push points in Prometheus’ text format; refused points are reported by line',
        consumes: ['text/plain'],
        body: z.string('must be text in Prometheus’ exposition format, sent as text/plain'),
        response: { 200: RecordAnswer, ...errors(400) },
      },
    },
    async (request) => analytics.takeText(request.body),
  );
}
