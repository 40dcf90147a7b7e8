import { z } from 'zod';
import { zonedTimeText } from '#kernel/time-text.ts';
import { isTimeZone } from '#kernel/time-zone.ts';
import { frequencyRule, parseFrequency } from './engine/calendar.ts';

/** JSON of forecasts and backtests. */
const text = (max: number) =>
  z.string('must be a string').min(1, 'must not be empty').max(max, `must have at most ${max} characters`);
const numberBetween = (min: number, max: number) => {
  const rule = `must be a number between ${min} and ${max}`;
  return z.number(rule).min(min, rule).max(max, rule);
};
export const wholeBetween = (min: number, max: number) => {
  const rule = `must be an integer between ${min} and ${max}`;
  return z.int(rule).min(min, rule).max(max, rule);
};

/** Maximum length of a series in a request. */
const maxValues = 50_000;
const Value = z.number('must be a number or null').nullable();
const Time = zonedTimeText();
const Seasonality = z.union(
  [z.boolean(), z.literal('auto'), wholeBetween(1, 50)],
  "must be true, false, 'auto' or the order of the Fourier series, 1 to 50",
);

/** Prophet's parameters, with Prophet's names. */
export const ProphetOptions = z
  .strictObject({
    growth: z.enum(['linear', 'flat'], 'must be linear or flat'),
    yearly_seasonality: Seasonality,
    weekly_seasonality: Seasonality,
    daily_seasonality: Seasonality,
    seasonality_mode: z.enum(['additive', 'multiplicative'], 'must be additive or multiplicative'),
    n_changepoints: wholeBetween(0, 100),
    changepoint_range: numberBetween(0, 1),
    changepoint_prior_scale: numberBetween(1e-4, 100),
    seasonality_prior_scale: numberBetween(1e-4, 1000),
    holidays_prior_scale: numberBetween(1e-4, 1000),
    holidays: z
      .array(
        z.strictObject({ name: text(100), days: z.array(z.iso.date('must be a day, such as 2026-12-25')).max(1000) }),
      )
      .max(100),
    regressors: z
      .array(z.strictObject({ name: text(100), values: z.array(z.number('must be a number')).max(maxValues) }))
      .max(20)
      .describe('One number for each value of the series and each step ahead'),
  })
  .partial();

export const LstmOptions = z
  .strictObject({
    units: z.array(wholeBetween(1, 128)).min(1).max(3),
    dense: wholeBetween(1, 128),
    dropout: numberBetween(0, 0.9),
    window: wholeBetween(2, 336),
    epochs: wholeBetween(1, 200),
    batch: wholeBetween(1, 512),
    rate: numberBetween(1e-6, 1),
    seed: wholeBetween(0, 2 ** 31 - 1),
  })
  .partial();

const MemberName = z.enum(
  ['persistence', 'seasonal_naive', 'seasonal_profile', 'mstl', 'ridge', 'autoregression', 'prophet', 'lstm'],
  'must be persistence, seasonal_naive, seasonal_profile, mstl, ridge, autoregression, prophet or lstm',
);

const question = {
  values: z
    .array(Value, 'must be an array')
    .min(1, 'must have at least one element')
    .max(maxValues, `must have at most ${maxValues} elements`)
    .describe('Oldest first; null if missing'),
  timestamps: z.array(Time, 'must be an array').max(maxValues).optional().describe('One per value, in any order'),
  step_seconds: numberBetween(1, 31_622_400)
    .optional()
    .describe('Time between two values; default: from the timestamps'),
  frequency: text(40)
    .refine((words) => parseFrequency(words) !== null, frequencyRule)
    .optional()
    .describe(
      'Calendar frequency: a number of seconds, minutes, hours, days or weeks; business day; month, quarter, half-year or year with start, end or day 1 to 31; or a pandas alias. Default: inferred from the timestamps',
    ),
  timezone: text(60)
    .refine(isTimeZone, 'must be an IANA time zone, such as Europe/Berlin, or an offset, such as +09:00')
    .optional()
    .describe(
      'Zone of the calendar, and of timestamps without a zone. Default: from the offsets of the timestamps, or the zone in which daily times are the same, or UTC',
    ),
  seasonality: z
    .array(wholeBetween(2, 20_000))
    .max(3)
    .optional()
    .describe('Season lengths in steps; default: a day and a week by the timestamps, or detected'),
  lower_bound: z
    .number('must be a number or null')
    .nullable()
    .optional()
    .describe('No forecast is below it. Default: 0 if no value is negative; null: none'),
  upper_bound: z
    .number('must be a number or null')
    .nullable()
    .optional()
    .describe('No forecast is above it. Default: 1 or 100 if several values reach it and none exceeds it; null: none'),
  integer: z
    .boolean('must be true or false')
    .optional()
    .describe('Forecasts are integers. Default: whether at least ten values are given and all are integers'),
  horizon: wholeBetween(1, 2000).default(24).describe('Number of steps to forecast'),
  interval_width: numberBetween(0.5, 0.99).default(0.9).describe('Coverage of the prediction interval'),
  confidence_tolerance: numberBetween(0.001, 10)
    .default(0.2)
    .describe('Confidence is the probability of being within this share of the forecast'),
  fusion: z
    .enum(['weighted', 'median', 'fixed'], 'must be weighted, median or fixed')
    .default('weighted')
    .describe('weighted: by errors on the past; median; fixed: 0.4 Prophet and 0.6 LSTM'),
  members: z
    .array(MemberName)
    .min(1, 'must have at least one element')
    .optional()
    .describe('Enabled members; default: all'),
  prophet: ProphetOptions.optional(),
  lstm: LstmOptions.optional(),
};
const waves = Array.from({ length: 72 }, (_, i) => Math.round(100 + 20 * Math.sin((2 * Math.PI * i) / 24)));

export const ForecastRequest = z
  .strictObject(question)
  .meta({ id: 'ForecastRequest', examples: [{ values: waves, step_seconds: 3600, horizon: 3 }] });
export type ForecastRequest = z.infer<typeof ForecastRequest>;

const MemberAnswer = z.object({
  name: z.string(),
  weight: z.number(),
  error: z.number().nullable().describe('Mean absolute error at the earlier origins'),
  left_out: z.string().nullable().describe('Reason for weight 0'),
  forecast: z.array(z.number()).nullable(),
});
const contribution = z.array(z.number()).nullable().describe('The member’s own forecast; null if not used');

export const ForecastAnswer = z
  .object({
    forecast: z.array(
      z.object({
        step: z.number(),
        timestamp: z.iso.datetime().nullable(),
        date: z.iso.date().nullable().describe('Date in timezone; null for steps of less than a day'),
        value: z.number(),
        lower: z.number().nullable(),
        upper: z.number().nullable(),
      }),
    ),
    interval_width: z.number(),
    confidence: z
      .number()
      .nullable()
      .describe(
        'Probability that a future value is within ± confidence_tolerance of the forecast; null for short series',
      ),
    confidence_tolerance: z.number(),
    fusion: z.enum(['weighted', 'median', 'fixed']).describe('How members were actually combined'),
    members: z.array(MemberAnswer),
    prophet_contribution: contribution,
    lstm_contribution: contribution,
    seasonality: z.array(z.number()),
    step_seconds: z.number().nullable().describe('Mean time between two values'),
    frequency: z.string().nullable().describe('In words, such as hour, business day or month end; null without times'),
    timezone: z.string().nullable().describe('Zone of the calendar; null without times'),
    lower_bound: z.number().nullable(),
    upper_bound: z.number().nullable(),
    integer: z.boolean(),
    points: z.number(),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'ForecastAnswer',
    examples: [
      {
        forecast: [
          { step: 1, timestamp: '2026-11-20T11:00:00.000Z', date: null, value: 104.2, lower: 99.1, upper: 109.3 },
        ],
        interval_width: 0.9,
        confidence: 0.97,
        confidence_tolerance: 0.2,
        fusion: 'weighted',
        members: [
          { name: 'mstl', weight: 0.6, error: 2.1, left_out: null, forecast: [104.0] },
          { name: 'prophet', weight: 0.4, error: 2.4, left_out: null, forecast: [104.5] },
        ],
        prophet_contribution: [104.5],
        lstm_contribution: null,
        seasonality: [24],
        step_seconds: 3600,
        frequency: 'hour',
        timezone: 'UTC',
        lower_bound: 0,
        upper_bound: null,
        integer: false,
        points: 720,
        notes: [],
      },
    ],
  });
export type ForecastAnswer = z.infer<typeof ForecastAnswer>;

export const BacktestRequest = z
  .strictObject({
    ...question,
    windows: wholeBetween(1, 50).default(3).describe('Number of forecast origins in the past, one horizon apart'),
    title: text(200).default('Backtest').describe('Title of the plot'),
  })
  .meta({ id: 'ForecastBacktestRequest', examples: [{ values: waves, step_seconds: 3600, horizon: 12, windows: 2 }] });
export type BacktestRequest = z.infer<typeof BacktestRequest>;

const MethodAnswer = z.object({
  name: z.string().describe('fused; fixed_blend: 0.4 Prophet and 0.6 LSTM; the members; naive2: the reference of OWA'),
  windows: z.number(),
  mae: z.number(),
  smape: z.number(),
  mase: z.number().nullable(),
  owa: z.number().nullable(),
  pinball: z.object({ lower: z.number().nullable(), middle: z.number(), upper: z.number().nullable() }),
  coverage: z.number().nullable().describe('Share of values within the interval; compare it with interval_width'),
});

export const BacktestAnswer = z
  .object({
    methods: z.array(MethodAnswer),
    interval_width: z.number(),
    horizon: z.number(),
    windows: z.array(
      z.object({
        end: z.number().describe('Number of values known at that origin'),
        actual: z.array(z.number()),
        forecast: z.array(z.number()),
      }),
    ),
    notes: z.array(z.string()),
    picture: z.string().describe('SVG'),
  })
  .meta({
    id: 'ForecastBacktestAnswer',
    examples: [
      {
        methods: [
          {
            name: 'fused',
            windows: 3,
            mae: 2.4,
            smape: 2.3,
            mase: 0.71,
            owa: 0.42,
            pinball: { lower: 0.31, middle: 1.2, upper: 0.29 },
            coverage: 0.91,
          },
        ],
        interval_width: 0.9,
        horizon: 24,
        windows: [{ end: 648, actual: [101.5], forecast: [102.1] }],
        notes: [],
        picture: '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
      },
    ],
  });
export type BacktestAnswer = z.infer<typeof BacktestAnswer>;
