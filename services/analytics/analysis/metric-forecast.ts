import { notFound } from '#kernel/errors.ts';
import { invalidParameter, wholeNumber } from '#kernel/query.ts';
import { mean, median } from '#kernel/stats.ts';
import type { Forecast } from '#services/forecast/forecast.ts';
import { levelsOf, usualStep, widthFor } from '../query/levels.ts';
import { choice, filterOf, filterOfMetric, spanOf } from '../query/query.ts';
import type { SeriesQuery } from '../schemas.ts';
import { dayMs, hourMs, type Reader, type Series, type Span } from '../storage/reader.ts';
import type {
  BaselinesAnswer,
  MetricForecastAnswer,
  MetricForecastQuery,
  TrendAnswer,
  TrendQuery,
} from './analysis-schemas.ts';
import { smooth } from './smoothing.ts';
import { type Level, trendOf } from './trend.ts';

/** Trend, forecast and baseline of stored metrics. */

/** The fused forecast engine. */
export type Forecaster = Pick<Forecast, 'forecast' | 'backtest'>;

const required = async (reader: Reader, query: SeriesQuery): Promise<{ metric: string; members: Series[] }> => {
  const filter = filterOfMetric(query);
  return { metric: filter.metric, members: await reader.find(filter) };
};

/** Even steps, no smaller than the largest interval between points among the series. */
async function levelsIn(
  reader: Reader,
  members: Series[],
  span: Span,
  most: number,
): Promise<{ levels: Level[]; width: number }> {
  const steps = await Promise.all(members.slice(0, 10).map((each) => usualStep(reader, each, span.end)));
  const width = widthFor(span, most, Math.max(0, ...steps.map((step) => step ?? 0)));
  return { levels: await levelsOf(reader, members, span, width), width };
}

/** @throws TowerError `invalid` */
export async function calculateTrend(reader: Reader, now: number, query: TrendQuery): Promise<TrendAnswer> {
  const { metric, members } = await required(reader, query);
  const seconds = wholeNumber('time_window', query.time_window ?? '86400', 60, 366 * 86_400);
  const span = spanOf(query, now + 1, seconds * 1000);
  const { levels, width } = await levelsIn(reader, members, span, 400);
  const { slope, direction, reason, p, floor, deseasonalised, changepoints } = trendOf(
    levels,
    width,
    await levelsBefore(reader, members, span, width),
  );
  const reached = levels.length > 0 ? levels.at(-1)!.at - levels[0]!.at : 0;
  return {
    metric,
    slope: slope && slope.perDay / 1440,
    direction,
    reason,
    magnitude: slope && Math.abs((slope.perDay * reached) / dayMs),
    slope_per_day: slope && slope.perDay,
    slope_per_day_low: slope && slope.low,
    slope_per_day_high: slope && slope.high,
    p,
    practical_floor: floor,
    deseasonalised,
    changepoints: changepoints.map(({ at, ...rest }) => ({ at: new Date(at).toISOString(), ...rest })),
    start: new Date(span.start).toISOString(),
    end: new Date(span.end).toISOString(),
    levels: levels.length,
    step_seconds: width / 1000,
  };
}

/** Levels before a time range: the slopes of all pairs are compared. */
const maxLevelsBefore = 1_200;

/** Two days are needed for the daily pattern; if the time range has less, the days before it help. */
async function levelsBefore(reader: Reader, members: Series[], { start, end }: Span, width: number): Promise<Level[]> {
  const length = Math.min(7 * dayMs, maxLevelsBefore * width);
  const isHelpful = end - start >= dayMs / 4 && end - start < 3 * dayMs && end - start + length >= 2 * dayMs;
  return isHelpful ? levelsOf(reader, members, { start: start - length, end: start }, width) : [];
}

/** Origins of past forecasts for measuring accuracy. */
const windows = 3;

/** The series to forecast: a value or null per step, and what the request says about it. */
export type ForecastInput = Awaited<ReturnType<typeof forecastInput>>;

/** @throws TowerError `invalid`, `not_found` without points */
export async function forecastInput(reader: Reader, now: number, query: MetricForecastQuery) {
  const { metric, members } = await required(reader, query);
  const horizon = wholeNumber('periods_ahead', query.periods_ahead ?? '10', 1, 500);
  const method = choice('method', query.method, ['fused', 'exponential_smoothing'] as const, 'fused');
  const span = spanOf(query, now + 1, 35 * dayMs);
  const { levels, width } = await levelsIn(reader, members, span, 1_000);
  if (levels.length === 0) throw notFound(`no points of ${metric} in that time range`, { metric });
  const lastAt = levels.at(-1)!.at;
  return { metric, method, horizon, width, levels: levels.length, lastAt, values: onGrid(levels, width) };
}

/** @throws TowerError `unavailable` after the forecast's timeout */
export async function forecastOf(
  forecaster: Forecaster,
  { metric, method, horizon, width, levels, lastAt, values }: ForecastInput,
  disconnected?: AbortSignal,
): Promise<MetricForecastAnswer> {
  const known = { metric, method, step_seconds: width / 1000, levels };
  const timeOf = (step: number) => new Date(lastAt + (step + 1) * width).toISOString();
  if (method === 'exponential_smoothing') {
    const whole = filled(values);
    const { mean: ahead, lower, upper } = smooth(whole, horizon);
    const points = ahead.map((value, h) => ({ timestamp: timeOf(h), value, lower: lower[h]!, upper: upper[h]! }));
    return {
      ...known,
      forecast: ahead,
      points,
      confidence: null,
      backtest: smoothedPast(whole, horizon),
      notes: [],
    };
  }
  const question = {
    values,
    step_seconds: width / 1000,
    horizon,
    interval_width: 0.9,
    confidence_tolerance: 0.2,
    fusion: 'weighted' as const,
  };
  const { forecast, confidence, notes } = await forecaster.forecast(question, disconnected);
  const enough = values.length - horizon >= Math.max(8, 2 * horizon);
  const past = enough ? await forecaster.backtest({ ...question, windows, title: metric }, disconnected) : null;
  const fused = past?.methods.find(({ name }) => name === 'fused');
  return {
    ...known,
    forecast: forecast.map(({ value }) => value),
    points: forecast.map(({ value, lower, upper }, h) => ({ timestamp: timeOf(h), value, lower, upper })),
    confidence,
    backtest: fused ? { windows: fused.windows, mae: fused.mae, mase: fused.mase, coverage: fused.coverage } : null,
    notes,
  };
}

/** A value or null for every step from the first to the last. */
function onGrid(levels: Level[], width: number): (number | null)[] {
  const first = levels[0]!.at;
  const values = Array.from({ length: (levels.at(-1)!.at - first) / width + 1 }, (): number | null => null);
  for (const { at, value } of levels) values[(at - first) / width] = value;
  return values;
}

/** Fills gaps with the last value. */
function filled(values: (number | null)[]): number[] {
  let last = values[0]!;
  return values.map((value) => (last = value ?? last));
}

function smoothedPast(values: number[], horizon: number): MetricForecastAnswer['backtest'] {
  const errors: number[] = [];
  let [inside, done] = [0, 0];
  for (let k = 1; k <= windows; k += 1) {
    const end = values.length - k * horizon;
    if (end < Math.max(4, horizon)) break;
    const { mean: predicted, lower, upper } = smooth(values.slice(0, end), horizon);
    for (const [h, value] of predicted.entries()) {
      const actual = values[end + h]!;
      errors.push(Math.abs(actual - value));
      if (actual >= lower[h]! && actual <= upper[h]!) inside += 1;
    }
    done = k;
  }
  if (done === 0) return null;
  const naive = mean(values.slice(1).map((value, i) => Math.abs(value - values[i]!)));
  const mae = mean(errors);
  return { windows: done, mae, mase: naive > 0 ? mae / naive : null, coverage: inside / errors.length };
}

/** Baselines use the last four weeks. */
const baselineMs = 28 * dayMs;

/** Median and spread of each series, overall and per hour of the week (UTC, from Monday). */
export async function baselines(reader: Reader, now: number, query: SeriesQuery): Promise<BaselinesAnswer> {
  const span = { start: now - baselineMs, end: now + 1 };
  const members = await reader.find(filterOf(query));
  if (members.length > 1000)
    throw invalidParameter(
      'metric',
      `must be set for ${members.length} series: at most 1000 steps can be returned at once`,
      null,
    );
  const found: BaselinesAnswer['baselines'] = [];
  for (const series of members) {
    const levels = await levelsOf(reader, [series], span, hourMs);
    if (levels.length === 0) continue;
    const hours = Map.groupBy(levels, ({ at }) => (Math.floor(at / hourMs) + 72) % 168);
    const { metric, resource, labels } = series;
    found.push({
      metric,
      resource,
      labels,
      hours: levels.length,
      ...spreadOf(levels),
      hour_of_week: [...hours]
        .sort(([a], [b]) => a - b)
        .map(([hour, rows]) => ({ hour, weeks: rows.length, ...spreadOf(rows) })),
    });
  }
  return { baselines: found, count: found.length };
}

function spreadOf(levels: Level[]): { median: number; mad: number } {
  const values = levels.map(({ value }) => value);
  const center = median(values);
  return { median: center, mad: median(values.map((value) => Math.abs(value - center))) };
}
