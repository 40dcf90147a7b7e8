import { z } from 'zod';
import { timeText } from '#kernel/time-text.ts';
import { booleanFlag, numberBetween, oneOf, strategyNames } from '../schemas.ts';

/** Schemas of backtests and their strategies. */

const backtestCommon = {
  resource: oneOf(['cpu', 'memory']).default('cpu'),
  horizon: oneOf(['24h', '1h']).default('24h'),
  warm_up_days: numberBetween(0.25, 30).default(7).describe('Warm-up before the first evaluated request'),
  own_floors: booleanFlag
    .default(false)
    .describe('Use each strategy’s own minimum; false: the same minimum for all, 10 millicores or 1 MiB'),
  strategies: z
    .array(oneOf([...strategyNames, 'oracle']))
    .min(1, 'must have at least one element')
    .optional(),
};

export const BacktestRequest = z
  .strictObject({
    ...backtestCommon,
    values: z
      .array(
        z.union(
          [z.number().min(0, 'must not be negative').max(1e18, 'must be at most 1e18'), z.null()],
          'must be a number of at least 0, or null',
        ),
      )
      .min(2, 'must have at least two elements')
      .max(100_000, 'must have at most 100000 elements')
      .describe('Usage in cores or bytes, equally spaced; null if unknown'),
    step_seconds: numberBetween(1, 3600).default(300),
    start: timeText().optional().describe('Time of the first value; the time of day matters'),
    title: z.string().max(200).default('Backtest'),
  })
  .meta({
    id: 'RightsizingBacktestRequest',
    examples: [{ values: [0.1, 0.2, 0.15], step_seconds: 3600, resource: 'cpu' }],
  });
export type BacktestRequest = z.infer<typeof BacktestRequest>;

export const WorkloadBacktestRequest = z
  .strictObject({
    ...backtestCommon,
    history_days: numberBetween(1, 31, true).default(14),
    container: z.string().optional().describe('Default: the container with the highest usage'),
  })
  .meta({ id: 'WorkloadBacktestRequest', examples: [{ resource: 'memory' }] });
export type WorkloadBacktestRequest = z.infer<typeof WorkloadBacktestRequest>;

const Summary = z.object({
  strategy: z.string(),
  series: z.number(),
  slack: z.number().describe('Share of requested resources that was not used'),
  violations: z.number().describe('Share of samples above the request'),
  violated_windows: z.number().describe('Share of horizons with any sample above the request'),
  excess: z.number().describe('Usage above the request, as a share of all usage'),
  regret: z.number().describe('Cost relative to the optimum (1.0 = optimal)'),
  ooms_per_day: z.number(),
  churn: z.number().describe('Mean |ln| of the change between requests'),
  resizes: z.number().describe('Share of requests that change by more than 10 %'),
  abstentions: z.number(),
  calibration_error: z
    .number()
    .nullable()
    .describe('Expected calibration error of stated probabilities; null if none are stated'),
});

export const BacktestAnswer = z
  .object({
    resource: z.enum(['cpu', 'memory']),
    horizon_seconds: z.number(),
    step_seconds: z.number(),
    samples: z.number(),
    windows: z.number(),
    summaries: z.array(Summary),
    recommendation: z
      .object({
        request: z.number().nullable().describe('Cores or bytes; null without enough data'),
        confidence: z.number().nullable().describe('Probability that the stated share is met'),
      })
      .describe('Request for the horizon after the series, by strategy tower'),
    picture: z.string().describe('SVG'),
  })
  .meta({
    id: 'RightsizingBacktestAnswer',
    examples: [
      {
        resource: 'cpu',
        horizon_seconds: 86400,
        step_seconds: 300,
        samples: 8640,
        windows: 23,
        summaries: [],
        recommendation: { request: 0.35, confidence: 0.93 },
        picture: '<svg xmlns="http://www.w3.org/2000/svg"/>',
      },
    ],
  });
export type BacktestAnswer = z.infer<typeof BacktestAnswer>;

export const StrategyList = z
  .array(
    z.object({
      name: z.string(),
      about: z.string(),
      floors: z.object({ cpu_cores: z.number(), memory_bytes: z.number() }),
    }),
  )
  .meta({ examples: [[{ name: 'max_7d', about: 'the peak of 7 days', floors: { cpu_cores: 0, memory_bytes: 0 } }]] });
export type StrategyList = z.infer<typeof StrategyList>;
