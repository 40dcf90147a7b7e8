import { type AdviseTask, advise } from './advise.ts';
import { type BacktestSettings, backtest, summaryOf } from './backtest.ts';
import { backtestPicture } from './picture.ts';
import type { Usage } from './usage.ts';

/** What the pool's threads do. Names are those `pool.run` is called with. */

export const runAdvise = (task: AdviseTask) => advise(task);

export type BacktestTask = { usage: Usage; settings: BacktestSettings; strategies: string[] | null; title: string };

export const runBacktest = ({ usage, settings, strategies, title }: BacktestTask) => {
  const tested = backtest([usage], settings, strategies ?? undefined);
  return {
    summaries: tested.map(summaryOf).filter((summary) => summary !== null),
    picture: backtestPicture(usage, tested, settings.resource, title),
  };
};
