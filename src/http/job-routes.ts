import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Scope } from '#services/access/scopes.ts';
import { liveStream } from './live-stream.ts';
import { sendStream, untilClosed } from './replies.ts';
import { errors } from './route-schemas.ts';

const JobParams = z.object({ job_id: z.uuid('must be the id of a job') });
/** A server-sent event of a job. */
const JobFrame = z
  .object({
    id: z.string(),
    event: z.enum(['progress', 'succeeded', 'failed', 'cancelled']),
    data: z.string().describe('The job as JSON'),
  })
  .describe('One event per change, until the job ends')
  .meta({ id: 'JobFrame', examples: [{ id: '4', event: 'progress', data: '{"progress":{"total":36,"finished":4}}' }] });

/** A job of any kind, of which only the id is known here. */
type AnyJob = { id: string };
type JobRoutes<Job extends AnyJob> = {
  path: string;
  tag: string;
  Job: z.ZodType<Job>;
  jobs: {
    list(): Promise<Job[]>;
    get(id: string): Promise<Job>;
    cancel(id: string): Promise<Job>;
    events(id: string, over: AbortSignal): AsyncGenerator<string>;
  };
  /** Permission required to cancel. */
  cancelling: Scope;
  summaries: { list: string; one: string; cancel: string; events: string };
};

/** Routes to list, read, cancel and follow the jobs of one kind. */
export function jobRoutes<Job extends AnyJob>(
  instance: FastifyInstance,
  { access, clock }: { access: Access; clock: Clock },
  { path, tag, Job, jobs, cancelling, summaries }: JobRoutes<Job>,
): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const about = (what: keyof typeof summaries) => ({ tags: [tag], summary: summaries[what] });
  const reading = { access: 'read' } as const;
  const Shown: z.ZodType<AnyJob> = Job;
  const List = z.array(Shown).meta({ examples: [[]] });
  app.get(path, { config: reading, schema: { ...about('list'), response: { 200: List, ...errors() } } }, async () =>
    jobs.list(),
  );
  const one = { params: JobParams, response: { 200: Shown, ...errors(400, 404) } };
  app.get(`${path}/:job_id`, { config: reading, schema: { ...about('one'), ...one } }, async (request) =>
    jobs.get(request.params.job_id),
  );
  app.delete(
    `${path}/:job_id`,
    { config: { access: cancelling }, schema: { ...about('cancel'), ...one } },
    async (request) => jobs.cancel(request.params.job_id),
  );
  app.get(
    `${path}/:job_id/events`,
    {
      config: reading,
      schema: {
        ...about('events'),
        params: JobParams,
        produces: ['text/event-stream'],
        response: { 200: JobFrame, ...errors(400, 404) },
      },
    },
    async (request, reply) => {
      const { job_id } = request.params;
      await jobs.get(job_id);
      const frames = jobs.events(job_id, untilClosed(reply));
      return sendStream(reply, 'text/event-stream; charset=utf-8', liveStream({ access, clock }, request, frames));
    },
  );
}
