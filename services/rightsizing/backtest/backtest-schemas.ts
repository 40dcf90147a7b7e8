import { z } from 'zod';
import { among, oneOf, strategyNames, yes } from '../schemas.ts';

/** Schemas of backtests and their strategies. */

const backtestCommon = {
  resource: oneOf(['cpu', 'memory']).default('cpu'),
  horizon: oneOf(['24h', '1h']).default('24h'),
  warm_up_days: among(0.25, 30).default(7).describe('Seen before the first request is judged'),
  own_floors: yes.default(false).describe('Each strategy with its own floors; else all have 10 m or 1 MiB'),
  strategies: z
    .array(oneOf([...strategyNames, 'oracle']))
    .min(1, 'must name one at least')
    .optional(),
};

export const BacktestRequest = z
  .strictObject({
    ...backtestCommon,
    values: z
      .array(
        z.union(
          [z.number().min(0, 'must not be negative').max(1e18, 'must be 1e18 at most'), z.null()],
          'must be a number, 0 at least, or null',
        ),
      )
      .min(2, 'must hold two at least')
      .max(100_000, 'must hold 100000 at most')
      .describe('Cores or bytes used, one step apart; null where nothing is known'),
    step_seconds: among(1, 3600).default(300),
    start: z.iso
      .datetime({ offset: true, error: 'must be an ISO 8601 time' })
      .optional()
      .describe('Of the first value; hours of the day matter'),
    title: z.string().max(200).default('Backtest'),
  })
  .meta({ examples: [{ values: [0.1, 0.2, 0.15], step_seconds: 3600, resource: 'cpu' }] });
export type BacktestRequest = z.infer<typeof BacktestRequest>;

export const WorkloadBacktestRequest = z
  .strictObject({
    ...backtestCommon,
    history_days: among(1, 31, true).default(14),
    container: z.string().optional().describe('Not given: the one that used most'),
  })
  .meta({ examples: [{ resource: 'memory' }] });
export type WorkloadBacktestRequest = z.infer<typeof WorkloadBacktestRequest>;

const Summary = z.object({
  strategy: z.string(),
  series: z.number(),
  slack: z.number().describe('Share of what was requested that was not used'),
  violations: z.number().describe('Share of samples above the request'),
  violated_windows: z.number().describe('Share of horizons with any sample above'),
  excess: z.number().describe('Usage above the request, as a share of all usage'),
  regret: z.number().describe('Cost in times of the least possible one'),
  ooms_per_day: z.number(),
  churn: z.number().describe('Mean |ln| of the change between requests'),
  resizes: z.number().describe('Share of requests that change by more than a tenth'),
  abstentions: z.number(),
  calibration_error: z.number().nullable().describe('Of stated probabilities; null of who states none'),
});

export const BacktestAnswer = z
  .object({
    resource: z.enum(['cpu', 'memory']),
    horizon_seconds: z.number(),
    step_seconds: z.number(),
    samples: z.number(),
    windows: z.number(),
    summaries: z.array(Summary),
    picture: z.string().describe('SVG'),
  })
  .meta({
    examples: [
      {
        resource: 'cpu',
        horizon_seconds: 86400,
        step_seconds: 300,
        samples: 8640,
        windows: 23,
        summaries: [],
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
