import { z } from 'zod';

/** JSON of the Prometheus-compatible API; clients send parameters as a query string or a form. */
const one = z.string().max(20_000);
const many = z.union([one, z.array(one).max(100)]);
const ignored = {
  timeout: one.optional(),
  limit: one.optional(),
  stats: one.optional(),
  lookback_delta: one.optional(),
};

export const InstantQuery = z.object({ query: one, time: one.optional(), ...ignored });
export const RangeQuery = z.object({ query: one, start: one, end: one, step: one, ...ignored });
export const SeriesQuery = z.object({
  'match[]': many.optional(),
  start: one.optional(),
  end: one.optional(),
  ...ignored,
});
export type SeriesQuery = z.infer<typeof SeriesQuery>;

const success = z.literal('success');
export const QueryAnswer = z
  .object({
    status: success,
    data: z.object({
      resultType: z.enum(['scalar', 'string', 'vector', 'matrix']),
      result: z.unknown().describe('As in Prometheus: times in seconds, values as text'),
    }),
  })
  .meta({ id: 'QueryAnswer', examples: [{ status: 'success', data: { resultType: 'scalar', result: [4, '2'] } }] });
export const SeriesAnswer = z.object({ status: success, data: z.array(z.record(z.string(), z.string())) }).meta({
  id: 'SeriesAnswer',
  examples: [{ status: 'success', data: [{ __name__: 'up', instance: 'node-1:9100', job: 'node' }] }],
});
export const NamesAnswer = z
  .object({ status: success, data: z.array(z.string()) })
  .meta({ id: 'NamesAnswer', examples: [{ status: 'success', data: ['__name__', 'instance', 'job'] }] });
export const MetadataAnswer = z
  .object({ status: success, data: z.record(z.string(), z.unknown()) })
  .meta({ id: 'MetadataAnswer', examples: [{ status: 'success', data: {} }] });
export const PromqlFault = z
  .object({
    status: z.literal('error'),
    errorType: z.enum(['bad_data', 'execution', 'timeout', 'unavailable']),
    error: z.string(),
  })
  .meta({ id: 'PrometheusError' });
