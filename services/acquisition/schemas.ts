import { z } from 'zod';
import { integerText } from '#kernel/query-schemas.ts';

/** JSON of /api/v1/acquisition. */

export const WorkloadParams = z.object({
  namespace: z.string().meta({ example: 'hipster-shop' }),
  service: z.string().describe('Name of the Deployment, StatefulSet or DaemonSet').meta({ example: 'frontend' }),
});
export type WorkloadParams = z.infer<typeof WorkloadParams>;

/** Query parameters as texts, so that an error can name the rule. */
export const MetricsQuery = z.strictObject({
  duration_minutes: integerText(1, 44_640)
    .optional()
    .describe('Length of the time range; default 15, at most 44640 (31 days)'),
  step_seconds: integerText(1)
    .optional()
    .describe('Time between two values; default: a 30th of the duration, at least 15'),
  end: z.string().optional().describe('ISO 8601 time; default: now'),
});
export type MetricsQuery = z.infer<typeof MetricsQuery>;

const share = z.number().min(0).max(1);

export const PrometheusStatus = z
  .object({
    configured: z.boolean(),
    reachable: z.boolean(),
    version: z.string().nullable().describe('Null if the file does not have it'),
    latency_ms: z.number().nullable(),
    error: z.string().nullable(),
  })
  .meta({
    id: 'PrometheusStatus',
    examples: [{ configured: true, reachable: true, version: '2.42.0', latency_ms: 3, error: null }],
  });
export type PrometheusStatus = z.infer<typeof PrometheusStatus>;

const Column = z.object({
  unit: z.string(),
  formula: z.string().nullable().describe('Formula, if it is computed from other columns'),
  query: z.string().nullable().describe('The PromQL query'),
  values: z.array(z.number().nullable()).describe('One per step; null if unknown'),
  known: share.describe('Share of the steps with a value'),
  trouble: z.string().nullable().describe('Reason for missing or incomplete values'),
  unanswered: z.boolean().describe('Whether the query timed out: values may exist'),
});

export const WorkloadMetrics = z
  .object({
    namespace: z.string(),
    service: z.string(),
    start: z.string().describe('Time of the first value'),
    step_seconds: z.number(),
    steps: z.number(),
    columns: z.record(z.string(), Column),
    missing: z.array(z.string()).describe('Columns without any value: missing, not zero'),
    warnings: z.array(z.string()),
  })
  .meta({
    id: 'WorkloadMetrics',
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
            unanswered: false,
          },
        },
        missing: [],
        warnings: [],
      },
    ],
  });
export type WorkloadMetrics = z.infer<typeof WorkloadMetrics>;

export const RangeQuery = z.strictObject({
  query: z.string().min(1, 'must not be empty').max(8000, 'must have at most 8000 characters').describe('PromQL'),
  start: z.string().describe('ISO 8601 time'),
  end: z.string().describe('ISO 8601 time'),
  step_seconds: integerText(1).optional().describe('Time between two values; default 30'),
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
    id: 'RangeAnswer',
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

export const WorkloadsParams = z.object({
  namespace: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a valid Kubernetes name')
    .meta({ example: 'hipster-shop' }),
});

const amount = z.number().nullable().describe('null: not set');
export const WorkloadList = z
  .array(
    z.object({
      kind: z.enum(['Deployment', 'StatefulSet']),
      name: z.string(),
      replicas: z.int(),
      ready_replicas: z.int(),
      containers: z.array(
        z.object({
          name: z.string(),
          cpu_request_cores: amount,
          cpu_limit_cores: amount,
          memory_request_bytes: amount,
          memory_limit_bytes: amount,
        }),
      ),
      hpa: z.array(z.string()).describe('Names of HorizontalPodAutoscalers'),
      vpa: z
        .array(z.string())
        .nullable()
        .describe('Names of VerticalPodAutoscalers; null if reading them is forbidden'),
    }),
  )
  .meta({
    examples: [
      [
        {
          kind: 'Deployment',
          name: 'frontend',
          replicas: 2,
          ready_replicas: 2,
          containers: [
            {
              name: 'server',
              cpu_request_cores: 0.1,
              cpu_limit_cores: 0.2,
              memory_request_bytes: 67_108_864,
              memory_limit_bytes: 134_217_728,
            },
          ],
          hpa: [],
          vpa: [],
        },
      ],
    ],
  });
