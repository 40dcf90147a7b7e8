import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { jobRoutes } from '#http/job-routes.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Acquisition } from '#services/acquisition/acquisition.ts';
import { ExperimentJob, ExperimentJobRequest, ExperimentPlan } from '#services/acquisition/experiments/job-schemas.ts';

type Deps = { acquisition: Acquisition; access: Access; clock: Clock };

const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/acquisition/experiments/jobs';

/** Experiment jobs: plan, start, follow, cancel. */
export async function acquisitionJobRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  beginRoutes(instance, deps);
  jobRoutes(instance, deps, {
    path,
    tag: tags.rightsizing,
    Job: ExperimentJob,
    jobs: deps.acquisition.jobs,
    cancelling: 'approve',
    summaries: {
      list: 'List experiment jobs, newest first',
      one: 'Get an experiment job',
      cancel: 'Cancel an experiment job and restore replicas; finished jobs are unchanged',
      events: 'Stream the progress of an experiment job (SSE)',
    },
  });
}

function beginRoutes(instance: FastifyInstance, { acquisition: { jobs } }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    path,
    {
      config: { access: 'approve' },
      schema: {
        ...about('Start a job that runs experiments with services of a namespace; replicas are restored at its end'),
        body: ExperimentJobRequest,
        response: { 202: ExperimentJob, ...errors(400, 409, 503) },
      },
    },
    async (request, reply) => {
      const job = await jobs.start(request.body);
      request.outcome = { id: job.id };
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
  app.post(
    '/api/v1/acquisition/experiments/plan',
    {
      config: { access: 'read', audited: false },
      schema: {
        ...about('Dry run of an experiment job: validates the configuration and lists the experiments'),
        body: ExperimentJobRequest,
        response: { 200: ExperimentPlan, ...errors(400) },
      },
    },
    async (request) => jobs.plan(request.body),
  );
}
