import { z } from 'zod';
import { ofOthers, own } from './strategies/names.ts';

/** What goes in and out at /api/v1/rightsizing. */

export const among = (min: number, max: number, whole = false) => {
  const rule = `must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`;
  const bounded = z.number(rule).min(min, rule).max(max, rule);
  return whole ? bounded.int(rule) : bounded;
};
export const yes = z.boolean('must be true or false');
export const oneOf = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, `must be ${names.slice(0, -1).join(', ')} or ${names.at(-1)}`);

export const strategyNames = [own, ...ofOthers] as const;
const kinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const;

export const SizeParams = z.object({
  namespace: z.string().meta({ example: 'hipster-shop' }),
  service: z.string().meta({ example: 'frontend' }),
});

const cores = among(0.001, 10_000);
const bytes = among(1, 1e15);

export const SizeRequest = z
  .strictObject({
    horizon: oneOf(['24h', '1h'])
      .default('24h')
      .describe('How long the request is to hold: until the next redeployment, or until the next resize in place'),
    strategy: oneOf(strategyNames).default(own).describe('The tower’s own, or the rule of another right-sizer'),
    compare: yes.default(false).describe('Tell what every other strategy would say as well'),
    violation: among(0.005, 0.5).default(0.05).describe('Stated share of samples that may lie above the CPU request'),
    memory_violation: among(0.001, 0.5)
      .default(0.02)
      .describe('Stated share of horizons in which memory may go above its request'),
    history_days: among(1, 31, true).default(14).describe('How far back usage is looked at'),
    startup_seconds: among(0, 3600).default(120).describe('CPU of a pod’s first moments does not count'),
    kind: oneOf(kinds).optional().describe('Not given: as Prometheus knows it, else a Deployment'),
    target_utilization: among(0.1, 1)
      .default(1)
      .describe('Share of their CPU requests that all replicas together are to use at the stated quantile'),
    cpu_limit: yes
      .default(false)
      .describe('Recommend a CPU limit too: the greatest use seen, a fifth more, twice the request at least'),
    basis: oneOf(['auto', 'usage', 'capacity'])
      .default('auto')
      .describe(
        'CPU and memory from what was used, or from experiments and traffic; auto: from these where there are any',
      ),
    demand_requests_per_second: among(0, 1e9)
      .optional()
      .describe('Traffic to size for, in the place of what Prometheus counted'),
    min_cpu_cores: cores.optional(),
    max_cpu_cores: cores.optional(),
    min_memory_bytes: bytes.optional(),
    max_memory_bytes: bytes.optional(),
    min_replicas: among(1, 10_000, true).default(1),
    max_replicas: among(1, 10_000, true).optional(),
  })
  .meta({ examples: [{ horizon: '24h', compare: true }] });
export type SizeRequest = z.infer<typeof SizeRequest>;

const Sizing = z.object({
  request: z.number().nullable().describe('Cores or bytes; null where nothing can be said'),
  limit: z.number().nullable(),
  unit: z.enum(['cores', 'bytes']),
  current_request: z.number().nullable(),
  current_limit: z.number().nullable(),
  confidence: z
    .number()
    .nullable()
    .describe('Calibrated probability that the stated violation is kept over the horizon'),
  bound_by: z
    .enum(['usage', 'capacity', 'floor', 'cap', 'limit_range', 'quota', 'node', 'oom', 'heap', 'nothing'])
    .describe('Which rule decided'),
  unbounded: z.number().nullable().describe('Before floors and caps'),
  peak: z.number().nullable().describe('Greatest use of any pod'),
  samples: z.number(),
  pods: z.number(),
  explanation: z.string(),
  experts: z.array(z.object({ name: z.string(), weight: z.number(), says: z.number() })),
  factor: z.number().nullable().describe('What the blend of the experts was multiplied by'),
  compared: z.array(z.object({ strategy: z.string(), request: z.number().nullable() })),
});
export type Sizing = z.infer<typeof Sizing>;

const Container = z.object({
  container: z.string(),
  sidecar: z
    .boolean()
    .describe('Injected beside the service by its name, an init container, or not in its own template'),
  cpu: Sizing,
  memory: Sizing,
  startup_peak_cores: z.number().nullable().describe('Greatest CPU of a pod’s first moments; null where no pod began'),
});

const CapacityCurve = z
  .object({
    base: z.number().describe('Cores or bytes of a replica without load'),
    per_request: z.number().describe('… and for each request per second'),
    per_request_squared: z.number().describe('… and for its square; 0 where a line does'),
    at_most_tried: z.number(),
    error: z.number().describe('Mean relative error at levels of load that were left out'),
    margin: z.number().describe('What the curve is multiplied by at that load'),
  })
  .nullable();
const Capacity = z
  .object({
    scenario: z.string().nullable().describe('The one that takes most'),
    load_from: z.enum(['request_rate', 'load_test']).nullable(),
    experiments: z.int(),
    left_out: z.int().describe('Experiments of low quality'),
    levels: z.int().nullable(),
    tried_requests_per_second: z.number().nullable().describe('The most one replica was tried with'),
    cpu: CapacityCurve,
    memory: CapacityCurve,
    demand_requests_per_second: z.number().nullable().describe('Of all replicas, at the stated quantile'),
    demand_by: z
      .enum(['request', 'forecast', 'quantiles'])
      .nullable()
      .describe('As it was said, by the forecast engine, or as the quantile of usage is found'),
    replicas: z.int().nullable(),
    fewest_replicas: z.int().nullable().describe('As many as would bear it and a fifth more'),
    requests_per_second_of_each: z.number().nullable(),
    reason: z.string().nullable().describe('Why usage decided'),
  })
  .nullable()
  .describe('What experiments say; null where there are none');

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
        demand_cores: z.number().nullable().describe('What all replicas together are to have for the horizon'),
        bound_by: z.enum(['usage', 'capacity', 'floor', 'cap', 'nothing']),
        explanation: z.string(),
      })
      .nullable(),
    hpa: HpaTarget.describe('What scales by CPU'),
    hpa_memory: HpaTarget.describe('What scales by memory'),
    capacity: Capacity,
    confidence: z.number().nullable().describe('The least of all that are stated'),
    cost: Cost,
    outputs: z.object({ kubectl: z.string(), kustomize: z.string(), helm: z.string(), vpa: z.string() }).nullable(),
    warnings: z
      .array(z.string())
      .describe('What Prometheus says of answers that may not be whole; nothing is applied then'),
    notes: z.array(z.string()),
  })
  .meta({
    examples: [
      {
        namespace: 'hipster-shop',
        service: 'frontend',
        kind: 'Deployment',
        generated_at: '2026-11-20T10:00:00.000Z',
        status: 'abstained',
        reason: 'Prometheus knows no container of it in the last 14 days',
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
    .describe('Only those; of services that are named and that Prometheus does not know, what they are'),
  services: z
    .array(z.string().min(1))
    .min(1, 'must name one at least')
    .max(50, 'must name 50 at most')
    .optional()
    .describe('Not given: every Deployment, StatefulSet and DaemonSet of the namespace, by name, 50 at a time'),
  after: z.string().optional().describe('`next` of the answer before: those that come after it'),
}).meta({ examples: [{ horizon: '24h' }] });
export type BatchRequest = z.infer<typeof BatchRequest>;

export const BatchAnswer = z
  .object({
    namespace: z.string(),
    recommendations: z.array(SizeAnswer),
    failures: z.array(z.object({ service: z.string(), error: z.string() })),
    cost: Cost,
    left_off: z.number().describe('Workloads beyond the 50 that were looked at'),
    next: z.string().nullable().describe('What to ask for as `after` for those; null: there are none'),
  })
  .meta({
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
