import { z } from 'zod';

/** JSON of monitored versions. */
export const MonitoredType = z.enum(['classifier', 'regressor'], 'Invalid model type. Must be classifier or regressor');

const registeredBy = z
  .string('must be a string: who adds this model')
  .trim()
  .min(1, 'must not be empty')
  .max(256, 'must have at most 256 characters')
  .refine((text) => !/\p{Cc}/u.test(text), 'must not contain control characters');

export const MonitorRequest = z
  .strictObject({ model_type: MonitoredType, registered_by: registeredBy })
  .meta({ id: 'MonitorRequest', examples: [{ model_type: 'classifier', registered_by: 'dana' }] });
export type MonitorRequest = z.infer<typeof MonitorRequest>;

const name = z.string('must be a string').min(1, 'must not be empty');
export const MonitorItemRequest = z
  .strictObject({ model_name: name, model_version: name, model_type: MonitoredType, registered_by: registeredBy })
  .meta({
    id: 'MonitorItemRequest',
    examples: [{ model_name: 'churn-predictor', model_version: '3', model_type: 'classifier', registered_by: 'dana' }],
  });

export const MonitorAdded = z
  .object({
    message: z.string(),
    model_name: z.string(),
    model_version: z.string(),
    model_type: MonitoredType,
    registered_at: z.iso.datetime(),
    registered_by: z.string(),
  })
  .meta({
    id: 'MonitorAdded',
    examples: [
      {
        message: 'Model churn-predictor v3 added to monitoring as classifier',
        model_name: 'churn-predictor',
        model_version: '3',
        model_type: 'classifier',
        registered_at: '2026-11-20T10:30:00.000Z',
        registered_by: 'dana',
      },
    ],
  });
export type MonitorAdded = z.infer<typeof MonitorAdded>;

export const MonitorRemoved = z
  .object({ message: z.string(), model_name: z.string(), model_version: z.string(), removed_at: z.iso.datetime() })
  .meta({
    id: 'MonitorRemoved',
    examples: [
      {
        message: 'Model churn-predictor v3 removed from monitoring',
        model_name: 'churn-predictor',
        model_version: '3',
        removed_at: '2026-11-20T11:00:00.000Z',
      },
    ],
  });
export type MonitorRemoved = z.infer<typeof MonitorRemoved>;

export const MonitorStatus = z
  .object({
    model_name: z.string(),
    model_version: z.string(),
    is_monitored: z.boolean(),
    in_registry: z.boolean().nullable().describe('Whether MLflow still has this version; null if unknown'),
  })
  .meta({
    id: 'MonitorStatus',
    examples: [{ model_name: 'churn-predictor', model_version: '3', is_monitored: true, in_registry: true }],
  });
export type MonitorStatus = z.infer<typeof MonitorStatus>;

export const MonitoredEntry = z
  .object({
    model_name: z.string(),
    model_version: z.string(),
    model_type: MonitoredType,
    registered_at: z.iso.datetime(),
    registered_by: z.string(),
    run_id: z.string().nullable(),
    in_registry: z.boolean().nullable(),
  })
  .meta({ id: 'MonitoredEntry' });
export type MonitoredEntry = z.infer<typeof MonitoredEntry>;

const exampleEntry = {
  model_name: 'churn-predictor',
  model_version: '3',
  model_type: 'classifier' as const,
  registered_at: '2026-11-20T10:30:00.000Z',
  registered_by: 'dana',
  run_id: '0d6c35d3a1f24f0fa0c1b8ea7b3c1e55',
  in_registry: true,
};

export const MonitoredEntries = z.array(MonitoredEntry).meta({ examples: [[exampleEntry]] });

export const DebugMonitored = z
  .object({
    monitored_count: z.int(),
    monitored_list: z.array(MonitoredEntry),
    mlflow_status: z.enum(['connected', 'disconnected', 'connecting', 'not_configured']),
    model_details: z
      .array(z.record(z.string(), z.unknown()))
      .describe('ModelInfo of each monitored version in the mirror'),
  })
  .meta({
    id: 'DebugMonitored',
    examples: [{ monitored_count: 1, monitored_list: [exampleEntry], mlflow_status: 'connected', model_details: [] }],
  });
export type DebugMonitored = z.infer<typeof DebugMonitored>;
