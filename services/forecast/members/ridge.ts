import { solveCholesky } from '../engine/linear.ts';
import type { Series } from '../engine/series.ts';
import { correctionIndex, type Fitted, type Member } from './member.ts';

/**
 * Ridge regression from the last seasonal differences to the corrections of the seasonal naive forecast: one linear map
 * for all steps. The penalty is chosen on the last quarter of the series; "no correction" is one of the choices.
 */
export const ridge = (which: number): Member => ({
  name: which === 0 ? 'ridge' : `ridge_${which + 1}`,
  needs: ({ periods }, horizon) => {
    const period = periods[which] ?? Number.POSITIVE_INFINITY;
    return period + horizon + (periods[0] ?? 0) + lagsFor(periods[0] ?? 0) + 40;
  },
  fit: (series, horizon) => fitRidge(series, series.periods[which]!, horizon),
});

const penalties = [1, 10, 100, 1000];
const maxLags = 168;
const lagsFor = (period: number): number => Math.min(maxLags, Math.max(24, 2 * period));

function fitRidge(series: Series, base: number, horizon: number): Fitted {
  const { values } = series;
  const lagPeriod = series.periods[0]!;
  const lags = Math.min(lagsFor(lagPeriod), Math.floor((values.length - lagPeriod) / 3));
  const steps = Math.min(horizon, 2 * base);
  const { differences, scale } = scaledDifferences(values, lagPeriod);
  const first = Math.max(lagPeriod + lags - 1, base - 1);
  const rows = values.length - steps - first;
  if (rows < 20) throw new RangeError('too short for a regression');
  // Row r ends at first + r: inputs are lagged differences, outputs corrections of the seasonal naive forecast.
  const input = (row: number, lag: number): number => differences[first + row - lag]!;
  const output = (row: number, h: number): number => {
    const end = first + row;
    return (values[end + 1 + h]! - values[end + 1 - base + (h % base)]!) / scale;
  };
  const fitted = fitted75(rows, lags, steps, input, output);
  return correction(series, base, lagPeriod, fitted, lags, steps, scale);
}

type Entry = (row: number, column: number) => number;

/** Coefficients (lags × steps) with the best penalty on the last quarter; null for no correction. */
function fitted75(rows: number, lags: number, steps: number, input: Entry, output: Entry): Float64Array | null {
  const split = Math.max(Math.floor(rows * 0.75), 1);
  // Leaves out training rows whose outputs overlap the validation quarter.
  const until = Math.max(split - steps, Math.floor(split / 2));
  const part = normalEquations(0, until, lags, steps, input, output);
  let best: { error: number; penalty: number | null } = {
    error: squaredError(null, split, rows, lags, steps, input, output),
    penalty: null,
  };
  for (const penalty of penalties) {
    const error = squaredError(solve(part, penalty, lags, steps), split, rows, lags, steps, input, output);
    if (error < best.error) best = { error, penalty };
  }
  if (best.penalty === null) return null;
  const rest = normalEquations(until, rows, lags, steps, input, output);
  const whole = {
    gram: part.gram.map((value, i) => value + rest.gram[i]!),
    cross: part.cross.map((value, i) => value + rest.cross[i]!),
  };
  return solve(whole, best.penalty, lags, steps);
}

type Equations = { gram: Float64Array; cross: Float64Array };

function normalEquations(
  from: number,
  to: number,
  lags: number,
  steps: number,
  input: Entry,
  output: Entry,
): Equations {
  const gram = new Float64Array(lags * lags);
  const cross = new Float64Array(lags * steps);
  // The rows are shifted copies of one series: each diagonal follows from its first entry.
  for (let j = 0; j < lags; j += 1) {
    let sum = 0;
    for (let row = from; row < to; row += 1) sum += input(row, 0) * input(row, j);
    for (let i = 0; i + j < lags; i += 1) {
      gram[i * lags + i + j] = sum;
      gram[(i + j) * lags + i] = sum;
      sum += input(from, i + 1) * input(from, i + j + 1) - input(to, i + 1) * input(to, i + j + 1);
    }
  }
  const targets = new Float64Array(steps);
  for (let row = from; row < to; row += 1) {
    for (let h = 0; h < steps; h += 1) targets[h] = output(row, h);
    for (let i = 0; i < lags; i += 1) {
      const x = input(row, i);
      const at = i * steps;
      for (let h = 0; h < steps; h += 1) cross[at + h] = cross[at + h]! + x * targets[h]!;
    }
  }
  return { gram, cross };
}

function solve({ gram, cross }: Equations, penalty: number, lags: number, steps: number): Float64Array {
  const matrix = gram.slice();
  for (let i = 0; i < lags; i += 1) matrix[i * lags + i] = matrix[i * lags + i]! + penalty;
  return solveCholesky(matrix, lags, cross.slice(), steps);
}

function squaredError(
  coefficients: Float64Array | null,
  from: number,
  to: number,
  lags: number,
  steps: number,
  input: Entry,
  output: Entry,
): number {
  let total = 0;
  // Every third origin suffices: neighbours share all but one value.
  for (let row = from; row < to; row += 3) {
    const forecast = new Float64Array(steps);
    if (coefficients) apply(coefficients, lags, steps, (lag) => input(row, lag), forecast);
    for (let h = 0; h < steps; h += 1) total += (output(row, h) - forecast[h]!) ** 2;
  }
  return total;
}

function apply(
  coefficients: Float64Array,
  lags: number,
  steps: number,
  input: (lag: number) => number,
  into: Float64Array,
): void {
  for (let lag = 0; lag < lags; lag += 1) {
    const x = input(lag);
    for (let h = 0; h < steps; h += 1) into[h] = into[h]! + x * coefficients[lag * steps + h]!;
  }
}

function scaledDifferences(values: Float64Array, period: number) {
  const raw = values.map((value, i) => (i < period ? 0 : value - values[i - period]!));
  const scale =
    Math.sqrt(raw.reduce((total, value) => total + value * value, 0) / Math.max(1, values.length - period)) || 1;
  return { differences: raw.map((value) => value / scale), scale };
}

/**
 * The seasonal naive forecast plus the correction; beyond the fitted steps the last season's corrections are repeated.
 */
function correction(
  series: Series,
  base: number,
  lagPeriod: number,
  coefficients: Float64Array | null,
  lags: number,
  steps: number,
  scale: number,
): Fitted {
  const { values } = series;
  return {
    predict: (horizon) => {
      const shift = new Float64Array(steps);
      const last = values.length - 1;
      const input = (lag: number) => (values[last - lag]! - values[last - lag - lagPeriod]!) / scale;
      if (coefficients) apply(coefficients, lags, steps, input, shift);
      return Float64Array.from(
        { length: horizon },
        (_, h) =>
          values[values.length - base + (h % base)]! + shift[correctionIndex(h, steps, Math.min(base, steps))]! * scale,
      );
    },
    continued: (longer) => correction(longer, base, lagPeriod, coefficients, lags, steps, scale),
  };
}
