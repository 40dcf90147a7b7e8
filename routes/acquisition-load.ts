import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Access } from '../services/access/access.ts';
import type { Acquisition } from '../services/acquisition/acquisition.ts';
import { LoadJob, LoadJobList, LoadJobParams, LoadJobRequest } from '../services/acquisition/load/job-schemas.ts';
import { whileAdmitted } from '../src/http/auth.ts';
import { errors, JobFrame, tags } from '../src/http/openapi.ts';
import { sendStream, untilClosed } from '../src/http/replies.ts';

type Deps = { acquisition: Acquisition; access: Access; now: () => number };

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });
const path = '/api/v1/acquisition/load-tests';

/** Load tests: begun, followed, cancelled, judged. */
export async function acquisitionLoadRoutes(
  instance: FastifyInstance,
  { acquisition, access, now }: Deps,
): Promise<void> {
  const { loadTests } = acquisition;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    path,
    {
      config: { access: 'operate' },
      schema: {
        ...about('Send users to a service: a job'),
        body: LoadJobRequest,
        response: { 202: LoadJob, ...errors(400, 409) },
      },
    },
    async (request, reply) => {
      const job = await loadTests.start(request.body);
      return reply.code(202).header('location', `${path}/${job.id}`).send(job);
    },
  );
  app.get(
    path,
    { config: reading, schema: { ...about('Load tests, newest first'), response: { 200: LoadJobList, ...errors() } } },
    async () => loadTests.list(),
  );
  const one = { params: LoadJobParams, response: { 200: LoadJob, ...errors(400, 404) } };
  app.get(
    `${path}/:job_id`,
    { config: reading, schema: { ...about('One load test, and what it showed'), ...one } },
    async (request) => loadTests.get(request.params.job_id),
  );
  app.delete(
    `${path}/:job_id`,
    {
      config: { access: 'operate' },
      schema: { ...about('End a load test; a finished one stays as it is'), ...one },
    },
    async (request) => loadTests.cancel(request.params.job_id),
  );
  app.get(
    `${path}/:job_id/events`,
    {
      config: reading,
      schema: {
        ...about('A load test as it goes: server-sent events, until it ends'),
        params: LoadJobParams,
        produces: ['text/event-stream'],
        response: { 200: JobFrame, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { id } = await loadTests.get(request.params.job_id);
      const frames = loadTests.events(id, untilClosed(reply));
      return sendStream(reply, 'text/event-stream; charset=utf-8', whileAdmitted(access, request, now, frames));
    },
  );
}
