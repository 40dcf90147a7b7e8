import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Access } from '../services/access/access.ts';
import {
  ApplyJob,
  ApplyJobList,
  ApplyJobParams,
  ApplyPlan,
  ApplyRequest,
} from '../services/rightsizing/apply-schemas.ts';
import type { Rightsizing } from '../services/rightsizing/rightsizing.ts';
import { SizeParams } from '../services/rightsizing/schemas.ts';
import { whileAdmitted } from '../src/http/auth.ts';
import { errors, JobFrame, tags } from '../src/http/openapi.ts';
import { sendStream, untilClosed } from '../src/http/replies.ts';

type Deps = { rightsizing: Rightsizing; access: Access; now: () => number };

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/rightsizing/apply/jobs';

/** Recommendations that are applied, and taken back where that does harm. */
export async function rightsizingApplyRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  beginRoute(instance, deps);
  followRoutes(instance, deps);
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
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
}

function followRoutes(instance: FastifyInstance, { rightsizing: { apply }, access, now }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    path,
    {
      config: reading,
      schema: {
        ...about('Recommendations that were applied, newest first'),
        response: { 200: ApplyJobList, ...errors() },
      },
    },
    async () => apply.list(),
  );
  app.get(
    `${path}/:job_id`,
    {
      config: reading,
      schema: {
        ...about('One of them: what was changed, how the service did before and after'),
        params: ApplyJobParams,
        response: { 200: ApplyJob, ...errors(400, 404) },
      },
    },
    async (request) => apply.get(request.params.job_id),
  );
  app.delete(
    `${path}/:job_id`,
    {
      config: { access: 'approve' },
      schema: {
        ...about('Cancel it: what was changed is taken back; a finished one stays as it is'),
        params: ApplyJobParams,
        response: { 200: ApplyJob, ...errors(400, 404) },
      },
    },
    async (request) => apply.cancel(request.params.job_id),
  );
  app.get(
    `${path}/:job_id/events`,
    {
      config: reading,
      schema: {
        ...about('It as it goes: server-sent events, until it ends'),
        params: ApplyJobParams,
        produces: ['text/event-stream'],
        response: { 200: JobFrame, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { id } = await apply.get(request.params.job_id);
      const frames = apply.events(id, untilClosed(reply));
      return sendStream(reply, 'text/event-stream; charset=utf-8', whileAdmitted(access, request, now, frames));
    },
  );
}
