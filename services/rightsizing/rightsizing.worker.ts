import { type BacktestSettings, backtest, summaryOf } from './backtest/backtest.ts';
import { backtestPlot } from './backtest/plot.ts';
import { type AdviseTask, advise } from './recommend/advise.ts';
import type { Usage } from './usage.ts';

/** What the pool's threads do. Names are those `pool.run` is called with. */

export const runAdvise = (task: AdviseTask) => advise(task);

export type BacktestTask = { usage: Usage; settings: BacktestSettings; strategies: string[] | null; title: string };

export const runBacktest = ({ usage, settings, strategies, title }: BacktestTask) => {
  const tested = backtest([usage], settings, strategies ?? undefined);
  return {
    summaries: tested.map(summaryOf).filter((summary) => summary !== null),
    picture: backtestPlot(usage, tested, settings.resource, title),
  };
};
