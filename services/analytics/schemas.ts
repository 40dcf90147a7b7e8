import { z } from 'zod';
import { choiceText, integerText, numberText } from '#kernel/query-schemas.ts';
import { timeText } from '#kernel/time-text.ts';
import { granularities } from './query/buckets.ts';
import { largest } from './storage/summary.ts';

/** JSON of metric points, queries and aggregates. */

const name = z
  .string('must be a string')
  .min(1, 'must not be empty')
  .max(256, 'must have at most 256 characters')
  .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must be valid Unicode without NUL');
const Labels = z
  .record(
    name,
    z.string('must be a string').max(1024, 'must have at most 1024 characters'),
    'must be an object of texts',
  )
  .refine((labels) => Object.keys(labels).length <= 32, 'must have at most 32 elements');
export const time = z.iso.datetime().describe('ISO 8601, UTC');

const rowFields = {
  metric: name.optional().describe('Name of the metric; aliases: `metric_type`, `metric_name`'),
  metric_type: name.optional(),
  metric_name: name.optional(),
  resource: name.optional().describe('Measured resource; aliases: `resource_id`, `component`'),
  resource_id: name.optional(),
  component: name.optional(),
  value: z
    .number('must be a finite number')
    .min(-largest, `must be at least ${-largest}`)
    .max(largest, `must be at most ${largest}`),
  labels: Labels.optional().describe('Alias: `tags`'),
  tags: Labels.optional(),
  timestamp: timeText().optional().describe('Default: now'),
};

/** One point, with the field names of either documented API. */
export const MetricRow = z.strictObject(rowFields);
export type MetricRow = z.infer<typeof MetricRow>;

export const RecordRequest = z
  .strictObject({
    ...rowFields,
    value: rowFields.value.optional(),
    metrics: z
      .array(z.unknown(), 'must be an array')
      .min(1, 'must have at least one element')
      .max(10_000, 'must have at most 10000 elements')
      .optional()
      .describe('Several points instead of one; each is validated independently'),
  })
  .meta({
    id: 'RecordRequest',
    examples: [
      { metric: 'cpu_usage', resource: 'node-1', value: 45.5, labels: { host: 'server1' } },
      { metrics: [{ metric_name: 'accuracy', component: 'training', value: 0.95, labels: { model: 'v2.1' } }] },
    ],
  });
export type RecordRequest = z.infer<typeof RecordRequest>;

const Verdict = z.object({
  index: z.int(),
  recorded: z.boolean(),
  field: z.string().nullable(),
  reason: z.string().nullable().describe('Why it was refused'),
});
export const RecordAnswer = z
  .object({
    recorded: z.int(),
    refused: z.int(),
    results: z.array(Verdict).describe('Of each point; of a text: the first ten refused lines'),
  })
  .meta({
    id: 'RecordAnswer',
    examples: [{ recorded: 1, refused: 0, results: [{ index: 0, recorded: true, field: null, reason: null }] }],
  });
export type RecordAnswer = z.infer<typeof RecordAnswer>;

const word = z.string().max(1024, 'must have at most 1024 characters').optional();
export const number = numberText().optional();
export const seriesQuery = {
  metric: word.describe('Aliases: `metric_type`, `metric_name`'),
  metric_type: word,
  metric_name: word,
  resource: word.describe('Aliases: `resource_id`, `component`'),
  resource_id: word,
  component: word,
  label: z
    .union([z.string().max(1300), z.array(z.string().max(1300)).max(32)], 'must be name:value')
    .optional()
    .describe('name:value; can be repeated, all must match'),
};
export const span = {
  start: z.string().max(40).optional().describe('ISO 8601 with a zone, or a date; inclusive'),
  end: z.string().max(40).optional().describe('As start; exclusive. Default: now'),
};

export const SeriesQuery = z.strictObject(seriesQuery);
export type SeriesQuery = z.infer<typeof SeriesQuery>;
export const PointsQuery = z.strictObject({
  ...seriesQuery,
  ...span,
  limit: integerText(1, 10_000).optional().describe('Maximum number of points; default 1000'),
});
export type PointsQuery = z.infer<typeof PointsQuery>;

export const exampleSeries = { metric: 'cpu_usage', resource: 'node-1', labels: { host: 'server1' } };
export const identity = {
  metric: z.string(),
  resource: z.string(),
  labels: z.record(z.string(), z.string()),
};
export const SeriesList = z
  .object({ series: z.array(z.object(identity)), count: z.int() })
  .meta({ id: 'SeriesList', examples: [{ series: [exampleSeries], count: 1 }] });
export type SeriesList = z.infer<typeof SeriesList>;

const value = z.number().nullable().describe('null for NaN and infinity');
export const PointsAnswer = z
  .object({
    points: z.array(z.object({ timestamp: time, ...identity, value })).describe('Newest first'),
    count: z.int(),
    truncated: z.boolean().describe('Whether points were left out because of the limit'),
  })
  .meta({
    id: 'PointsAnswer',
    examples: [
      {
        points: [{ timestamp: '2026-11-20T10:30:00.000Z', ...exampleSeries, value: 45.5 }],
        count: 1,
        truncated: false,
      },
    ],
  });
export type PointsAnswer = z.infer<typeof PointsAnswer>;

export const CollectedPoints = z
  .array(
    z
      .object({
        timestamp: time,
        component: z.string(),
        metric_name: z.string(),
        value,
        labels: z.record(z.string(), z.string()),
      })
      .meta({ id: 'MetricPoint' }),
  )
  .describe('Newest first')
  .meta({
    examples: [
      [
        {
          timestamp: '2026-11-20T10:30:00.000Z',
          component: 'training',
          metric_name: 'accuracy',
          value: 0.95,
          labels: { model: 'v2.1' },
        },
      ],
    ],
  });
export type CollectedPoints = z.infer<typeof CollectedPoints>;

export const AggregateQuery = z.strictObject({
  ...seriesQuery,
  ...span,
  granularity: choiceText(granularities).optional().describe('HOUR by default'),
  timezone: z.string().max(64).optional().describe('Time zone of days and months: Europe/Berlin; default UTC'),
  group_by: choiceText(['none', 'resource', 'series'])
    .optional()
    .describe('none (all series together), resource or series; default none'),
  percentiles: z.string().max(100).optional().describe('Comma-separated, 0 to 100; default 50,95,99'),
});
export type AggregateQuery = z.infer<typeof AggregateQuery>;

const Bucket = z
  .object({
    start: time,
    end: time,
    count: z.int(),
    sum: z.number(),
    mean: z.number(),
    min: z.number(),
    max: z.number(),
    stddev: z.number().describe('Of the population'),
    percentiles: z.record(z.string(), z.number()).describe('Each within 1 % of a value at that rank'),
  })
  .meta({ id: 'MetricBucket' });
export type Bucket = z.infer<typeof Bucket>;
export const AggregateAnswer = z
  .object({
    metric: z.string(),
    granularity: z.enum(granularities),
    timezone: z.string(),
    groups: z.array(
      z.object({
        resource: z.string().nullable(),
        labels: z.record(z.string(), z.string()).nullable(),
        series: z.int().describe('Number of series'),
        buckets: z.array(Bucket).describe('Without empty buckets'),
      }),
    ),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'AggregateAnswer',
    examples: [
      {
        metric: 'cpu_usage',
        granularity: 'HOUR',
        timezone: 'UTC',
        groups: [
          {
            resource: null,
            labels: null,
            series: 1,
            buckets: [
              {
                start: '2026-11-20T10:00:00.000Z',
                end: '2026-11-20T11:00:00.000Z',
                count: 120,
                sum: 5460,
                mean: 45.5,
                min: 40,
                max: 51,
                stddev: 2.1,
                percentiles: { p50: 45.4, p95: 49.2, p99: 50.6 },
              },
            ],
          },
        ],
        notes: [],
      },
    ],
  });
export type AggregateAnswer = z.infer<typeof AggregateAnswer>;
