import { lagOneCorrelation, median } from '#kernel/stats.ts';
import { mannKendall, theilSen, yueWang } from '#kernel/trend.ts';
import { dayMs } from '../storage/reader.ts';
import { changepoints } from './changepoints.ts';

/**
 * Direction and robust slope of a metric; a direction only if it is significant and larger than the metric's usual
 * variation.
 */

export type Level = { at: number; value: number };
export type Trend = {
  direction: 'INCREASING' | 'DECREASING' | 'STABLE' | 'INSUFFICIENT_DATA';
  /** Slope per day with its 95 % interval; null without enough data. */
  slope: { perDay: number; low: number; high: number } | null;
  p: number | null;
  /** Threshold below which a slope is negligible. */
  floor: number | null;
  deseasonalised: boolean;
  changepoints: { at: number; before: number; after: number }[];
};

const minLevels = 8;
/** Minimum rise, in median deviations and as a share of the level. */
const deviations = 1;
const levelShare = 0.01;

/**
 * @param levels ascending in time, evenly spaced by `stepMs` except for gaps
 */
export function trendOf(levels: Level[], stepMs: number): Trend {
  const nothing = { slope: null, p: null, floor: null, deseasonalised: false, changepoints: [] };
  if (levels.length < minLevels) return { direction: 'INSUFFICIENT_DATA', ...nothing };
  const days = levels.map(({ at }) => (at - levels[0]!.at) / dayMs);
  const { values, deseasonalised } = withoutDay(levels, days, stepMs);
  const line = theilSen(days, values).perDay;
  const left = values.map((value, i) => value - line * days[i]!);
  const inflation = yueWang(values.length, lagOneCorrelation(left));
  const slope = theilSen(days, values, 0.95, inflation);
  const { p } = mannKendall(values, 0, inflation);
  const center = median(left);
  const habit = median(left.map((value) => Math.abs(value - center)));
  const floor = Math.max(deviations * habit, levelShare * Math.abs(median(values)));
  const rise = slope.perDay * days.at(-1)!;
  const clear = p < 0.05 && Math.abs(rise) > floor;
  return {
    direction: clear ? (rise > 0 ? 'INCREASING' : 'DECREASING') : 'STABLE',
    slope,
    p,
    floor,
    deseasonalised,
    changepoints: levelsChanged(levels, values, deseasonalised ? Math.round(dayMs / stepMs) : 2),
  };
}

/** Removes the daily pattern around the line, if there are at least two days. */
function withoutDay(levels: Level[], days: number[], stepMs: number): { values: number[]; deseasonalised: boolean } {
  const raw = levels.map(({ value }) => value);
  const perDay = dayMs / stepMs;
  if (days.at(-1)! < 2 || perDay < 4) return { values: raw, deseasonalised: false };
  const line = theilSen(days, raw).perDay;
  const slot = (i: number) => Math.floor((levels[i]!.at % dayMs) / stepMs);
  const left = raw.map((value, i) => value - line * days[i]!);
  const center = median(left);
  const slots = Map.groupBy(left.keys(), slot);
  const usual = new Map([...slots].map(([key, rows]) => [key, median(rows.map((i) => left[i]!)) - center]));
  return { values: raw.map((value, i) => value - usual.get(slot(i))!), deseasonalised: true };
}

function levelsChanged(levels: Level[], values: number[], shortest: number): Trend['changepoints'] {
  const edges = changepoints(values, shortest);
  const bounds = [0, ...edges, values.length];
  const middle = (k: number) => median(values.slice(bounds[k], bounds[k + 1]));
  return edges.map((edge, k) => ({ at: levels[edge]!.at, before: middle(k), after: middle(k + 1) }));
}
