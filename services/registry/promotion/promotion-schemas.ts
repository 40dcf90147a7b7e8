import { z } from 'zod';
import { choiceText, integerText } from '#kernel/query-schemas.ts';
import { StageName } from '../schemas.ts';
import { GateRule, GateRules } from './gate-rules.ts';

/** JSON of comparisons, gates and hygiene. */
const one = z.string().max(512, 'must have at most 512 characters');
const Side = z.object({
  version: z.string(),
  stage: StageName,
  aliases: z.array(z.string()),
  run_id: z.string().nullable(),
  creation_timestamp: z.iso.datetime().nullable(),
});

export const MetricComparison = z
  .object({
    name: z.string(),
    direction: z.enum(['higher', 'lower', 'unknown']).describe('Better direction; unknown = not configured'),
    champion: z.number().nullable(),
    challenger: z.number().nullable(),
    change: z.number().nullable(),
    change_pct: z.number().nullable().describe('null if the champion has 0 or no value'),
    better: z.enum(['champion', 'challenger', 'equal']).nullable().describe('null if unknown'),
  })
  .meta({ id: 'MetricComparison' });
export type MetricComparison = z.infer<typeof MetricComparison>;

const Difference = z.object({ name: z.string(), champion: z.string().nullable(), challenger: z.string().nullable() });
const Dataset = z.object({ name: z.string(), digest: z.string() });

export const CompareQuery = z.strictObject({
  versions: one
    .optional()
    .describe(
      'Champion and challenger, e.g. 3,4; default: the version in production, and the latest in staging or of all',
    ),
});

export const Comparison = z
  .object({
    name: z.string(),
    champion: Side,
    challenger: Side,
    comparable: z.enum(['yes', 'warn', 'unknown']).describe('Whether both were measured on the same data'),
    comparable_reason: z.string(),
    datasets: z.object({ champion: z.array(Dataset), challenger: z.array(Dataset) }).nullable(),
    metrics: z.array(MetricComparison),
    summary: z.object({ challenger_better: z.int(), champion_better: z.int(), equal: z.int(), undecided: z.int() }),
    params: z.array(Difference).nullable().describe('Those that differ; null if a run is unknown'),
    params_reason: z.string().nullable(),
    tags: z.array(Difference).describe('Those that differ'),
  })
  .meta({
    id: 'Comparison',
    examples: [
      {
        name: 'churn-predictor',
        champion: {
          version: '3',
          stage: 'Production',
          aliases: ['champion'],
          run_id: '0d6c35d3a1f2',
          creation_timestamp: '2026-09-05T07:00:00.000Z',
        },
        challenger: {
          version: '4',
          stage: 'Staging',
          aliases: [],
          run_id: '77aa35d3a1f2',
          creation_timestamp: '2026-11-05T07:00:00.000Z',
        },
        comparable: 'yes',
        comparable_reason: 'both were measured on holdout-2026',
        datasets: {
          champion: [{ name: 'holdout-2026', digest: '9b3f' }],
          challenger: [{ name: 'holdout-2026', digest: '9b3f' }],
        },
        metrics: [
          {
            name: 'accuracy',
            direction: 'higher',
            champion: 0.9371,
            challenger: 0.9412,
            change: 0.0041,
            change_pct: 0.4375,
            better: 'challenger',
          },
        ],
        summary: { challenger_better: 1, champion_better: 0, equal: 0, undecided: 0 },
        params: [{ name: 'learning_rate', champion: '0.001', challenger: '0.003' }],
        params_reason: null,
        tags: [{ name: 'validated', champion: 'true', challenger: null }],
      },
    ],
  });
export type Comparison = z.infer<typeof Comparison>;

export const GateRequest = z
  .strictObject({
    baseline: one.optional().describe('Version to compare with; default: the version in production'),
    rules: GateRules.min(1, 'must have at least one rule')
      .optional()
      .describe('Instead of the rules of GATE_RULES_FILE'),
  })
  .meta({
    id: 'GateRequest',
    examples: [
      { rules: [{ metric: 'accuracy', max_loss_pct: 1 }, { tag: 'validated', equals: 'true' }, { owner: true }] },
    ],
  });
export type GateRequest = z.infer<typeof GateRequest>;

export const GateQuery = z.strictObject({
  fail: choiceText(['true', 'false'])
    .optional()
    .describe('true: a version that does not pass gets 409, with the result in error.details.gate'),
});

export const GateResult = z
  .object({
    name: z.string(),
    version: z.string(),
    baseline: z.string().nullable(),
    status: z.enum(['pass', 'fail']).describe('pass: every rule passed'),
    evaluated_at: z.iso.datetime(),
    rules: z.array(z.object({ rule: GateRule, passed: z.boolean(), reason: z.string() })),
  })
  .meta({
    id: 'GateResult',
    examples: [
      {
        name: 'churn-predictor',
        version: '4',
        baseline: '3',
        status: 'fail',
        evaluated_at: '2026-11-20T10:30:00.000Z',
        rules: [
          {
            rule: { metric: 'accuracy', max_loss_pct: 1 },
            passed: true,
            reason: 'accuracy is 0.9412, the baseline’s (version 3) is 0.9371; higher is better',
          },
          { rule: { tag: 'validated', equals: 'true' }, passed: false, reason: 'tag validated is missing' },
        ],
      },
    ],
  });
export type GateResult = z.infer<typeof GateResult>;

export const findingKinds = [
  'dangling_alias',
  'several_production_versions',
  'stage_alias_conflict',
  'missing_run',
  'unmonitored_production',
  'no_metrics',
  'no_owner',
  'no_description',
  'stale_model',
] as const;

export const HygieneQuery = z.strictObject({
  kind: choiceText(findingKinds).optional().describe('Only this kind'),
  name: one.optional().describe('Only this model'),
  scope: choiceText(['deployed', 'all'])
    .optional()
    .describe('deployed (default): versions in production and staging; all: every version'),
  limit: integerText(1, 10_000).optional().describe('Maximum number of findings, 1 to 10000; default 1000'),
  page_token: one.optional().describe('Page token: the value from the Link header'),
});
export type HygieneQuery = z.infer<typeof HygieneQuery>;

const FindingInfo = z
  .object({
    kind: z.enum(findingKinds),
    name: z.string(),
    version: z.string().nullable(),
    alias: z.string().nullable(),
    detail: z.string(),
  })
  .meta({ id: 'HygieneFinding' });
export type Finding = z.infer<typeof FindingInfo>;

export const HygieneReport = z
  .object({
    checked_models: z.int(),
    checked_versions: z.int(),
    scope: z.enum(['deployed', 'all']),
    counts: z.record(z.enum(findingKinds), z.int()).describe('Of all findings, regardless of filters'),
    findings: z.array(FindingInfo),
  })
  .meta({
    id: 'HygieneReport',
    examples: [
      {
        checked_models: 6,
        checked_versions: 8,
        scope: 'deployed',
        counts: {
          dangling_alias: 1,
          several_production_versions: 0,
          stage_alias_conflict: 0,
          missing_run: 0,
          unmonitored_production: 2,
          no_metrics: 0,
          no_owner: 0,
          no_description: 1,
          stale_model: 0,
        },
        findings: [
          {
            kind: 'dangling_alias',
            name: 'churn-predictor',
            version: '9',
            alias: 'canary',
            detail: 'alias canary points at version 9, which was deleted',
          },
        ],
      },
    ],
  });
export type HygieneReport = z.infer<typeof HygieneReport>;
