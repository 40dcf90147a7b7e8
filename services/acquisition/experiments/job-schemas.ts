import { z } from 'zod';
import { ExperimentConfig } from './experiment-config.ts';

/** HTTP schemas of experiment jobs. */

const name = z
  .string('must be a string')
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a valid Kubernetes name');

export const ExperimentJobRequest = z
  .strictObject({
    namespace: name.default('hipster-shop'),
    services: z
      .array(name, 'must be an array of services')
      .min(1, 'must have at least one element')
      .max(50, 'must have at most 50 elements')
      .refine((names) => new Set(names).size === names.length, 'must not have duplicates'),
    config: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('Keys as in config/resource-optimized.yaml, which is the default'),
    max_workers: z
      .int('must be an integer')
      .min(1, 'must be at least 1')
      .max(16, 'must be at most 16')
      .optional()
      .describe('Overrides max_parallel_workers'),
  })
  .meta({
    id: 'ExperimentJobRequest',
    examples: [{ namespace: 'hipster-shop', services: ['frontend'] }],
  });
export type ExperimentJobRequest = z.infer<typeof ExperimentJobRequest>;

export const ExperimentPlan = z
  .object({
    namespace: z.string(),
    config: ExperimentConfig.describe('With all defaults'),
    groups: z
      .array(z.array(z.string()))
      .describe(
        'Services of one group are never tested at the same time; different groups are, up to the number of workers',
      ),
    targets: z.record(z.string(), z.string()).describe('Load targets by service'),
    workers: z.int(),
    total_experiments: z.int(),
    finished: z.array(z.string()).describe('Existing experiments, which are skipped'),
    least_minutes: z.number().describe('Duration of the load alone; pod starts are not included'),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'ExperimentPlan',
    examples: [
      {
        namespace: 'hipster-shop',
        config: {
          training: {
            steady_state_config: {
              experiment_duration_minutes: 15,
              replica_counts: [1, 2],
              load_levels_users: [5, 10],
              test_scenarios: ['browsing'],
            },
          },
          max_parallel_workers: 1,
          cpu_limit_per_worker: 2,
          memory_limit_per_worker: 2,
          jmeter_thread_ramp_up: 30,
          jmeter_thread_ramp_down: 30,
          jmeter_think_time: 2,
          metrics_collection_interval: 30,
          prometheus_query_timeout: 10,
          load_generator: 'open model',
          max_retries: 3,
          pods_ready_timeout: 300,
          target_urls: {},
          shared_backends: [],
          scale_to_zero: ['loadgenerator'],
          custom_scenarios: {},
          anonymize: false,
        },
        groups: [['frontend', 'cartservice']],
        targets: { frontend: 'http://frontend.hipster-shop', cartservice: 'http://frontend.hipster-shop' },
        workers: 1,
        total_experiments: 8,
        finished: ['frontend_browsing_replicas_1_users_5'],
        least_minutes: 112,
        notes: [],
      },
    ],
  });
export type ExperimentPlan = z.infer<typeof ExperimentPlan>;

const counts = { succeeded: z.int(), failed: z.int(), skipped: z.int() };
const ExperimentProgress = z.object({
  total: z.int(),
  finished: z.int(),
  ...counts,
  running: z.array(
    z.object({
      experiment_id: z.string(),
      phase: z.string().describe('scaling, waiting, load, collecting, restoring'),
      detail: z.string(),
      share: z.number().nullable().describe('Of the load test, 0 to 1'),
    }),
  ),
  eta_seconds: z.number().nullable(),
});
export type ExperimentProgress = z.infer<typeof ExperimentProgress>;

const ExperimentResult = z.object({
  status: z.enum(['completed', 'completed_with_failures', 'failed']).describe('failed: all experiments failed'),
  total_experiments: z.int(),
  successful_experiments: z.int(),
  failed_experiments: z.int(),
  skipped_experiments: z.int().describe('Existing experiments, which were skipped'),
  data_quality: z.object({ high_quality: z.int(), medium_quality: z.int(), low_quality: z.int() }),
  failures: z.array(z.object({ experiment_id: z.string(), error: z.string(), attempts: z.int() })),
  notes: z.array(z.string()),
});

export const ExperimentJob = z
  .object({
    id: z.string(),
    namespace: z.string(),
    services: z.array(z.string()),
    status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    attempts: z.int().describe('Number of starts: above 1 if an instance died while running it'),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    progress: ExperimentProgress.nullable(),
    result: ExperimentResult.nullable(),
    error: z.string().nullable(),
  })
  .meta({
    id: 'ExperimentJob',
    examples: [
      {
        id: '3f0c2a56-5b0e-4b5f-9a53-0f8d7e0f4b11',
        namespace: 'hipster-shop',
        services: ['frontend'],
        status: 'running',
        attempts: 1,
        created_at: '2026-11-20T10:00:00.000Z',
        finished_at: null,
        progress: {
          total: 36,
          finished: 4,
          succeeded: 4,
          failed: 0,
          skipped: 0,
          running: [
            {
              experiment_id: 'frontend_browsing_replicas_1_users_50',
              phase: 'load',
              detail: '9120 requests, 0 failed',
              share: 0.4,
            },
          ],
          eta_seconds: 30_700,
        },
        result: null,
        error: null,
      },
    ],
  });
export type ExperimentJob = z.infer<typeof ExperimentJob>;
