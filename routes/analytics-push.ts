import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { textOf, UnsupportedMedia } from '#http/media.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Analytics } from '#services/analytics/analytics.ts';
import type { RemoteWriteVersion } from '#services/analytics/ingest/remote-write.ts';
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
  // Fastify's own parser of this type decodes text before it is decompressed.
  instance.removeContentTypeParser('text/plain');
  // curl's default content type is that of a form.
  for (const type of [/^text\/plain/, 'application/x-www-form-urlencoded'])
    instance.addContentTypeParser(type, { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/prometheus/api/v1/write',
    {
      config: { ...pushing, encoding: 'snappy', dropsOn429: true },
      schema: {
        tags: [tags.analytics],
        summary: 'Prometheus remote write 1.0 and 2.0, compressed with snappy',
        description:
          'The content type names the version: application/x-protobuf, or application/x-protobuf;proto=io.prometheus.write.v2.Request. The headers X-Prometheus-Remote-Write-Samples-Written, -Histograms-Written and -Exemplars-Written count what was stored.',
        consumes: ['application/x-protobuf'],
        body: z.instanceof(Buffer, { error: 'must be a remote-write request, sent as application/x-protobuf' }),
        response: { 204: z.null().describe('Recorded'), ...errors(400, 415, 503) },
      },
    },
    async (request, reply) => {
      const version = versionOf(request.headers['content-type'] ?? '');
      const { samples, problem } = await analytics.takeWrite(request.body, version);
      reply.headers({
        'x-prometheus-remote-write-samples-written': String(samples),
        'x-prometheus-remote-write-histograms-written': '0',
        'x-prometheus-remote-write-exemplars-written': '0',
      });
      if (problem) throw problem;
      return reply.code(204).send(null);
    },
  );
  app.post(
    '/prometheus/api/v1/import/prometheus',
    {
      config: { ...pushing, encoding: 'gzip' },
      schema: {
        tags: [tags.analytics],
        summary:
          'Push points in Prometheus’ text format, also compressed with gzip; refused points are reported by line',
        consumes: ['text/plain'],
        body: z.instanceof(Buffer, { error: 'must be text in Prometheus’ exposition format, sent as text/plain' }),
        response: { 200: RecordAnswer, ...errors(400, 415) },
      },
    },
    async (request) => analytics.takeText(await textOf(request.body, request.headers['content-encoding'])),
  );
}

const messages: Record<string, RemoteWriteVersion> = {
  'prometheus.writerequest': '1.0',
  'io.prometheus.write.v2.request': '2.0',
};

/** The version that the parameter `proto` of a content type names; without one, 1.0. @throws UnsupportedMedia */
function versionOf(contentType: string): RemoteWriteVersion {
  const proto = /;\s*proto\s*=\s*"?([^";\s]*)/i.exec(contentType)?.[1];
  const version = proto === undefined ? '1.0' : messages[proto.toLowerCase()];
  if (version) return version;
  throw new UnsupportedMedia(
    'content-type',
    contentType,
    'application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request',
  );
}
