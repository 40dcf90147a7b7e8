import { type BacktestSettings, backtest, feed, minRequest, sizerFor, summaryOf } from './backtest/backtest.ts';
import { backtestPlot } from './backtest/plot.ts';
import { type AdviseTask, advise } from './recommend/advise.ts';
import type { Usage } from './usage.ts';

/** Functions of the worker threads; `pool.run` calls them by name. */

export const runAdvise = (task: AdviseTask) => advise(task);

export type BacktestTask = { usage: Usage; settings: BacktestSettings; strategies: string[] | null; title: string };

export const runBacktest = ({ usage, settings, strategies, title }: BacktestTask) => {
  const tested = backtest([usage], settings, strategies ?? undefined);
  return {
    summaries: tested.map(summaryOf).filter((summary) => summary !== null),
    recommendation: recommend(usage, settings),
    picture: backtestPlot(usage, tested, settings.resource, title),
  };
};

/** Request for the horizon after the series, by this project's strategy. */
function recommend(usage: Usage, { resource, horizonMs, least = minRequest[resource] }: BacktestSettings) {
  const sizer = sizerFor(resource, usage.stepMs, horizonMs, least);
  feed(sizer, usage, null);
  const { request, confidence } = sizer.recommend();
  return { request, confidence };
}
