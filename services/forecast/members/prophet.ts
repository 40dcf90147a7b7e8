import { gridLocalTime } from '../engine/calendar.ts';
import { solveCholesky } from '../engine/linear.ts';
import type { Series } from '../engine/series.ts';
import type { Fitted, Member } from './member.ts';

/**
 * A Prophet-style model (Taylor and Letham 2018): piecewise linear trend, Fourier series for seasons, holidays and
 * regressors, by maximum a posteriori. Given the noise the posterior is concave, so an active set on the normal
 * equations finds the exact maximum, in milliseconds; Prophet's L-BFGS stops near it. Names and defaults are Prophet's;
 * logistic growth and sampling are not supported.
 */
export type ProphetSettings = {
  growth: 'linear' | 'flat';
  /** `auto`: if the series has at least two periods; a number: the order of the Fourier series. */
  yearly_seasonality: boolean | 'auto' | number;
  weekly_seasonality: boolean | 'auto' | number;
  daily_seasonality: boolean | 'auto' | number;
  n_changepoints: number;
  /** Share of the history in which changepoints are allowed. */
  changepoint_range: number;
  changepoint_prior_scale: number;
  seasonality_prior_scale: number;
  holidays_prior_scale: number;
  seasonality_mode: 'additive' | 'multiplicative';
  /** Named days, as milliseconds of their midnight (UTC). */
  holidays: { name: string; days: number[] }[];
  /** Additional columns: one number per step of the history and of the forecast. */
  regressors: { name: string; values: number[] }[];
};

export const prophetDefaults: ProphetSettings = {
  growth: 'linear',
  yearly_seasonality: 'auto',
  weekly_seasonality: 'auto',
  daily_seasonality: 'auto',
  n_changepoints: 25,
  changepoint_range: 0.8,
  changepoint_prior_scale: 0.05,
  seasonality_prior_scale: 10,
  holidays_prior_scale: 10,
  seasonality_mode: 'additive',
  holidays: [],
  regressors: [],
};

export const prophet = (settings: Partial<ProphetSettings> = {}): Member => ({
  name: 'prophet',
  needs: () => 10,
  fit: (series) => fitProphet(series, { ...prophetDefaults, ...settings }),
});

/** `prior`: standard deviation of a normal prior, or scale of a Laplace prior. */
type Column = { prior: number; laplace: boolean; at: (step: number) => number };

function fitProphet(series: Series, settings: ProphetSettings): Fitted {
  const { values } = series;
  const n = values.length;
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const y = values.map((value) => value / scale);
  const trend = trendColumns(n, settings);
  const seasons = [...seasonColumns(series, settings), ...eventColumns(series, settings)];
  const weights =
    settings.seasonality_mode === 'additive'
      ? mostLikely(matrixOf([...trend, ...seasons], n), y, [...trend, ...seasons])
      : multiplicative(trend, seasons, y);
  const partOf = (columns: Column[], from: number, step: number): number =>
    columns.reduce((total, column, i) => total + column.at(step) * weights[from + i]!, 0);
  const at = (step: number): number => {
    const [level, season] = [partOf(trend, 0, step), partOf(seasons, trend.length, step)];
    return scale * (settings.seasonality_mode === 'additive' ? level + season : level * (1 + season));
  };
  return { predict: (horizon) => Float64Array.from({ length: horizon }, (_, h) => at(n + h)) };
}

/** Offset, slope and one hinge per changepoint. Time runs from 0 to 1 over the history. */
function trendColumns(n: number, settings: ProphetSettings): Column[] {
  const flat = { laplace: false, prior: 5 };
  const time = (step: number) => step / Math.max(1, n - 1);
  if (settings.growth === 'flat') return [{ ...flat, at: () => 1 }];
  const reach = Math.floor(n * settings.changepoint_range);
  const count = Math.min(settings.n_changepoints, Math.max(0, reach - 1));
  const hinges = Array.from({ length: count }, (_, i): Column => {
    const bend = time(Math.round(((i + 1) * (reach - 1)) / count));
    return {
      laplace: true,
      prior: settings.changepoint_prior_scale,
      at: (step) => Math.max(0, time(step) - bend),
    };
  });
  return [{ ...flat, at: () => 1 }, { ...flat, at: time }, ...hinges];
}

const day = 86_400_000;

function seasonColumns(series: Series, settings: ProphetSettings): Column[] {
  return seasonsOf(series, settings).flatMap(({ period, order }) =>
    Array.from({ length: 2 * Math.min(order, Math.floor((period - 1) / 2)) }, (_, i): Column => {
      const turn = (2 * Math.PI * (1 + (i >> 1))) / period;
      const at = i % 2 === 0 ? (step: number) => Math.sin(turn * step) : (step: number) => Math.cos(turn * step);
      return { prior: settings.seasonality_prior_scale, laplace: false, at };
    }),
  );
}

/** Seasons with their periods in steps. A series without timestamps has the detected ones. */
function seasonsOf({ values, step, periods }: Series, settings: ProphetSettings): { period: number; order: number }[] {
  if (step === null) return periods.map((period) => ({ period, order: 4 }));
  const span = values.length * step;
  const offered = [
    { length: day, wanted: settings.daily_seasonality, order: 4, fits: span >= 2 * day && step < day },
    { length: 7 * day, wanted: settings.weekly_seasonality, order: 3, fits: span >= 14 * day && step < 7 * day },
    { length: 365.25 * day, wanted: settings.yearly_seasonality, order: 10, fits: span >= 730 * day },
  ];
  return offered
    .filter(({ wanted, fits }) => (wanted === 'auto' ? fits : wanted !== false))
    .map(({ length, wanted, order }) => ({
      period: length / step,
      order: typeof wanted === 'number' ? wanted : order,
    }));
}

function eventColumns(series: Series, settings: ProphetSettings): Column[] {
  const holidays = settings.holidays.map(({ days }): Column => {
    const set = new Set(days.map((at) => Math.floor(at / day)));
    const at = (index: number) => {
      return series.grid && set.has(Math.floor(gridLocalTime(series.grid, index) / day)) ? 1 : 0;
    };
    return { prior: settings.holidays_prior_scale, laplace: false, at };
  });
  const regressors = settings.regressors.map(({ name, values: given }): Column => {
    const known = given.slice(0, series.values.length);
    const center = known.reduce((total, value) => total + value, 0) / known.length;
    const spread = Math.sqrt(known.reduce((total, value) => total + (value - center) ** 2, 0) / known.length) || 1;
    const at = (index: number) => {
      const value = given[index];
      if (value === undefined) throw new RangeError(`the regressor ${name} does not reach step ${index}`);
      return (value - center) / spread;
    };
    return { prior: settings.holidays_prior_scale, laplace: false, at };
  });
  return [...holidays, ...regressors];
}

const matrixOf = (columns: Column[], n: number): Float64Array[] =>
  columns.map(({ at }) => Float64Array.from({ length: n }, (_, i) => at(i)));

/** level × (1 + season): alternating, since each part is linear given the other. */
function multiplicative(trend: Column[], seasons: Column[], y: Float64Array): Float64Array {
  const [trendMatrix, seasonMatrix] = [matrixOf(trend, y.length), matrixOf(seasons, y.length)];
  const sum = (matrix: Float64Array[], weights: Float64Array) =>
    y.map((_, i) => matrix.reduce((total, column, j) => total + column[i]! * weights[j]!, 0));
  let seasonWeights: Float64Array = new Float64Array(seasons.length);
  let trendWeights: Float64Array = new Float64Array(trend.length);
  for (let round = 0; round < 20; round += 1) {
    const factor = sum(seasonMatrix, seasonWeights).map((value) => 1 + value);
    trendWeights = mostLikely(
      trendMatrix.map((column) => column.map((value, i) => value * factor[i]!)),
      y,
      trend,
      trendWeights,
    );
    const level = sum(trendMatrix, trendWeights);
    const rest = y.map((value, i) => value - level[i]!);
    seasonWeights = mostLikely(
      seasonMatrix.map((column) => column.map((value, i) => value * level[i]!)),
      rest,
      seasons,
      seasonWeights,
    );
  }
  return Float64Array.from([...trendWeights, ...seasonWeights]);
}

/** Maximum a posteriori: alternates between weights given the noise and noise given the weights, until convergence. */
function mostLikely(matrix: Float64Array[], y: Float64Array, columns: Column[], from?: Float64Array): Float64Array {
  const n = y.length;
  const p = columns.length;
  const dot = (a: Float64Array, b: Float64Array): number => {
    let total = 0;
    for (let i = 0; i < n; i += 1) total += a[i]! * b[i]!;
    return total;
  };
  const gram = matrix.map((a, i) => Float64Array.from(matrix, (b, j) => (j < i ? 0 : dot(a, b))));
  for (let i = 0; i < p; i += 1) for (let j = 0; j < i; j += 1) gram[i]![j] = gram[j]![i]!;
  const cross = Float64Array.from(matrix, (a) => dot(a, y));
  const power = dot(y, y);
  const weights = from?.slice() ?? new Float64Array(p);
  let variance = Math.max(power / n, 1e-12);
  for (let round = 0; round < 30; round += 1) {
    maximise(gram, cross, weights, columns, variance);
    let residual = power;
    for (let i = 0; i < p; i += 1) residual += weights[i]! * (gramRow(gram, weights, i) - 2 * cross[i]!);
    // Closed-form mode of the noise with a half-normal prior of 0.5.
    const next = Math.max((-n + Math.sqrt(n * n + 16 * Math.max(residual, 0))) / 8, 1e-12);
    const moved = Math.abs(next - variance) / variance;
    variance = next;
    if (moved < 1e-4) break;
  }
  return weights;
}

const gramRow = (gram: Float64Array[], weights: Float64Array, i: number): number => {
  const row = gram[i]!;
  let total = 0;
  for (let j = 0; j < weights.length; j += 1) total += row[j]! * weights[j]!;
  return total;
};

/**
 * Mode of the weights for a given noise, by an active set (similar to the feature-sign search of Lee et al. 2007):
 * solve for the active changepoints with their signs; if one changes its sign, stop there and remove it; else add the
 * changepoint with the largest gradient. Hinges are strongly correlated, so coordinate descent would need thousands of
 * iterations.
 */
function maximise(
  gram: Float64Array[],
  cross: Float64Array,
  weights: Float64Array,
  columns: Column[],
  variance: number,
): void {
  const signs = columns.map(({ laplace }, i) => (laplace ? Math.sign(weights[i]!) : 1));
  const limit = (i: number) => variance / columns[i]!.prior;
  for (let round = 0; round < 20 * columns.length; round += 1) {
    const active = columns.map((_, i) => i).filter((i) => signs[i] !== 0 && gram[i]![i]! > 0);
    const target = solveActive(gram, cross, columns, signs, active, variance);
    let [reach, hit] = [1, -1];
    for (const [a, i] of active.entries()) {
      if (!columns[i]!.laplace || target[a]! * signs[i]! >= 0) continue;
      const share = weights[i]! / (weights[i]! - target[a]!);
      if (share < reach) [reach, hit] = [share, i];
    }
    for (const [a, i] of active.entries()) weights[i] = weights[i]! + reach * (target[a]! - weights[i]!);
    if (hit >= 0) {
      weights[hit] = 0;
      signs[hit] = 0;
      // A changepoint that is added and immediately removed differs from zero only by rounding.
      if (reach === 0) return;
      continue;
    }
    let [worst, most] = [-1, 1e-9];
    for (const [i, { laplace }] of columns.entries()) {
      if (!laplace || signs[i] !== 0) continue;
      const excess = Math.abs(cross[i]! - gramRow(gram, weights, i)) - limit(i);
      if (excess > most) [worst, most] = [i, excess];
    }
    if (worst === -1) return;
    signs[worst] = Math.sign(cross[worst]! - gramRow(gram, weights, worst));
  }
}

function solveActive(
  gram: Float64Array[],
  cross: Float64Array,
  columns: Column[],
  signs: number[],
  active: number[],
  variance: number,
): Float64Array {
  const n = active.length;
  const matrix = new Float64Array(n * n);
  const target = new Float64Array(n);
  for (const [a, i] of active.entries()) {
    const { prior, laplace } = columns[i]!;
    for (const [b, j] of active.entries()) matrix[a * n + b] = gram[i]![j]!;
    // Two hinges between the same two points are collinear: a minimal penalty keeps the system solvable.
    matrix[a * n + a] = matrix[a * n + a]! * (1 + 1e-12) + (laplace ? 1e-12 : variance / prior ** 2);
    target[a] = cross[i]! - (laplace ? (signs[i]! * variance) / prior : 0);
  }
  return solveCholesky(matrix, n, target, 1);
}
