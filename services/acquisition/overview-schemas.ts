import { z } from 'zod';
import type { PrometheusStatus } from './schemas.ts';

export type { PrometheusStatus };

/** JSON of the health and progress of data collection. */

const health = z.enum(['healthy', 'unhealthy']);
const parts = ['kubernetes', 'prometheus', 'data_pipeline', 'ml_pipeline'] as const;
const details = z.object(
  Object.fromEntries(parts.map((part) => [part, z.string()])) as Record<(typeof parts)[number], z.ZodString>,
);
const well = z.boolean().nullable().describe('null: not configured, which is not an error');

export const HealthAnswer = z
  .object({
    status: health,
    checks: z.object({ kubernetes: well, prometheus: well, data_pipeline: z.boolean(), ml_pipeline: z.boolean() }),
    details,
  })
  .meta({
    id: 'HealthAnswer',
    examples: [
      {
        status: 'healthy',
        checks: { kubernetes: true, prometheus: true, data_pipeline: true, ml_pipeline: true },
        details: {
          kubernetes: 'answers, version v1.33.0',
          prometheus: 'answers, version 2.53.3',
          data_pipeline: 'the directory of experiments is readable and writable',
          ml_pipeline: '3 models',
        },
      },
    ],
  });
export type HealthAnswer = z.infer<typeof HealthAnswer>;

const word = z.enum(['running', 'ready', 'unreachable', 'not configured']);
const Counts = z.object({ pods_running: z.int().nullable(), services_available: z.int().nullable() });
const share = z.string().nullable().describe('Per cent, with the sign');
const Fixed = z.object({
  minikube: word.describe('The same as `kubernetes`'),
  kubernetes: word,
  prometheus: word,
  system_resources: z
    .object({ cpu_usage: share, memory_usage: share, disk_usage: share })
    .describe('Usage of the machine of this instance; CPU since the last request'),
  overall_status: health,
  details,
});

export const SystemHealth = Fixed.catchall(z.union([Counts, z.unknown()])).meta({
  description:
    'Additional keys named after the namespace with _ for -: pods_running and services_available, null if unknown',
  examples: [
    {
      minikube: 'running',
      kubernetes: 'running',
      prometheus: 'ready',
      hipster_shop: { pods_running: 24, services_available: 12 },
      system_resources: { cpu_usage: '7.4%', memory_usage: '45.2%', disk_usage: '56.0%' },
      overall_status: 'healthy',
      details: {
        kubernetes: 'answers, version v1.33.0',
        prometheus: 'answers, version 2.53.3',
        data_pipeline: 'the directory of experiments is readable and writable',
        ml_pipeline: '3 models',
      },
    },
  ],
});
export type SystemHealth = z.infer<typeof SystemHealth>;

export const SystemQuery = z.strictObject({
  namespace: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a valid Kubernetes name')
    .default('hipster-shop'),
});

export const CollectionAnswer = z
  .object({
    process_running: z.boolean(),
    process_id: z.int().nullable(),
    csv_files: z.int(),
    json_files: z.int(),
    experiments_completed: z.int(),
    estimated_completion: z.string().nullable(),
    errors_detected: z.int().describe('Failed experiments of the latest job'),
    jobs: z.array(z.string()).describe('Experiments not finished'),
  })
  .meta({
    id: 'CollectionAnswer',
    examples: [
      {
        process_running: true,
        process_id: 845_709,
        csv_files: 108,
        json_files: 108,
        experiments_completed: 108,
        estimated_completion: '5.25 days',
        errors_detected: 0,
        jobs: ['3f0c2a56-5b0e-4b5f-9a53-0f8d7e0f4b11'],
      },
    ],
  });
export type CollectionAnswer = z.infer<typeof CollectionAnswer>;

export const StatusQuery = z.strictObject({ service: z.string().optional().describe('Only this service') });

export const CollectionStatus = z
  .object({
    system_status: health,
    services: z.record(
      z.string(),
      z.object({
        status: z
          .enum(['not_started', 'in_progress', 'incomplete', 'completed'])
          .describe('incomplete: its latest job was cancelled, or some of its experiments failed'),
        experiments: z.int(),
        models_trained: z.boolean(),
      }),
    ),
    data_collection: z.object({ total_csv_files: z.int(), total_json_files: z.int(), in_progress: z.boolean() }),
  })
  .meta({
    id: 'CollectionStatus',
    examples: [
      {
        system_status: 'healthy',
        services: { frontend: { status: 'completed', experiments: 36, models_trained: true } },
        data_collection: { total_csv_files: 36, total_json_files: 36, in_progress: false },
      },
    ],
  });
export type CollectionStatus = z.infer<typeof CollectionStatus>;
