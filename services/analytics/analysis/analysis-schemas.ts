import { z } from 'zod';
import { choiceText, integerText } from '#kernel/query-schemas.ts';
import { exampleSeries, identity, number, seriesQuery, span, time } from '../schemas.ts';

/** JSON of analyses of metric points: anomalies, trends, forecasts, baselines. */

export const AnomaliesQuery = z.strictObject({
  ...seriesQuery,
  ...span,
  method: choiceText(['calibrated', 'zscore', 'esd', 'peers'])
    .optional()
    .describe(
      'calibrated (each point relative to earlier points), zscore, esd (the whole time range at once) or peers',
    ),
  threshold_stddevs: number.describe('Threshold of zscore; setting it selects zscore; default 2.5'),
});
export type AnomaliesQuery = z.infer<typeof AnomaliesQuery>;

const Anomaly = z
  .object({
    timestamp: time,
    ...identity,
    value: z.number(),
    expected: z.number().nullable(),
    score: z.number().describe('Above 1 it is an anomaly, for every method'),
    zscore: z.number().nullable(),
    reason: z.string(),
  })
  .meta({ id: 'Anomaly' });
export type Anomaly = z.infer<typeof Anomaly>;
export const AnomaliesAnswer = z
  .object({
    method: z.enum(['calibrated', 'zscore', 'esd', 'peers']),
    threshold: z.number(),
    series: z.int().describe('Number of matching series'),
    evaluated_series: z.int().describe('Number of series with enough points; notes name the others'),
    anomalies: z.array(Anomaly),
    start: time,
    end: time,
    notes: z.array(z.string()),
  })
  .meta({
    id: 'AnomaliesAnswer',
    examples: [
      {
        method: 'calibrated',
        threshold: 1,
        series: 1,
        evaluated_series: 1,
        anomalies: [
          {
            timestamp: '2026-11-20T10:30:00.000Z',
            ...exampleSeries,
            value: 98.5,
            expected: 45.5,
            score: 2.1,
            zscore: null,
            reason: '98.5, expected 45.5 at this time of day: less than once in a million points',
          },
        ],
        start: '2026-11-19T10:30:00.000Z',
        end: '2026-11-20T10:30:00.000Z',
        notes: [],
      },
    ],
  });
export type AnomaliesAnswer = z.infer<typeof AnomaliesAnswer>;

export const TrendQuery = z.strictObject({
  ...seriesQuery,
  ...span,
  time_window: integerText(60).optional().describe('Length of the time range before end, instead of start; 86400'),
});
export type TrendQuery = z.infer<typeof TrendQuery>;

export const TrendAnswer = z
  .object({
    metric: z.string(),
    slope: z.number().nullable().describe('Units per minute'),
    direction: z
      .enum(['INCREASING', 'DECREASING', 'STABLE', 'INCONCLUSIVE', 'INSUFFICIENT_DATA'])
      .describe(
        'STABLE: insignificant or too small to matter; INCONCLUSIVE: the time range cannot separate a trend from a daily or weekly cycle',
      ),
    reason: z.string().nullable().describe('Why the direction is inconclusive or unknown, and what helps'),
    magnitude: z.number().nullable().describe('Absolute change over the time range'),
    slope_per_day: z.number().nullable(),
    slope_per_day_low: z.number().nullable().describe('95 % interval, widened for autocorrelation'),
    slope_per_day_high: z.number().nullable(),
    p: z.number().nullable().describe('p-value of the trend'),
    practical_floor: z.number().nullable().describe('Smaller changes are STABLE'),
    deseasonalised: z.boolean().describe('Whether the daily cycle was removed'),
    changepoints: z.array(z.object({ at: time, before: z.number(), after: z.number() })),
    start: time,
    end: time,
    levels: z.int().describe('Number of steps used'),
    step_seconds: z.number(),
  })
  .meta({
    id: 'TrendAnswer',
    examples: [
      {
        metric: 'disk_used',
        slope: 0.0021,
        direction: 'INCREASING',
        reason: null,
        magnitude: 3,
        slope_per_day: 3,
        slope_per_day_low: 2.6,
        slope_per_day_high: 3.4,
        p: 0.0001,
        practical_floor: 0.5,
        deseasonalised: false,
        changepoints: [],
        start: '2026-11-19T10:30:00.000Z',
        end: '2026-11-20T10:30:00.000Z',
        levels: 288,
        step_seconds: 300,
      },
    ],
  });
export type TrendAnswer = z.infer<typeof TrendAnswer>;

export const MetricForecastQuery = z.strictObject({
  ...seriesQuery,
  ...span,
  periods_ahead: integerText(1, 500).optional().describe('Number of steps to forecast, 1 to 500; default 10'),
  method: choiceText(['fused', 'exponential_smoothing'])
    .optional()
    .describe('fused, or exponential_smoothing with a trend'),
});
export type MetricForecastQuery = z.infer<typeof MetricForecastQuery>;
export const MetricForecastAnswer = z
  .object({
    metric: z.string(),
    method: z.enum(['fused', 'exponential_smoothing']),
    forecast: z.array(z.number()),
    points: z.array(
      z.object({
        timestamp: time.describe('Start of the step'),
        value: z.number(),
        lower: z.number().nullable().describe('90 % interval; null with too little data'),
        upper: z.number().nullable(),
      }),
    ),
    confidence: z.number().nullable().describe('Probability that a future value is within 20 % of the forecast'),
    backtest: z
      .object({ windows: z.number(), mae: z.number(), mase: z.number().nullable(), coverage: z.number().nullable() })
      .nullable()
      .describe('Accuracy of past forecasts; null for short series'),
    step_seconds: z.number(),
    levels: z.int().describe('Number of past steps used'),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'MetricForecastAnswer',
    examples: [
      {
        metric: 'cpu_usage',
        method: 'fused',
        forecast: [45.2],
        points: [{ timestamp: '2026-11-20T11:00:00.000Z', value: 45.2, lower: 41.1, upper: 49.3 }],
        confidence: 0.97,
        backtest: { windows: 3, mae: 1.9, mase: 0.8, coverage: 0.9 },
        step_seconds: 3600,
        levels: 840,
        notes: [],
      },
    ],
  });
export type MetricForecastAnswer = z.infer<typeof MetricForecastAnswer>;

const usual = { median: z.number(), mad: z.number().describe('Median absolute deviation') };
export const BaselinesAnswer = z
  .object({
    baselines: z.array(
      z.object({
        ...identity,
        hours: z.int().describe('Hours of the last four weeks with a point; statistics are of hourly means'),
        ...usual,
        hour_of_week: z.array(
          z.object({ hour: z.int().describe('0 = Monday, 0 to 1 o’clock, UTC'), weeks: z.int(), ...usual }),
        ),
      }),
    ),
    count: z.int(),
  })
  .meta({
    id: 'BaselinesAnswer',
    examples: [
      {
        baselines: [
          {
            ...exampleSeries,
            hours: 672,
            median: 44,
            mad: 3.1,
            hour_of_week: [{ hour: 0, weeks: 4, median: 39, mad: 1 }],
          },
        ],
        count: 1,
      },
    ],
  });
export type BaselinesAnswer = z.infer<typeof BaselinesAnswer>;

export const MetricsSummaryQuery = z.strictObject({
  time_window: integerText(60, 604_800).optional().describe('Time range in seconds; default 3600'),
});
export type MetricsSummaryQuery = z.infer<typeof MetricsSummaryQuery>;
export const MetricsSummaryAnswer = z
  .object({
    summary: z.string(),
    metrics: z.array(
      z.object({
        metric: z.string(),
        series: z.int(),
        points: z.int(),
        mean: z.number(),
        min: z.number(),
        max: z.number(),
      }),
    ),
    health_score: z
      .number()
      .nullable()
      .describe('100 × the share of evaluated series without anomalies; null if none could be evaluated'),
    anomalies: z.array(Anomaly).describe('Newest first'),
    trends: z.record(
      z.string(),
      z.object({ direction: TrendAnswer.shape.direction, slope_per_day: z.number().nullable() }),
    ),
    time_window: z.number(),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'MetricsSummaryAnswer',
    examples: [
      {
        summary: '1 metric of 2 series in the last 3600 s, no anomalies',
        metrics: [{ metric: 'cpu_usage', series: 2, points: 240, mean: 44.1, min: 38, max: 51 }],
        health_score: 100,
        anomalies: [],
        trends: { cpu_usage: { direction: 'STABLE', slope_per_day: 0.2 } },
        time_window: 3600,
        notes: [],
      },
    ],
  });
export type MetricsSummaryAnswer = z.infer<typeof MetricsSummaryAnswer>;
