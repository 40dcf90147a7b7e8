import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Access } from '../services/access/access.ts';
import type { Acquisition } from '../services/acquisition/acquisition.ts';
import {
  ExperimentJob,
  ExperimentJobList,
  ExperimentJobParams,
  ExperimentJobRequest,
  ExperimentPlan,
} from '../services/acquisition/job-schemas.ts';
import { whileAdmitted } from '../src/http/auth.ts';
import { errors, JobFrame, tags } from '../src/http/openapi.ts';
import { sendStream, untilClosed } from '../src/http/replies.ts';

type Deps = { acquisition: Acquisition; access: Access; now: () => number };

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/acquisition/experiments/jobs';

/** Experiments that are made: planned, begun, followed, cancelled. */
export async function acquisitionJobRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  beginRoutes(instance, deps);
  followRoutes(instance, deps);
}

function beginRoutes(instance: FastifyInstance, { acquisition: { jobs } }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    path,
    {
      config: { access: 'operate' },
      schema: {
        ...about('Make experiments with services of a namespace: a job. Replicas are what they were when it ends'),
        body: ExperimentJobRequest,
        response: { 202: ExperimentJob, ...errors(400, 409, 503) },
      },
    },
    async (request, reply) => {
      const job = await jobs.start(request.body);
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
  app.post(
    '/api/v1/acquisition/experiments/plan',
    {
      config: { access: 'read', audited: false },
      schema: {
        ...about('What such a job would do, and whether its configuration is right; nothing is changed'),
        body: ExperimentJobRequest,
        response: { 200: ExperimentPlan, ...errors(400) },
      },
    },
    async (request) => jobs.plan(request.body),
  );
}

function followRoutes(instance: FastifyInstance, { acquisition: { jobs }, access, now }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    path,
    {
      config: reading,
      schema: { ...about('Experiment jobs, newest first'), response: { 200: ExperimentJobList, ...errors() } },
    },
    async () => jobs.list(),
  );
  app.get(
    `${path}/:job_id`,
    {
      config: reading,
      schema: {
        ...about('One experiment job'),
        params: ExperimentJobParams,
        response: { 200: ExperimentJob, ...errors(400, 404) },
      },
    },
    async (request) => jobs.get(request.params.job_id),
  );
  app.delete(
    `${path}/:job_id`,
    {
      config: { access: 'operate' },
      schema: {
        ...about('Cancel an experiment job; what is under way is undone, a finished job stays as it is'),
        params: ExperimentJobParams,
        response: { 200: ExperimentJob, ...errors(400, 404) },
      },
    },
    async (request) => jobs.cancel(request.params.job_id),
  );
  app.get(
    `${path}/:job_id/events`,
    {
      config: reading,
      schema: {
        ...about('An experiment job as it goes: server-sent events, until it ends'),
        params: ExperimentJobParams,
        produces: ['text/event-stream'],
        response: { 200: JobFrame, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { id } = await jobs.get(request.params.job_id);
      const frames = jobs.events(id, untilClosed(reply));
      return sendStream(reply, 'text/event-stream; charset=utf-8', whileAdmitted(access, request, now, frames));
    },
  );
}
