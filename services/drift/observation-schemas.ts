import { z } from 'zod';
import { timeText } from '#kernel/time-text.ts';

/** JSON of posted observations: metric values, samples or histograms of features, and baselines. */
const text = (max: number) =>
  z.string('must be a string').min(1, 'must not be empty').max(max, `must have at most ${max} characters`);
/** Beyond these bounds, sums and squares overflow. */
const finite = z.number('must be a number').min(-1e100, 'must be at least -1e100').max(1e100, 'must be at most 1e100');
const count = z.int('must be an integer').min(0, 'must not be negative').max(1e12, 'must be at most 1e12');
const time = timeText();

const common = {
  id: text(128)
    .optional()
    .describe('Id chosen by the client; the same id is accepted once. Default: a hash of the content'),
  at: time.describe('Time of the measurement'),
  dataset: text(250).optional().describe('Only measurements on the same dataset are compared'),
};
const feature = text(250).describe('Name of the feature or prediction');

const Value = z
  .strictObject({
    ...common,
    metric: text(250),
    value: finite,
    n: count.optional().describe('Number of rows'),
  })
  .meta({ id: 'ValueObservation' });
const Samples = z
  .strictObject({
    ...common,
    feature,
    samples: z
      .union([z.array(finite).max(10_000), z.array(text(200)).max(10_000)], 'must be numbers or strings, at most 10000')
      .refine((list) => list.length > 0, 'must not be empty'),
  })
  .meta({ id: 'SamplesObservation' });
const Histogram = z
  .strictObject({
    ...common,
    feature,
    histogram: z.union(
      [
        z
          .strictObject({
            edges: z
              .array(finite)
              .min(3)
              .max(1001)
              .refine((edges) => edges.every((edge, i) => i === 0 || edge > (edges[i - 1] ?? 0)), 'must be ascending'),
            counts: z.array(count).min(2).max(1000),
          })
          .refine(
            ({ edges, counts }) => edges.length === counts.length + 1,
            'edges must have one more element than counts',
          )
          .meta({ id: 'BinnedHistogram' }),
        z
          .strictObject({
            categories: z
              .record(text(200), count)
              .refine((all) => Object.keys(all).length <= 1000, 'must have at most 1000 entries')
              .meta({ id: 'CategoryCounts' }),
          })
          .meta({ id: 'CategoryHistogram' }),
      ],
      'must be {edges, counts} with ascending edges, one more than counts, or {categories: {name: count}}',
    ),
  })
  .meta({ id: 'HistogramObservation' });

export const Observation = z
  .union([Value, Samples, Histogram], 'must be {at, metric, value}, {at, feature, samples} or {at, feature, histogram}')
  .meta({ id: 'Observation' });
export type Observation = z.infer<typeof Observation>;

export const ObservationsRequest = z
  .strictObject({
    observations: z
      .array(Observation, 'must be an array')
      .min(1, 'must have at least one element')
      .max(1000, 'must have at most 1000 elements'),
  })
  .meta({
    id: 'ObservationsRequest',
    examples: [
      {
        observations: [
          { at: '2026-11-20T00:00:00Z', metric: 'accuracy', value: 0.93, n: 5000 },
          { at: '2026-11-20T00:00:00Z', feature: 'age', samples: [31, 44, 27] },
          { at: '2026-11-20T00:00:00Z', feature: 'plan', histogram: { categories: { free: 812, pro: 188 } } },
        ],
      },
    ],
  });
export type ObservationsRequest = z.infer<typeof ObservationsRequest>;

export const ObservationsTaken = z
  .object({ accepted: z.int(), duplicates: z.int().describe('Posted before, or twice in this batch') })
  .meta({ id: 'ObservationsTaken', examples: [{ accepted: 3, duplicates: 0 }] });
export type ObservationsTaken = z.infer<typeof ObservationsTaken>;

const subject = { subject: text(250).describe('Metric or feature') };
export const BaselineRequest = z
  .union(
    [
      z
        .strictObject({ ...subject, from: time, until: time })
        .refine(({ from, until }) => Date.parse(from) < Date.parse(until), 'from must be before until'),
      z.strictObject({
        ...subject,
        value: finite,
        sd: finite.min(1e-100, 'must be at least 1e-100'),
        n: z.int().min(2, 'must be at least 2').max(1e9),
      }),
    ],
    'must be {subject, from, until} with from before until, or {subject, value, sd, n} of a metric',
  )
  .meta({ examples: [{ subject: 'accuracy', from: '2026-10-01T00:00:00Z', until: '2026-11-01T00:00:00Z' }] });
export type BaselineRequest = z.infer<typeof BaselineRequest>;

export const BaselineInfo = z
  .object({
    subject: z.string(),
    from: z.string().nullable(),
    until: z.string().nullable(),
    value: z.number().nullable(),
    sd: z.number().nullable(),
    n: z.int().nullable(),
    pinned_by: z.string(),
    pinned_at: z.iso.datetime(),
  })
  .meta({ id: 'Baseline' });
export type BaselineInfo = z.infer<typeof BaselineInfo>;

const exampleBaseline = {
  subject: 'accuracy',
  from: '2026-10-01T00:00:00Z',
  until: '2026-11-01T00:00:00Z',
  value: null,
  sd: null,
  n: null,
  pinned_by: 'dana',
  pinned_at: '2026-11-20T10:30:00.000Z',
};
export const BaselineOne = BaselineInfo.extend({}).meta({ examples: [exampleBaseline] });
export const BaselineList = z.array(BaselineInfo).meta({ examples: [[exampleBaseline]] });
export const BaselineQuery = z.strictObject({ subject: text(250).describe('Metric or feature') });
export const BaselineRemoved = z
  .object({ message: z.string() })
  .meta({ id: 'BaselineRemoved', examples: [{ message: 'The baseline of accuracy is no longer pinned' }] });
