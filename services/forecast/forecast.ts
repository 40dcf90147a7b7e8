import { isoTimeEver } from '#kernel/clock.ts';
import { invalid, unavailable } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Backtest } from './engine/backtest.ts';
import { frequencyText, gridLocalTime, isDated, parseFrequency } from './engine/calendar.ts';
import { type EngineSettings, engineDefaults } from './engine/engine-settings.ts';
import type { Forecast as Fused } from './engine/fuse.ts';
import { backtestPlot } from './engine/plot.ts';
import { type Prepared, prepareSeries, timeAt, type WantedSupport } from './engine/series.ts';
import type { BacktestTask, ForecastTask } from './forecast.worker.ts';
import type { KernelBuild } from './lstm/kernels.ts';
import type { BacktestAnswer, BacktestRequest, ForecastAnswer, ForecastRequest } from './schemas.ts';
import { readTimestamps } from './timestamps.ts';

/** Forecasts and backtests of series sent with the request, computed in worker threads. */
export type Forecast = ReturnType<typeof createForecast>;

/** Path of the worker file. */
export const forecastWorker = entryUrl('forecast.worker');

type Deps = { pool: WorkerPool; timeoutMs: number; build: KernelBuild };

export function createForecast({ pool, timeoutMs, build }: Deps) {
  const compute = async <Result>(
    name: string,
    task: Omit<ForecastTask, 'progress'>,
    disconnected?: AbortSignal,
  ): Promise<Result> => {
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = disconnected ? AbortSignal.any([limit, disconnected]) : limit;
    return pool.run<Result>(name, task, { signal }).catch((error: unknown) => {
      if (!limit.aborted) throw error;
      throw unavailable(
        `the forecast timed out after ${timeoutMs / 1000} s, including the wait for a thread; request fewer steps, windows or members, or retry later`,
        error,
      );
    });
  };
  return {
    /**
     * @param disconnected - aborts when the client disconnects
     * @throws TowerError `invalid` for an invalid series, `unavailable` on timeout
     */
    forecast: async (request: ForecastRequest, disconnected?: AbortSignal): Promise<ForecastAnswer> => {
      const prepared = prepare(request);
      const { series, trailing } = prepared;
      const settings = { ...settingsOf(request, build, request.horizon + trailing), skip: trailing };
      const task: ForecastTask = { series, settings };
      return answerOf(await compute<Fused>('runForecast', task, disconnected), prepared, request);
    },
    /** As `forecast`; also `invalid` for a series too short */
    backtest: async (request: BacktestRequest, disconnected?: AbortSignal): Promise<BacktestAnswer> => {
      const { series, notes } = prepare(request);
      const { horizon, windows, title } = request;
      if (series.values.length - horizon < Math.max(4, horizon))
        throw invalid(
          `${series.values.length} values are too few for a backtest of ${horizon} steps: at least ${horizon + Math.max(4, horizon)} are required`,
          {
            parameter: 'values',
          },
        );
      const task: Omit<BacktestTask, 'progress'> = { series, settings: settingsOf(request, build, horizon), windows };
      const report = await compute<Backtest>('runBacktest', task, disconnected);
      return {
        methods: report.methods,
        interval_width: report.level,
        horizon,
        windows: report.windows.map(({ end, actual, forecast }) => ({
          end,
          actual: [...actual],
          forecast: [...forecast.mean],
        })),
        notes,
        picture: backtestPlot(series, report, title),
      };
    },
  };
}

function prepare(request: ForecastRequest): Prepared {
  const { values, timestamps, step_seconds, frequency, timezone, seasonality } = request;
  if (step_seconds !== undefined && frequency !== undefined)
    throw invalid('set step_seconds or frequency, not both', { parameter: 'frequency' });
  const read = timestamps ? readTimestamps(timestamps, timezone) : null;
  const wanted = {
    step: step_seconds === undefined ? null : step_seconds * 1000,
    frequency: frequency === undefined ? null : parseFrequency(frequency),
    timeZone: timezone ?? null,
    periods: seasonality === undefined ? null : [...seasonality].sort((a, b) => a - b),
  };
  return prepareSeries(values, read?.times ?? null, wanted, read?.offsets, supportOf(request));
}

function supportOf({ values, lower_bound: lower, upper_bound: upper, integer }: ForecastRequest): WantedSupport {
  if (typeof lower === 'number' && typeof upper === 'number' && lower >= upper)
    throw invalid(`upper_bound must be greater than lower_bound, ${lower} (got ${upper})`, {
      parameter: 'upper_bound',
    });
  const refuse = (parameter: string, isWrong: (value: number) => boolean, rule: string) => {
    const index = values.findIndex((value) => value !== null && isWrong(value));
    if (index >= 0) throw invalid(`${parameter} ${rule} (values.${index} is ${values[index]})`, { parameter });
  };
  if (typeof lower === 'number') refuse('lower_bound', (value) => value < lower, 'must not be above a value');
  if (typeof upper === 'number') refuse('upper_bound', (value) => value > upper, 'must not be below a value');
  if (integer) refuse('integer', (value) => !Number.isInteger(value), 'must be false unless all values are integers');
  return { lower, upper, integer };
}

function settingsOf(request: ForecastRequest, build: KernelBuild, horizon: number): EngineSettings {
  const { prophet = {}, lstm = {} } = request;
  refuseRegressors(request);
  const holidays = prophet.holidays?.map(({ name, days }) => ({ name, days: days.map((day) => Date.parse(day)) }));
  return {
    ...engineDefaults,
    horizon,
    level: request.interval_width,
    fusion: request.fusion,
    members: request.members ?? null,
    tolerance: request.confidence_tolerance,
    prophet: { ...given(prophet), ...(holidays ? { holidays } : {}) },
    lstm: { ...given(lstm), build },
  };
}

/** Regressors are matched to the values by position, so nothing may be sorted, cut or filled in. */
function refuseRegressors({ values, timestamps, horizon, prophet }: ForecastRequest): void {
  if (!prophet?.regressors) return;
  const refuse = (why: string) => invalid(why, { parameter: 'prophet.regressors' });
  if (timestamps) throw refuse('regressors require equally spaced values: omit timestamps and set step_seconds');
  if (values.length > 20_000 || values[0] === null || values.at(-1) === null)
    throw refuse(
      'with regressors, values must have at most 20000 elements, of which the first and the last are not null',
    );
  const wrong = prophet.regressors.find((regressor) => regressor.values.length < values.length + horizon);
  if (wrong)
    throw refuse(
      `regressor ${wrong.name} must have ${values.length + horizon} numbers: one for each value and each step ahead`,
    );
}

/** Omits undefined fields, which would overwrite defaults. */
const given = (options: object): object =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Missing steps at the end are forecast, but not part of the answer. */
function answerOf(fused: Fused, { series, trailing, notes }: Prepared, request: ForecastRequest): ForecastAnswer {
  const { step, values, periods, grid } = series;
  const ahead = <T>(list: ArrayLike<T> | null): T[] | null => (list ? Array.from(list).slice(trailing) : null);
  const [means, lower, upper] = [ahead(fused.mean) ?? [], ahead(fused.lower), ahead(fused.upper)];
  const contribution = (wanted: string) =>
    ahead(fused.members.find(({ name, weight }) => name === wanted && weight > 0)?.mean ?? null);
  const next = values.length + trailing;
  const dateOf = (h: number) =>
    grid && isDated(grid.frequency) ? (isoTimeEver(gridLocalTime(grid, next + h))?.split('T')[0] ?? null) : null;
  return {
    forecast: means.map((value, h) => ({
      step: h + 1,
      timestamp: isoTimeEver(timeAt(series, next + h)),
      date: dateOf(h),
      value,
      lower: lower?.[h] ?? null,
      upper: upper?.[h] ?? null,
    })),
    interval_width: fused.level,
    confidence: fused.confidence,
    confidence_tolerance: request.confidence_tolerance,
    fusion: fused.fusion,
    members: fused.members.map(({ mean, ...member }) => ({ ...member, forecast: ahead(mean) })),
    prophet_contribution: contribution('prophet'),
    lstm_contribution: contribution('lstm'),
    seasonality: periods,
    step_seconds: step === null ? null : step / 1000,
    frequency: grid && frequencyText(grid.frequency),
    timezone: grid && grid.timeZone,
    lower_bound: series.support.lower,
    upper_bound: series.support.upper,
    integer: series.support.integer,
    points: values.length,
    notes: fused.withoutMembers
      ? [...notes, 'none of the requested members could be used; this is the last value']
      : notes,
  };
}
