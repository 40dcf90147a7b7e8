import { z } from 'zod';
import { booleanFlag, numberBetween, oneOf, SizeRequest } from '../schemas.ts';

/** HTTP schemas of applying a recommendation. */

export const ApplyRequest = SizeRequest.extend({
  dry_run: booleanFlag.default(true).describe('Report the changes, validated by the API server, without making them'),
  resources: z
    .array(oneOf(['cpu', 'memory']))
    .min(1, 'must have at least one element')
    .default(['cpu', 'memory']),
  canary: booleanFlag
    .default(true)
    .describe('Resize one pod in place first (Kubernetes 1.33 and later); not with a single replica'),
  in_place: booleanFlag
    .optional()
    .describe(
      'Resize all pods in place, one after the other, and leave the template unchanged; lasts until pods are replaced. Default: true for horizon 1h',
    ),
  watch_seconds: numberBetween(1, 86_400, true)
    .default(600)
    .describe('How long pods are watched, after the canary and at the end'),
  rollout_seconds: numberBetween(1, 86_400, true).default(600).describe('Maximum wait for all pods to be ready'),
}).meta({ id: 'ApplyRequest', examples: [{ dry_run: false, canary: true, watch_seconds: 600 }] });
export type ApplyRequest = z.infer<typeof ApplyRequest>;

const Change = z.object({
  container: z.string(),
  what: z.string().describe('requests.cpu, requests.memory, limits.cpu or limits.memory'),
  from: z.string().nullable(),
  to: z.string(),
});
export type Change = z.infer<typeof Change>;

const Scaling = z
  .object({
    name: z.string(),
    targets: z.array(
      z.object({
        resource: z.enum(['cpu', 'memory']),
        container: z.string().nullable().describe('null: all containers of a pod together'),
        from: z.string().describe('Per cent of requests, such as 60%'),
        meanwhile: z.string().describe('The same as an absolute amount per pod, while there are pods of both sizes'),
        to: z.string().describe('An absolute amount with in_place, since new pods get the template’s requests'),
        acts_at: z.string().describe('Usage per pod at which it scales afterwards'),
      }),
    ),
  })
  .nullable()
  .describe('Targets of the HorizontalPodAutoscaler that change with requests');
export type Scaling = z.infer<typeof Scaling>;

const measured = z.number().nullable().describe('null: not measured');
const Measured = z.object({ cpu_throttle_ratio: measured, error_ratio: measured, latency_p95_ms: measured });

const ApplyResult = z.object({
  status: z.enum(['applied', 'undone']),
  reason: z.string().nullable().describe('Why it was rolled back'),
  canary: z.string().nullable().describe('The pod resized first'),
  changes: z.array(Change),
  autoscaler: Scaling.default(null),
  before: Measured,
  after: Measured,
  steps: z.array(z.object({ at: z.string(), text: z.string() })),
});
export type ApplyResult = z.infer<typeof ApplyResult>;

export const ApplyPlan = z
  .object({
    dry_run: z.literal(true),
    namespace: z.string(),
    service: z.string(),
    changes: z.array(Change),
    autoscaler: Scaling,
    confidence: z.number().nullable(),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'ApplyPlan',
    examples: [
      {
        dry_run: true,
        namespace: 'hipster-shop',
        service: 'frontend',
        changes: [{ container: 'server', what: 'requests.cpu', from: '100m', to: '62m' }],
        autoscaler: {
          name: 'frontend',
          targets: [{ resource: 'cpu', container: null, from: '60%', meanwhile: '60m', to: '90%', acts_at: '56m' }],
        },
        confidence: 0.83,
        notes: [],
      },
    ],
  });
export type ApplyPlan = z.infer<typeof ApplyPlan>;

export const ApplyJob = z
  .object({
    id: z.string(),
    namespace: z.string(),
    service: z.string(),
    status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    attempts: z.int().describe('Number of starts: above 1 if an instance died while running it'),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    progress: z.object({ step: z.string() }).nullable(),
    result: ApplyResult.nullable(),
    error: z.string().nullable(),
  })
  .meta({
    id: 'ApplyJob',
    examples: [
      {
        id: '3f0c2a56-5b0e-4b5f-9a53-0f8d7e0f4b11',
        namespace: 'hipster-shop',
        service: 'frontend',
        status: 'running',
        attempts: 1,
        created_at: '2026-11-20T10:00:00.000Z',
        finished_at: null,
        progress: { step: 'resizing frontend-579b9bff58-t2dbm in place' },
        result: null,
        error: null,
      },
    ],
  });
export type ApplyJob = z.infer<typeof ApplyJob>;
