import { z } from 'zod';
import { thirdPartyStrategies, towerStrategy } from './strategies/names.ts';

/** HTTP schemas of /api/v1/rightsizing. */

export const numberBetween = (min: number, max: number, whole = false) => {
  const rule = `must be ${whole ? 'an integer' : 'a number'} between ${min} and ${max}`;
  const bounded = z.number(rule).min(min, rule).max(max, rule);
  return whole ? bounded.int(rule) : bounded;
};
export const booleanFlag = z.boolean('must be true or false');
export const oneOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, `must be ${names.slice(0, -1).join(', ')} or ${names.at(-1)}`);

export const strategyNames = [towerStrategy, ...thirdPartyStrategies] as const;
const kinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const;

export const SizeParams = z.object({
  namespace: z.string().meta({ example: 'hipster-shop' }),
  service: z.string().meta({ example: 'frontend' }),
});

const cores = numberBetween(0.001, 10_000);
const bytes = numberBetween(1, 1e15);

export const SizeRequest = z
  .strictObject({
    horizon: oneOf(['24h', '1h'])
      .default('24h')
      .describe(
        'Validity of the recommendation: 24h = until the next redeployment, 1h = until the next in-place resize',
      ),
    strategy: oneOf(strategyNames).default(towerStrategy).describe('tower, or another right-sizer’s algorithm'),
    compare: booleanFlag.default(false).describe('Include the requests of all other strategies'),
    violation: numberBetween(0.005, 0.5).default(0.05).describe('Target share of samples above the CPU request'),
    memory_violation: numberBetween(0.001, 0.5)
      .default(0.02)
      .describe('Target share of horizons with memory above its request'),
    history_days: numberBetween(1, 31, true).default(14).describe('History in days'),
    startup_seconds: numberBetween(0, 3600)
      .default(120)
      .describe('CPU of the first seconds of each pod does not count'),
    kind: oneOf(kinds).optional().describe('Default: detected by Prometheus, else a Deployment'),
    target_utilization: numberBetween(0.1, 1)
      .default(1)
      .describe('Target usage of all replicas together at the stated quantile, as a share of their CPU requests'),
    cpu_limit: booleanFlag
      .default(false)
      .describe('Recommend a CPU limit too: the observed maximum + 20 %, at least twice the request'),
    basis: oneOf(['auto', 'usage', 'capacity'])
      .default('auto')
      .describe('usage, or capacity (experiments and traffic); auto: capacity if there are experiments'),
    demand_requests_per_second: numberBetween(0, 1e9)
      .optional()
      .describe('Expected demand, used instead of the traffic measured by Prometheus'),
    min_cpu_cores: cores.optional(),
    max_cpu_cores: cores.optional(),
    min_memory_bytes: bytes.optional(),
    max_memory_bytes: bytes.optional(),
    min_replicas: numberBetween(1, 10_000, true).default(1),
    max_replicas: numberBetween(1, 10_000, true).optional(),
  })
  .meta({ id: 'SizeRequest', examples: [{ horizon: '24h', compare: true }] });
export type SizeRequest = z.infer<typeof SizeRequest>;

const Sizing = z.object({
  request: z.number().nullable().describe('Cores or bytes; null without a recommendation'),
  limit: z.number().nullable(),
  unit: z.enum(['cores', 'bytes']),
  current_request: z.number().nullable(),
  current_limit: z.number().nullable(),
  confidence: z.number().nullable().describe('Calibrated probability that the stated share is met over the horizon'),
  bound_by: z
    .enum(['usage', 'capacity', 'floor', 'cap', 'limit_range', 'quota', 'node', 'oom', 'heap', 'nothing'])
    .describe('The deciding rule'),
  unbounded: z.number().nullable().describe('Before floors and caps'),
  peak: z.number().nullable().describe('Maximum usage of any pod'),
  samples: z.number(),
  pods: z.number(),
  explanation: z.string(),
  experts: z.array(z.object({ name: z.string(), weight: z.number(), says: z.number() })),
  factor: z.number().nullable().describe('Factor of the experts’ blend'),
  compared: z.array(z.object({ strategy: z.string(), request: z.number().nullable() })),
});
export type Sizing = z.infer<typeof Sizing>;

const Container = z.object({
  container: z.string(),
  sidecar: z.boolean().describe('An injected sidecar, an init container, or not in the template'),
  cpu: Sizing,
  memory: Sizing,
  startup_peak_cores: z.number().nullable().describe('Maximum CPU during start-up; null if no pod started'),
});

const CapacityCurve = z
  .object({
    base: z.number().describe('Cores or bytes of an idle replica'),
    per_request: z.number().describe('… plus this for each request per second'),
    per_request_squared: z.number().describe('… plus this for its square; 0 for a linear model'),
    at_most_tried: z.number(),
    error: z.number().describe('Mean relative error at levels of load left out'),
    margin: z.number().describe('Factor of the curve at that load'),
  })
  .nullable();
const Capacity = z
  .object({
    scenario: z.string().nullable().describe('The scenario with the highest usage'),
    load_from: z.enum(['request_rate', 'load_test']).nullable(),
    experiments: z.int(),
    left_out: z.int().describe('Experiments of low quality'),
    levels: z.int().nullable(),
    tried_requests_per_second: z.number().nullable().describe('Largest load of one replica in the experiments'),
    cpu: CapacityCurve,
    memory: CapacityCurve,
    demand_requests_per_second: z.number().nullable().describe('Of all replicas, at the stated quantile'),
    demand_by: z
      .enum(['request', 'forecast', 'quantiles'])
      .nullable()
      .describe('given in the request, by the forecast engine, or a quantile of past traffic'),
    replicas: z.int().nullable(),
    fewest_replicas: z.int().nullable().describe('Replicas that handle it with 20 % of headroom'),
    requests_per_second_of_each: z.number().nullable(),
    reason: z.string().nullable().describe('Why usage decided'),
  })
  .nullable()
  .describe('Result of the experiments; null without any');

const Cost = z.object({
  currency: z.string(),
  cpu_core_hour: z.number(),
  memory_gib_hour: z.number(),
  monthly_now: z.number().nullable(),
  monthly_recommended: z.number().nullable(),
  monthly_saving: z.number().nullable(),
});

const HpaTarget = z
  .object({
    name: z.string(),
    target_utilization: z.number(),
    recommended_target_utilization: z.number().nullable(),
    explanation: z.string(),
  })
  .nullable();

export const SizeAnswer = z
  .object({
    namespace: z.string(),
    service: z.string(),
    kind: z.enum(kinds),
    generated_at: z.string(),
    status: z.enum(['success', 'abstained']),
    reason: z.string().nullable(),
    strategy: z.string(),
    horizon_seconds: z.number(),
    history: z.object({ start: z.string(), end: z.string(), step_seconds: z.number() }),
    containers: z.array(Container),
    replicas: z
      .object({
        current: z.number().nullable(),
        recommended: z.number().nullable(),
        demand_cores: z.number().nullable().describe('Total CPU of all replicas for the horizon'),
        bound_by: z.enum(['usage', 'capacity', 'floor', 'cap', 'nothing']),
        explanation: z.string(),
      })
      .nullable(),
    hpa: HpaTarget.describe('HorizontalPodAutoscaler that scales by CPU'),
    hpa_memory: HpaTarget.describe('HorizontalPodAutoscaler that scales by memory'),
    capacity: Capacity,
    confidence: z.number().nullable().describe('The minimum of all stated probabilities'),
    cost: Cost,
    outputs: z.object({ kubectl: z.string(), kustomize: z.string(), helm: z.string(), vpa: z.string() }).nullable(),
    warnings: z
      .array(z.string())
      .describe('Prometheus’ warnings about incomplete results; with warnings nothing is applied'),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'SizeAnswer',
    examples: [
      {
        namespace: 'hipster-shop',
        service: 'frontend',
        kind: 'Deployment',
        generated_at: '2026-11-20T10:00:00.000Z',
        status: 'abstained',
        reason: 'Prometheus has no container of it in the last 14 days',
        strategy: 'tower',
        horizon_seconds: 86400,
        history: { start: '2026-11-06T10:00:00.000Z', end: '2026-11-20T10:00:00.000Z', step_seconds: 300 },
        containers: [],
        replicas: null,
        hpa: null,
        hpa_memory: null,
        capacity: null,
        confidence: null,
        cost: {
          currency: 'USD',
          cpu_core_hour: 0.031611,
          memory_gib_hour: 0.004237,
          monthly_now: null,
          monthly_recommended: null,
          monthly_saving: null,
        },
        outputs: null,
        warnings: [],
        notes: [],
      },
    ],
  });
export type SizeAnswer = z.infer<typeof SizeAnswer>;

export const BatchRequest = SizeRequest.extend({
  kind: oneOf(kinds)
    .optional()
    .describe('Only this kind; with services: the kind of those that Prometheus does not know'),
  services: z
    .array(z.string().min(1))
    .min(1, 'must have at least one element')
    .max(50, 'must have at most 50 elements')
    .optional()
    .describe('Default: every Deployment, StatefulSet and DaemonSet of the namespace, by name, 50 at a time'),
  after: z.string().optional().describe('`next` of the previous response: continues after it'),
}).meta({ id: 'BatchRequest', examples: [{ horizon: '24h' }] });
export type BatchRequest = z.infer<typeof BatchRequest>;

export const BatchAnswer = z
  .object({
    namespace: z.string(),
    recommendations: z.array(SizeAnswer),
    failures: z.array(z.object({ service: z.string(), error: z.string() })),
    cost: Cost,
    left_off: z.number().describe('Number of workloads beyond the 50 of this response'),
    next: z.string().nullable().describe('Value of `after` for the next response; null: there are no more'),
  })
  .meta({
    id: 'BatchAnswer',
    examples: [
      {
        namespace: 'hipster-shop',
        recommendations: [],
        failures: [],
        cost: {
          currency: 'USD',
          cpu_core_hour: 0.031611,
          memory_gib_hour: 0.004237,
          monthly_now: null,
          monthly_recommended: null,
          monthly_saving: null,
        },
        left_off: 0,
        next: null,
      },
    ],
  });
export type BatchAnswer = z.infer<typeof BatchAnswer>;

export const NamespaceParams = z.object({ namespace: z.string().meta({ example: 'hipster-shop' }) });
