import { z } from 'zod';
import { integerText } from '#kernel/query-schemas.ts';

/** JSON of drift: values measured after training, assessments, and observations. */
export const DriftQuery = z.strictObject({
  days: integerText(1, 3650)
    .optional()
    .describe('Time range of the values, 1 to 3650 days; default 30. Verdicts use all values'),
});

export const driftStatuses = ['no_data', 'insufficient_data', 'stable', 'warning', 'drift'] as const;
export const DriftStatus = z
  .enum(driftStatuses)
  .describe(
    'no_data: nothing was measured after training; insufficient_data: too little for a verdict; stable; warning: a change for the worse that is not certain enough or not comparable; drift: a certain change for the worse. The worst of the assessments',
  );
export type DriftStatus = z.infer<typeof DriftStatus>;

const time = z.iso.datetime();
const day = z
  .object({ date: time.describe('Start of the UTC day') })
  .catchall(z.union([z.number(), z.null(), z.string()]))
  .describe('Last value of each metric on that day; null for NaN and infinity');

const Point = z
  .object({
    metric: z.string(),
    value: z.number().nullable(),
    at: time,
    source: z.enum(['logged_model', 'evaluation_run', 'own_run', 'posted']),
    phase: z
      .enum(['training', 'evaluation', 'production'])
      .describe('training: a learning curve, shown but not evaluated'),
    run_id: z.string().nullable(),
    dataset: z.string().nullable(),
  })
  .meta({ id: 'DriftPoint' });

const Test = z.object({
  name: z.enum(['cusum', 'mann_kendall', 'kolmogorov_smirnov', 'chi_square', 'wasserstein', 'jensen_shannon', 'psi']),
  against: z.enum(['baseline', 'previous']),
  statistic: z.number(),
  threshold: z.number().describe('Threshold of the statistic; for tests with p the level of p'),
  p: z.number().nullable(),
  flag: z.boolean(),
});
export type DriftTest = z.infer<typeof Test>;

const shared = {
  status: DriftStatus,
  reason: z.string(),
  dataset: z.string().nullable(),
  p: z.number().nullable().describe('Combined over all tests of this series; null without any'),
  p_adjusted: z.number().nullable().describe('Adjusted for the number of series (Benjamini-Hochberg)'),
  tests: z.array(Test),
  caveats: z.array(z.string()),
};

export const MetricAssessment = z
  .object({
    kind: z.literal('metric'),
    metric: z.string(),
    direction: z.enum(['higher', 'lower', 'unknown']),
    ...shared,
    baseline: z
      .object({ value: z.number(), sd: z.number().nullable(), n: z.int(), source: z.enum(['pinned', 'first_points']) })
      .nullable(),
    current: z.object({ value: z.number().describe('Median of the last three days'), at: time }).nullable(),
    change: z.number().nullable(),
    change_pct: z.number().nullable(),
    change_point: time.nullable().describe('Most likely first day of the change'),
    slope_per_30d: z
      .object({ value: z.number(), low: z.number(), high: z.number() })
      .nullable()
      .describe('With its 90 % interval'),
    n_points: z.int().describe('Days with a value'),
    span_days: z.number(),
  })
  .meta({ id: 'MetricAssessment' });
export type MetricAssessment = z.infer<typeof MetricAssessment>;

const Sample = z.object({ n: z.int(), from: time, until: time });
export const DistributionAssessment = z
  .object({
    kind: z.literal('distribution'),
    feature: z.string(),
    type: z.enum(['numeric', 'categorical']),
    ...shared,
    baseline: Sample.extend({ source: z.enum(['pinned', 'first_day']) }).nullable(),
    previous: Sample.nullable(),
    current: Sample.nullable(),
  })
  .meta({ id: 'DistributionAssessment' });
export type DistributionAssessment = z.infer<typeof DistributionAssessment>;

const Assessment = z.discriminatedUnion('kind', [MetricAssessment, DistributionAssessment]);
export type Assessment = z.infer<typeof Assessment>;

const VersionDrift = z
  .object({
    version: z.string(),
    stage: z.string(),
    metrics_over_time: z.array(day),
    aliases: z.array(z.string()),
    status: DriftStatus,
    reason: z.string(),
    assessment: z.array(Assessment),
    observations_omitted: z
      .int()
      .describe(
        'Posted observations that were not read: the oldest of more than 200,000, or some of a day with too many',
      ),
    points: z.array(Point).describe('All values in the time range with provenance, the latest 2000'),
  })
  .meta({ id: 'VersionDrift' });
export type VersionDrift = z.infer<typeof VersionDrift>;

const exampleAssessment: MetricAssessment = {
  kind: 'metric',
  metric: 'accuracy',
  direction: 'higher',
  status: 'drift',
  reason: 'accuracy fell from 0.945 to 0.871',
  dataset: null,
  p: 0.00004,
  p_adjusted: 0.00012,
  tests: [
    { name: 'mann_kendall', against: 'baseline', statistic: -4.2, threshold: 0.05, p: 0.00001, flag: true },
    { name: 'cusum', against: 'baseline', statistic: 41.3, threshold: 0.05, p: 0.00002, flag: true },
  ],
  caveats: [],
  baseline: { value: 0.945, sd: 0.004, n: 30, source: 'first_points' },
  current: { value: 0.871, at: '2026-11-19T00:00:00.000Z' },
  change: -0.074,
  change_pct: -7.83,
  change_point: '2026-10-24T00:00:00.000Z',
  slope_per_30d: { value: -0.071, low: -0.078, high: -0.063 },
  n_points: 60,
  span_days: 59,
};

export const ModelDrift = z.array(VersionDrift).meta({
  examples: [
    [
      {
        version: '3',
        stage: 'Production',
        metrics_over_time: [{ date: '2026-11-19T00:00:00.000Z', accuracy: 0.871, f1_score: 0.84 }],
        aliases: ['champion'],
        status: 'drift',
        reason: 'accuracy fell from 0.945 to 0.871',
        assessment: [exampleAssessment],
        observations_omitted: 0,
        points: [
          {
            metric: 'accuracy',
            value: 0.871,
            at: '2026-11-19T01:00:00.000Z',
            source: 'own_run',
            phase: 'production',
            run_id: '0d6c35d3a1f2',
            dataset: null,
          },
        ],
      },
      {
        version: '2',
        stage: 'Archived',
        metrics_over_time: [],
        aliases: [],
        status: 'no_data',
        reason: 'nothing was measured for this version after its training',
        assessment: [],
        observations_omitted: 0,
        points: [],
      },
    ],
  ],
});
export type ModelDrift = z.infer<typeof ModelDrift>;

export const DriftOverview = z
  .object({
    assessed_at: time.nullable().describe('null = monitored versions were not assessed yet'),
    not_assessed: z.int().describe('Monitored versions that the next assessment will include'),
    counts: z.record(DriftStatus, z.int()),
    versions: z.array(z.object({ name: z.string(), version: z.string(), status: DriftStatus, reason: z.string() })),
  })
  .meta({
    id: 'DriftOverview',
    examples: [
      {
        assessed_at: '2026-11-20T10:30:00.000Z',
        not_assessed: 0,
        counts: { no_data: 0, insufficient_data: 1, stable: 1, warning: 0, drift: 1 },
        versions: [
          { name: 'churn-predictor', version: '4', status: 'drift', reason: 'accuracy fell from 0.945 to 0.871' },
        ],
      },
    ],
  });
export type DriftOverview = z.infer<typeof DriftOverview>;
