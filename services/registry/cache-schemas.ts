import { z } from 'zod';
import { StageName, time } from './schemas.ts';

/** JSON of the mirror and its cache file. */

export const CacheStats = z.object({
  total_models: z.int().describe('Model versions in the mirror; the sum of models_by_stage'),
  models_by_stage: z.record(StageName, z.int()),
  last_refresh: time,
  is_refreshing: z.boolean(),
  cache_age_minutes: z.number().nullable(),
  is_stale: z.boolean(),
  registered_models: z.int(),
  data_source: z.enum(['mlflow', 'sample']),
  last_error: z.string().nullable(),
  persistence: z.object({
    enabled: z.boolean(),
    cache_directory: z.string(),
    cache_file_exists: z.boolean(),
    cache_file_age_hours: z.number().nullable(),
    cache_file_size_bytes: z.int().nullable(),
    max_age_hours: z.number(),
    last_error: z.string().nullable(),
  }),
});
export type CacheStats = z.infer<typeof CacheStats>;

const exampleStats = {
  total_models: 15,
  models_by_stage: { None: 5, Staging: 5, Production: 3, Archived: 2 },
  last_refresh: '2026-11-20T12:30:00.000Z',
  is_refreshing: false,
  cache_age_minutes: 15.2,
  is_stale: false,
  registered_models: 6,
  data_source: 'mlflow' as const,
  last_error: null,
  persistence: {
    enabled: true,
    cache_directory: './cache',
    cache_file_exists: true,
    cache_file_age_hours: 0.3,
    cache_file_size_bytes: 48_213,
    max_age_hours: 24,
    last_error: null,
  },
};

export const CacheInfo = z
  .object({
    cache_info: CacheStats,
    tracking_info: z.object({
      total_models: z.int(),
      production_models: z.int(),
      staging_models: z.int(),
      monitored_models: z.int(),
      dangling_aliases: z.int().describe('Aliases whose version was deleted'),
    }),
    system_status: z.object({
      mlflow_connected: z.boolean(),
      tracking_method: z.enum(['cached', 'direct']),
      cache_enabled: z.boolean(),
    }),
  })
  .meta({
    id: 'CacheInfo',
    examples: [
      {
        cache_info: exampleStats,
        tracking_info: {
          total_models: 15,
          production_models: 3,
          staging_models: 5,
          monitored_models: 2,
          dangling_aliases: 0,
        },
        system_status: { mlflow_connected: true, tracking_method: 'cached', cache_enabled: true },
      },
    ],
  });

export type CacheInfo = z.infer<typeof CacheInfo>;

export const CacheRefreshed = z
  .object({ message: z.string(), models_synced: z.int(), timestamp: z.iso.datetime(), cache_stats: CacheStats })
  .meta({
    id: 'CacheRefreshed',
    examples: [
      {
        message: 'Cache refreshed successfully',
        models_synced: 15,
        timestamp: '2026-11-20T12:30:00.000Z',
        cache_stats: { ...exampleStats, cache_age_minutes: 0 },
      },
    ],
  });

export const CacheCleared = z.object({ message: z.string(), timestamp: z.iso.datetime(), note: z.string() }).meta({
  id: 'CacheCleared',
  examples: [
    {
      message: 'Persistent cache cleared successfully',
      timestamp: '2026-11-20T12:35:00.000Z',
      note: 'Next startup will fetch fresh data from MLflow',
    },
  ],
});
