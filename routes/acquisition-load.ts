import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { jobRoutes } from '#http/job-routes.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Acquisition } from '#services/acquisition/acquisition.ts';
import { LoadJob, LoadJobRequest } from '#services/acquisition/load/job-schemas.ts';

type Deps = { acquisition: Acquisition; access: Access; clock: Clock };

const path = '/api/v1/acquisition/load-tests';

/** Load tests: start, follow, cancel, evaluate. */
export async function acquisitionLoadRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  const { loadTests } = deps.acquisition;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    path,
    {
      config: { access: 'operate' },
      schema: {
        tags: [tags.rightsizing],
        summary: 'Start a load test job',
        body: LoadJobRequest,
        response: { 202: LoadJob, ...errors(400, 409) },
      },
    },
    async (request, reply) => {
      const job = await loadTests.start(request.body);
      request.outcome = { id: job.id };
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
  jobRoutes(instance, deps, {
    path,
    tag: tags.rightsizing,
    Job: LoadJob,
    jobs: loadTests,
    cancelling: 'operate',
    summaries: {
      list: 'List load test jobs, newest first',
      one: 'Get a load test job with its result',
      cancel: 'Cancel a load test job; finished jobs are unchanged',
      events: 'Stream the progress of a load test job (SSE)',
    },
  });
}
