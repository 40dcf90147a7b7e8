import { z } from 'zod';

const RegistryHealth = z.object({
  status: z.enum(['healthy', 'degraded', 'starting']),
  mlflow_connection: z.enum(['connected', 'disconnected', 'connecting', 'not_configured']),
  experiments_count: z.int().nullable(),
  data_source: z.enum(['mlflow', 'sample']),
  notice: z.string().nullable(),
  source: z.string(),
  mlflow_version: z.string().nullable(),
  mlflow_user: z.string().nullable().describe('MLflow user of the mirror: MLflow hides what this user may not read'),
  models_count: z.int().nullable(),
  last_refresh: z.iso.datetime().nullable(),
  cache_age_seconds: z.int().nullable(),
  stale: z.boolean(),
  last_error: z.string().nullable(),
  journal_error: z
    .string()
    .nullable()
    .describe('Why changes cannot be written to the journal, or of which models; retried at the next poll'),
});

/** The registry's part of /health. */
export const RegistryHealthPart = RegistryHealth.extend({
  registries: z
    .array(RegistryHealth.extend({ name: z.string() }))
    .optional()
    .describe('By registry, if there are several; the fields above have the worst status, sums and the maximum age'),
}).meta({
  id: 'RegistryHealthPart',
  examples: [
    {
      status: 'healthy',
      mlflow_connection: 'connected',
      experiments_count: 5,
      data_source: 'mlflow',
      notice: null,
      source: 'https://mlflow.example.com',
      mlflow_version: '3.11.1',
      mlflow_user: 'tower',
      models_count: 15,
      last_refresh: '2026-11-20T12:30:00.000Z',
      cache_age_seconds: 60,
      stale: false,
      last_error: null,
      journal_error: null,
    },
  ],
});
