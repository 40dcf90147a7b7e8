import { isoTimeEver } from '#kernel/clock.ts';
import { invalid, unavailable } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Backtest } from './engine/backtest.ts';
import type { Forecast as Fused } from './engine/engine.ts';
import { type EngineSettings, engineDefaults } from './engine/engine-settings.ts';
import { backtestPlot } from './engine/plot.ts';
import { type Prepared, prepareSeries, timeAt } from './engine/series.ts';
import type { BacktestTask, ForecastTask } from './forecast.worker.ts';
import type { KernelBuild } from './lstm/kernels.ts';
import type { BacktestAnswer, BacktestRequest, ForecastAnswer, ForecastRequest } from './schemas.ts';

/** Forecasts and backtests of series that come with the question. All computing is done in the pool's threads. */
export type Forecast = ReturnType<typeof createForecast>;

/** The file of the pool's threads. */
export const forecastWorker = entryUrl('forecast.worker');

type Deps = { pool: WorkerPool; timeoutMs: number; build: KernelBuild };

export function createForecast({ pool, timeoutMs, build }: Deps) {
  const compute = async <Result>(
    name: string,
    task: Omit<ForecastTask, 'progress'>,
    gone?: AbortSignal,
  ): Promise<Result> => {
    const limit = AbortSignal.timeout(timeoutMs);
    const signal = gone ? AbortSignal.any([limit, gone]) : limit;
    return pool.run<Result>(name, task, { signal }).catch((error: unknown) => {
      if (!limit.aborted) throw error;
      throw unavailable(
        `the forecast was not done within ${timeoutMs / 1000} s, waiting for a thread included; ask for fewer steps, windows or members, or later`,
        error,
      );
    });
  };
  return {
    /**
     * @param gone - aborts when nobody waits for it any more
     * @throws TowerError `invalid` for a series that is none, `unavailable` where it takes too long
     */
    forecast: async (request: ForecastRequest, gone?: AbortSignal): Promise<ForecastAnswer> => {
      const prepared = prepare(request);
      const { series, trailing } = prepared;
      const settings = { ...settingsOf(request, build, request.horizon + trailing), skip: trailing };
      const task: ForecastTask = { series, settings };
      return answerOf(await compute<Fused>('runForecast', task, gone), prepared, request);
    },
    /** As `forecast`; `invalid` for a series too short, too */
    backtest: async (request: BacktestRequest, gone?: AbortSignal): Promise<BacktestAnswer> => {
      const { series, notes } = prepare(request);
      const { horizon, windows, title } = request;
      if (series.values.length - horizon < Math.max(4, horizon))
        throw invalid(
          `${series.values.length} values are too few for a backtest of ${horizon} steps: it needs ${horizon + Math.max(4, horizon)}`,
          {
            parameter: 'values',
          },
        );
      const task: Omit<BacktestTask, 'progress'> = { series, settings: settingsOf(request, build, horizon), windows };
      const report = await compute<Backtest>('runBacktest', task, gone);
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

function prepare({ values, timestamps, step_seconds, seasonality }: ForecastRequest): Prepared {
  return prepareSeries(values, timestamps?.map((time) => Date.parse(time)) ?? null, {
    step: step_seconds === undefined ? null : step_seconds * 1000,
    periods: seasonality === undefined ? null : [...seasonality].sort((a, b) => a - b),
  });
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

/** Their numbers go with the values in the order they came: nothing may be sorted, cut or filled in between. */
function refuseRegressors({ values, timestamps, horizon, prophet }: ForecastRequest): void {
  if (!prophet?.regressors) return;
  const refuse = (why: string) => invalid(why, { parameter: 'prophet.regressors' });
  if (timestamps) throw refuse('regressors go with values one step apart: leave timestamps out and set step_seconds');
  if (values.length > 20_000 || values[0] === null || values.at(-1) === null)
    throw refuse('with regressors the series must begin and end with a value and have 20000 at most');
  const wrong = prophet.regressors.find((regressor) => regressor.values.length < values.length + horizon);
  if (wrong)
    throw refuse(
      `the regressor ${wrong.name} needs ${values.length + horizon} numbers: one for each value and each step ahead`,
    );
}

/** Without what was left open: defaults must not be overwritten with undefined. */
const given = (options: object): object =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Steps that the series ended without are forecast, but not asked for. */
function answerOf(fused: Fused, { series, trailing, notes }: Prepared, request: ForecastRequest): ForecastAnswer {
  const { step, values, periods } = series;
  const ahead = <T>(list: ArrayLike<T> | null): T[] | null => (list ? Array.from(list).slice(trailing) : null);
  const [means, lower, upper] = [ahead(fused.mean) ?? [], ahead(fused.lower), ahead(fused.upper)];
  const contribution = (wanted: string) =>
    ahead(fused.members.find(({ name, weight }) => name === wanted && weight > 0)?.mean ?? null);
  const timeOf = (h: number) => isoTimeEver(timeAt(series, values.length + trailing + h));
  return {
    forecast: means.map((value, h) => ({
      step: h + 1,
      timestamp: timeOf(h),
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
    points: values.length,
    notes: fused.nobody ? [...notes, 'no member that was asked for could be used; this is the last value'] : notes,
  };
}
