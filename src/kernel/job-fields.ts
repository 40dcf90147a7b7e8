import { z } from 'zod';

/** What every job has that outlives a request, whatever it does. */
export const jobFields = {
  id: z.string(),
  status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
  attempts: z.int().describe('How often it was begun: more than once where a tower ended while it was at it'),
  created_at: z.iso.datetime(),
  finished_at: z.iso.datetime().nullable(),
  error: z.string().nullable(),
};

/** `progress` and `result` are what its kind makes of them. */
export type AnyJob = z.infer<z.ZodObject<typeof jobFields>> & { progress: unknown; result: unknown };
