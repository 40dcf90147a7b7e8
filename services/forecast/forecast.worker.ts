import type { MessagePort } from 'node:worker_threads';
import { backtest } from './backtest.ts';
import { type EngineSettings, forecast } from './engine.ts';
import type { Series } from './series.ts';

/** What the pool's threads do. Names are those `pool.run` is called with. */

export type ForecastTask = { series: Series; settings: EngineSettings };
export type BacktestTask = ForecastTask & { windows: number; progress: MessagePort | null };

export const runForecast = ({ series, settings }: ForecastTask) => forecast(series, settings);

export const runBacktest = ({ series, settings, windows, progress }: BacktestTask) =>
  backtest(series, settings, windows, (done) => progress?.postMessage({ done, of: windows }));
