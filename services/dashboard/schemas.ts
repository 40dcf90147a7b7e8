import { z } from 'zod';

/** Counts for a dashboard. */
export const DashboardSummary = z
  .object({
    total_experiments: z.int().describe('Experiments, deleted ones included'),
    active_experiments: z.int().describe('Experiments whose lifecycle_stage is active'),
    total_models: z.int().describe('Model versions in the mirror'),
    monitored_models: z.int(),
    production_models: z.int().describe('Versions whose effective stage is Production'),
    staging_models: z.int(),
    total_runs: z.int().nullable().describe('Runs of active experiments; null until they were counted once'),
    last_updated: z.iso.datetime().describe('When the registry was read'),
    registered_models: z.int().describe('Registered models (names)'),
    archived_models: z.int(),
    total_runs_status: z
      .enum(['counting', 'complete', 'outdated'])
      .describe('outdated: counted before the last read of the registry; a new count is running'),
    total_runs_counted_at: z.iso.datetime().nullable(),
  })
  .meta({
    id: 'DashboardSummary',
    examples: [
      {
        total_experiments: 5,
        active_experiments: 3,
        total_models: 15,
        monitored_models: 2,
        production_models: 3,
        staging_models: 5,
        total_runs: 75,
        last_updated: '2026-11-20T12:30:00.000Z',
        registered_models: 6,
        archived_models: 2,
        total_runs_status: 'complete',
        total_runs_counted_at: '2026-11-20T12:31:10.000Z',
      },
    ],
  });
export type DashboardSummary = z.infer<typeof DashboardSummary>;
