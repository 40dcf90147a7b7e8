import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { sendList, setFreshnessHeaders } from '#http/replies.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { ListAnswer } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Changes } from '#services/registry/changes.ts';
import type { AllRegistries } from '#services/registry/lists/all-registries.ts';
import { ExperimentList, ModelList, ModelListQuery, PageQuery, StageListQuery } from '#services/registry/schemas.ts';
import type { Stage } from '#services/registry/snapshot/stages.ts';
import { eventRoutes } from './registry-changes.ts';

type Deps = { all: AllRegistries; changes: Changes; access: Access; clock: Clock };

/** Lists, events and the stream over several registries. Routes of a single registry are under `/registries/{name}`. */
export async function allRegistriesRoutes(
  instance: FastifyInstance,
  { all, changes, access, clock }: Deps,
): Promise<void> {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const config = { access: 'read' } as const;
  const send = (request: FastifyRequest, reply: FastifyReply, answer: ListAnswer) => {
    const missing = all.missing();
    if (missing.length > 0) reply.header('x-registries-missing', missing.join(', '));
    setFreshnessHeaders(reply, all.provenance());
    return sendList(request, reply, answer);
  };
  const about = (summary: string) => ({
    tags: [tags.models],
    summary,
    response: { 200: ModelList, ...errors(400, 503) },
  });
  const stageList = (path: string, stage: Stage, summary: string) =>
    app.get(path, { config, schema: { ...about(summary), querystring: StageListQuery } }, async (request, reply) =>
      send(request, reply, await all.versions(stage, request.query)),
    );
  stageList('/models', 'Production', 'Model versions in production, of all registries');
  stageList('/models/production', 'Production', 'Model versions in production, of all registries');
  stageList('/models/staging', 'Staging', 'Model versions in staging, of all registries');
  app.get(
    '/models/all',
    { config, schema: { ...about('Model versions of all registries'), querystring: ModelListQuery } },
    async (request, reply) => send(request, reply, await all.versions(null, request.query)),
  );
  app.get(
    '/experiments',
    {
      config,
      schema: {
        tags: [tags.experiments],
        summary: 'Experiments of all registries, deleted ones included',
        querystring: PageQuery,
        response: { 200: ExperimentList, ...errors(400, 503) },
      },
    },
    async (request, reply) => send(request, reply, await all.experiments(request.query)),
  );
  eventRoutes(instance, { events: (query) => changes.allEvents(query), stream: changes.allStream, access, clock });
}
