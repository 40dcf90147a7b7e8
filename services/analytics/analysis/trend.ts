import { chiSquareUpper, lagOneCorrelation, mean, median } from '#kernel/stats.ts';
import { mannKendall, theilSen, yueWang } from '#kernel/trend.ts';
import { dayMs } from '../storage/reader.ts';
import { changepoints } from './changepoints.ts';

/**
 * Direction and robust slope of a metric; a direction only if it is significant and larger than the metric's usual
 * variation.
 */

export type Level = { at: number; value: number };
export type Trend = {
  direction: 'INCREASING' | 'DECREASING' | 'STABLE' | 'INCONCLUSIVE' | 'INSUFFICIENT_DATA';
  /** Why the direction is inconclusive or unknown. */
  reason: string | null;
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
 * @param before levels before these: they tell the daily pattern of a short time range
 */
export function trendOf(levels: Level[], stepMs: number, before: Level[] = []): Trend {
  const nothing = { slope: null, p: null, floor: null, deseasonalised: false, changepoints: [] };
  if (levels.length < minLevels) {
    const reason = `${levels.length} levels of ${stepMs / 1000} s; at least ${minLevels} are required`;
    return { direction: 'INSUFFICIENT_DATA', reason, ...nothing };
  }
  const days = levels.map(({ at }) => (at - levels[0]!.at) / dayMs);
  const { values, rowsPerSlot } = withoutDay(levels, stepMs, before);
  const deseasonalised = rowsPerSlot !== null;
  const line = theilSen(days, values).perDay;
  const left = values.map((value, i) => value - line * days[i]!);
  // The pattern takes up one of the values of each time of day.
  const spent = rowsPerSlot === null ? 1 : rowsPerSlot / (rowsPerSlot - 1);
  const inflation = spent * yueWang(values.length, lagOneCorrelation(left));
  const slope = theilSen(days, values, 0.95, inflation);
  const { p } = mannKendall(values, 0, inflation);
  const center = median(left);
  const habit = median(left.map((value) => Math.abs(value - center)));
  const floor = Math.max(deviations * habit, levelShare * Math.abs(median(values)));
  const rise = slope.perDay * days.at(-1)!;
  const clear = p < 0.05 && Math.abs(rise) > floor;
  const reason = clear ? cycleInstead(days, values, deseasonalised) : null;
  return {
    direction: reason !== null ? 'INCONCLUSIVE' : clear ? (rise > 0 ? 'INCREASING' : 'DECREASING') : 'STABLE',
    reason,
    slope,
    p,
    floor,
    deseasonalised,
    changepoints: levelsChanged(levels, values, deseasonalised ? Math.round(dayMs / stepMs) : 2),
  };
}

/** Removes the daily pattern around the line, if there are at least two days; `rowsPerSlot` is null otherwise. */
function withoutDay(
  levels: Level[],
  stepMs: number,
  before: Level[],
): { values: number[]; rowsPerSlot: number | null } {
  const all = [...before, ...levels];
  const raw = all.map(({ value }) => value);
  const days = all.map(({ at }) => (at - all[0]!.at) / dayMs);
  const perDay = dayMs / stepMs;
  if (days.at(-1)! < 2 || perDay < 4) return { values: raw.slice(before.length), rowsPerSlot: null };
  const slot = (i: number) => Math.floor((all[i]!.at % dayMs) / stepMs);
  const slots = Map.groupBy(raw.keys(), slot);
  let values = raw;
  // The cycle distorts the line, and an inexact line the pattern. Medians of a few days would be values themselves, and
  // what is left of those a straight line.
  for (let round = 0; round < 2; round += 1) {
    const line = theilSen(days, values).perDay;
    const left = raw.map((value, i) => value - line * days[i]!);
    const center = mean(left);
    const usual = new Map([...slots].map(([key, rows]) => [key, mean(rows.map((i) => left[i]!)) - center]));
    values = raw.map((value, i) => value - usual.get(slot(i))!);
  }
  return { values: values.slice(before.length), rowsPerSlot: all.length / slots.size };
}

/** Cycles of most metrics, in days. */
const cycles = [
  { name: 'daily', days: 1 },
  { name: 'weekly', days: 7 },
];

/** The cycle that the time range is too short to separate from a trend, in words; null if there is none. */
function cycleInstead(days: number[], values: number[], deseasonalised: boolean): string | null {
  const span = days.at(-1)!;
  const cycle = cycles.find(
    (each) =>
      !(each.name === 'daily' && deseasonalised) &&
      span >= each.days / 4 &&
      span < 2 * each.days &&
      cycleProbability(days, values, each.days) < 0.01,
  );
  if (!cycle) return null;
  return `a ${cycle.name} cycle explains the values better than a trend alone, and ${Number(span.toPrecision(2))} days are too short to separate the two: use a time range of at least ${2 * cycle.days} days`;
}

/**
 * Probability that a wave of the period and its first harmonic explain as much beyond a straight line by chance: an F
 * test, with the effective number of values of autocorrelated noise.
 */
function cycleProbability(days: number[], values: number[], period: number): number {
  const wave = (turns: number) => days.map((day) => (2 * Math.PI * turns * day) / period);
  const columns = [
    days.map(() => 1),
    days,
    ...[1, 2].flatMap((turns) => [wave(turns).map(Math.sin), wave(turns).map(Math.cos)]),
  ];
  const basis: number[][] = [];
  for (const column of columns) {
    const own = basis.reduce((rest, each) => without(rest, each), column);
    const size = Math.sqrt(dot(own, own));
    if (size > 1e-9 * Math.sqrt(dot(column, column))) basis.push(own.map((value) => value / size));
  }
  const line = basis.slice(0, 2).reduce((rest, each) => without(rest, each), values);
  const left = basis.slice(2).reduce((rest, each) => without(rest, each), line);
  const [outer, inner] = [dot(line, line), dot(left, left)];
  const free = values.length - basis.length;
  if (free < 2 || outer === 0) return 1;
  const correlation = Math.min(0.95, Math.max(0, lagOneCorrelation(left)));
  const inflation = (1 + correlation) / (1 - correlation);
  return chiSquareUpper((outer - inner) / (inner / free + Number.MIN_VALUE) / inflation, basis.length - 2);
}

const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
/** The part of a column that is orthogonal to a unit vector. */
const without = (column: number[], unit: number[]): number[] => {
  const share = dot(column, unit);
  return column.map((value, i) => value - share * unit[i]!);
};

function levelsChanged(levels: Level[], values: number[], shortest: number): Trend['changepoints'] {
  const edges = changepoints(values, shortest);
  const bounds = [0, ...edges, values.length];
  const middle = (k: number) => median(values.slice(bounds[k], bounds[k + 1]));
  return edges.map((edge, k) => ({ at: levels[edge]!.at, before: middle(k), after: middle(k + 1) }));
}
