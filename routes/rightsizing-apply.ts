import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { jobRoutes } from '#http/job-routes.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Access } from '#services/access/access.ts';
import { ApplyJob, ApplyPlan, ApplyRequest } from '#services/rightsizing/apply/apply-schemas.ts';
import type { Rightsizing } from '#services/rightsizing/rightsizing.ts';
import { SizeParams } from '#services/rightsizing/schemas.ts';

type Deps = { rightsizing: Rightsizing; access: Access; now: () => number };

const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/rightsizing/apply/jobs';

/** Applies recommendations, and rolls back those that do harm. */
export async function rightsizingApplyRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  beginRoute(instance, deps);
  jobRoutes(instance, deps, {
    path,
    tag: tags.rightsizing,
    Job: ApplyJob,
    jobs: deps.rightsizing.apply,
    cancelling: 'approve',
    summaries: {
      list: 'Recommendations that were applied, newest first',
      one: 'One of them: what was changed, how the service did before and after',
      cancel: 'Cancel it: what was changed is taken back; a finished one stays as it is',
      events: 'It as it goes: server-sent events, until it ends',
    },
  });
}

function beginRoute(instance: FastifyInstance, { rightsizing }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/api/v1/rightsizing/:namespace/:service/apply',
    {
      config: { access: 'approve' },
      schema: {
        ...about(
          'Apply a recommendation: a job, on one pod first, taken back where the service does worse; or say what it would do',
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
