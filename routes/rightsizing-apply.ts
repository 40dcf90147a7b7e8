import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { jobRoutes } from '#http/job-routes.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import { ApplyJob, ApplyPlan, ApplyRequest } from '#services/rightsizing/apply/apply-schemas.ts';
import type { Rightsizing } from '#services/rightsizing/rightsizing.ts';
import { SizeParams } from '#services/rightsizing/schemas.ts';

type Deps = { rightsizing: Rightsizing; access: Access; clock: Clock };

const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/rightsizing/apply/jobs';

/** Applies recommendations, and rolls back those that do harm. */
export async function rightsizingApplyRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  startRoute(instance, deps);
  jobRoutes(instance, deps, {
    path,
    tag: tags.rightsizing,
    Job: ApplyJob,
    jobs: deps.rightsizing.apply,
    cancelling: 'approve',
    summaries: {
      list: 'List apply jobs, newest first',
      one: 'Get an apply job: changes, and health signals before and after',
      cancel: 'Cancel an apply job and roll back its changes; finished jobs are unchanged',
      events: 'Stream the progress of an apply job (SSE)',
    },
  });
}

function startRoute(instance: FastifyInstance, { rightsizing }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/api/v1/rightsizing/:namespace/:service/apply',
    {
      config: { access: 'approve' },
      schema: {
        ...about(
          'Apply a recommendation: a job that changes one pod first and rolls back if the service gets worse; or a dry run',
        ),
        params: SizeParams,
        body: ApplyRequest.nullish(),
        response: { 200: ApplyPlan, 202: ApplyJob, ...errors(400, 404, 409, 503) },
      },
    },
    async (request, reply) => {
      const body = request.body ?? ApplyRequest.parse({});
      if (body.dry_run) return rightsizing.apply.plan(request.params, body);
      const job = await rightsizing.apply.start(request.params, body);
      request.outcome = { id: job.id };
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
}
