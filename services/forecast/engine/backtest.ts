import { naive2 } from '../members/naive.ts';
import { forecast } from './engine.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { Forecast } from './fuse.ts';
import { blend, fixedShares } from './fusion.ts';
import { coverage, mase, meanAbsoluteError, owa, pinball, smape } from './scores.ts';
import type { Series } from './series.ts';

/** Backtest of the fused forecast and of each member, with rolling origins. */

/** Means over the windows; null if undefined. `owa` is relative to Naive2. */
export type MethodScores = {
  name: string;
  windows: number;
  mae: number;
  smape: number;
  mase: number | null;
  owa: number | null;
  /** Pinball loss at the lower bound, the median and the upper bound of the interval; members have the median only. */
  pinball: { lower: number | null; middle: number; upper: number | null };
  /** Share of values within the interval; null for members, which have none. */
  coverage: number | null;
};

export type BacktestWindow = { end: number; actual: Float64Array; forecast: Forecast };
export type Backtest = { methods: MethodScores[]; windows: BacktestWindow[]; level: number; horizon: number };

/**
 * Rolling origins: `windows` origins, one horizon apart, the last one horizon before the end of the series. At each
 * origin everything is evaluated, weighted and fitted again on the history up to it.
 * @throws RangeError if the series is too short for one window
 */
export function backtest(
  series: Series,
  settings: EngineSettings,
  windows: number,
  onWindow: (done: number) => void = () => undefined,
): Backtest {
  const { values } = series;
  const { horizon } = settings;
  const ends = Array.from({ length: windows }, (_, k) => values.length - (windows - k) * horizon).filter(
    (end) => end >= Math.max(4, horizon),
  );
  if (ends.length === 0)
    throw new RangeError(`a series of ${values.length} points is too short for a backtest of ${horizon} steps`);
  const done = ends.map((end, k): BacktestWindow => {
    const known = {
      ...series,
      values: values.slice(0, end),
      periods: series.periods.filter((period) => end >= 2 * period),
    };
    const answer = forecast(known, { ...settings, everyMember: true });
    onWindow(k + 1);
    return { end, actual: values.slice(end, end + horizon), forecast: answer };
  });
  return { methods: scoresOf(series, done, settings), windows: done, level: settings.level, horizon };
}

type MethodForecast = {
  end: number;
  actual: Float64Array;
  mean: Float64Array;
  lower: Float64Array | null;
  upper: Float64Array | null;
};

function scoresOf(series: Series, windows: BacktestWindow[], { level, horizon }: EngineSettings): MethodScores[] {
  const plain = (window: BacktestWindow, mean: Float64Array | null | undefined): MethodForecast[] =>
    mean ? [{ end: window.end, actual: window.actual, mean, lower: null, upper: null }] : [];
  const names = [...new Set(windows.flatMap(({ forecast }) => forecast.members.map(({ name }) => name)))];
  const member = (name: string) => (window: BacktestWindow) =>
    plain(window, window.forecast.members.find((item) => item.name === name)?.mean);
  const naive2Forecasts = windows.flatMap((window) =>
    plain(window, naive2.fit({ ...series, values: series.values.slice(0, window.end) }, horizon).predict(horizon)),
  );
  const reference = scored('naive2', naive2Forecasts, series, level, null);
  const fused = windows.map(({ end, actual, forecast }): MethodForecast => ({ end, actual, ...forecast }));
  const methods = [
    { name: 'fused', all: fused },
    { name: 'fixed_blend', all: windows.flatMap((window) => plain(window, fixedBlend(window.forecast))) },
    ...names.map((name) => ({ name, all: windows.flatMap(member(name)) })),
  ].filter(({ all }) => all.length > 0);
  return [
    ...methods.map(({ name, all }) => scored(name, all, series, level, reference)),
    { ...reference, owa: reference.mase === null ? null : 1 },
  ];
}

/** The fixed blend of 0.4 Prophet and 0.6 LSTM; null if one of the two is missing. */
function fixedBlend({ members }: Forecast): Float64Array | null {
  const of = (wanted: string) => members.find(({ name }) => name === wanted)?.mean ?? null;
  const [prophet, lstm] = [of('prophet'), of('lstm')];
  return prophet && lstm ? blend([fixedShares.prophet, fixedShares.lstm], [prophet, lstm]) : null;
}

function scored(
  name: string,
  all: MethodForecast[],
  { values, periods }: Series,
  level: number,
  reference: MethodScores | null,
): MethodScores {
  const mean = (of: (window: MethodForecast) => number) =>
    all.reduce((total, window) => total + of(window) / all.length, 0);
  const orNull = (value: number) => (Number.isFinite(value) ? value : null);
  const bounded = all.every(({ lower, upper }) => lower && upper);
  const scores = {
    smape: mean(({ actual, mean }) => smape(actual, mean)),
    mase: mean(({ end, actual, mean }) => mase(actual, mean, values.subarray(0, end), periods[0] ?? 1)),
  };
  const against =
    reference && reference.mase !== null && reference.smape > 0
      ? owa(scores, { smape: reference.smape, mase: reference.mase })
      : Number.NaN;
  return {
    name,
    windows: all.length,
    mae: mean(({ actual, mean }) => meanAbsoluteError(actual, mean)),
    smape: scores.smape,
    mase: orNull(scores.mase),
    owa: orNull(against),
    pinball: {
      lower: bounded ? mean(({ actual, lower }) => pinball(actual, lower!, (1 - level) / 2)) : null,
      middle: mean(({ actual, mean }) => pinball(actual, mean, 0.5)),
      upper: bounded ? mean(({ actual, upper }) => pinball(actual, upper!, (1 + level) / 2)) : null,
    },
    coverage: bounded ? mean(({ actual, lower, upper }) => coverage(actual, lower!, upper!)) : null,
  };
}
