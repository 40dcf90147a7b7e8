import { z } from 'zod';

/** What goes in and out at /api/v1/acquisition. */

export const WorkloadParams = z.object({
  namespace: z.string().meta({ example: 'hipster-shop' }),
  service: z.string().describe('Name of the Deployment, StatefulSet or DaemonSet').meta({ example: 'frontend' }),
});
export type WorkloadParams = z.infer<typeof WorkloadParams>;

/** Texts, so that a refusal can name the rule. */
export const MetricsQuery = z.strictObject({
  duration_minutes: z.string().optional().describe('How far back; default 15, at most 44640 (31 days)'),
  step_seconds: z.string().optional().describe('Time between two values; default: a 30th of the duration, 15 at least'),
  end: z.string().optional().describe('ISO 8601 time; default: now'),
});
export type MetricsQuery = z.infer<typeof MetricsQuery>;

const share = z.number().min(0).max(1);

export const PrometheusStatus = z
  .object({
    configured: z.boolean(),
    reachable: z.boolean(),
    version: z.string().nullable().describe('Null where it does not say'),
    latency_ms: z.number().nullable(),
    error: z.string().nullable(),
  })
  .meta({ examples: [{ configured: true, reachable: true, version: '2.42.0', latency_ms: 3, error: null }] });
export type PrometheusStatus = z.infer<typeof PrometheusStatus>;

const Column = z.object({
  unit: z.string(),
  formula: z.string().nullable().describe('How it is made of other columns'),
  query: z.string().nullable().describe('What Prometheus was asked'),
  values: z.array(z.number().nullable()).describe('One per step; null where nothing is known'),
  known: share.describe('Share of the steps with a value'),
  trouble: z.string().nullable().describe('Why nothing is known, or what is doubtful'),
});

export const WorkloadMetrics = z
  .object({
    namespace: z.string(),
    service: z.string(),
    start: z.string().describe('Of the first value'),
    step_seconds: z.number(),
    steps: z.number(),
    columns: z.record(z.string(), Column),
    missing: z.array(z.string()).describe('Columns without any value: empty, not zero'),
    warnings: z.array(z.string()),
  })
  .meta({
    examples: [
      {
        namespace: 'hipster-shop',
        service: 'frontend',
        start: '2026-11-20T10:00:00.000Z',
        step_seconds: 30,
        steps: 2,
        columns: {
          cpu_cores: {
            unit: 'cores',
            formula: null,
            query: 'sum(rate(container_cpu_usage_seconds_total{namespace="hipster-shop"}[1m]))',
            values: [0.052, null],
            known: 0.5,
            trouble: null,
          },
        },
        missing: [],
        warnings: [],
      },
    ],
  });
export type WorkloadMetrics = z.infer<typeof WorkloadMetrics>;

export const RangeQuery = z.strictObject({
  query: z.string().min(1, 'must not be empty').max(8000, 'must have 8000 characters at most').describe('PromQL'),
  start: z.string().describe('ISO 8601 time'),
  end: z.string().describe('ISO 8601 time'),
  step_seconds: z.string().optional().describe('Time between two values; default 30'),
});
export type RangeQuery = z.infer<typeof RangeQuery>;

export const RangeAnswer = z
  .object({
    start: z.string(),
    step_seconds: z.number(),
    steps: z.number(),
    series: z.array(z.object({ labels: z.record(z.string(), z.string()), values: z.array(z.number().nullable()) })),
    warnings: z.array(z.string()),
  })
  .meta({
    examples: [
      {
        start: '2026-11-20T10:00:00.000Z',
        step_seconds: 30,
        steps: 3,
        series: [{ labels: { pod: 'frontend-579b9bff58-t2dbm' }, values: [0.05, null, 0.06] }],
        warnings: [],
      },
    ],
  });
export type RangeAnswer = z.infer<typeof RangeAnswer>;
