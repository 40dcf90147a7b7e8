import { median } from '#kernel/stats.ts';
import { solveCholesky } from '../engine/linear.ts';
import type { Member } from './member.ts';

/**
 * Autoregression on seasonal differences: the difference to the previous season is a linear function of a few earlier
 * differences, the latest ones and those around each season. Fitted robustly (Huber weights), forecast recursively.
 * Logarithmic if every value is positive: seasons are then ratios.
 */
export const autoregression = (logs: boolean): Member => ({
  name: logs ? 'autoregression_log' : 'autoregression',
  needs: (series) => {
    const lags = lagsOf(series.periods.slice(0, 1));
    return Math.max(...lags, 1) + rowsPerLag * lags.length;
  },
  fit: ({ values, periods }) => {
    if (logs && !values.every((value) => value > 0)) throw new RangeError('not every value is positive');
    const z = logs ? values.map(Math.log) : values;
    const base = periods[0] ?? 1;
    // Skips lags that leave too few rows.
    const all = lagsOf(periods);
    const lags = all.filter((lag) => lag + rowsPerLag * all.length <= values.length);
    const model = fitLags(z, lags.length > 0 ? lags : lagsOf([base]), base);
    return {
      predict: (horizon) => {
        const ahead = stepByStep(z, model, horizon);
        return logs ? ahead.map(Math.exp) : ahead;
      },
    };
  },
});

/** Minimum number of rows per coefficient. */
const rowsPerLag = 12;
/**
 * Penalty on standardised coefficients. Penalty, lags and number of iterations were chosen on earlier parts of M4's
 * hourly training series.
 */
const penalty = 3;
const rounds = 4;
/** Huber's threshold in standard deviations (95 % efficient for normal errors; Huber 1964). */
const huber = 1.345;

type Model = { base: number; lags: number[]; coefficients: Float64Array; most: number };

/** The last three steps, those around each season, and two seasons ago; without the base, which is subtracted. */
function lagsOf(periods: readonly number[]): number[] {
  const base = periods[0] ?? 1;
  const around = periods.flatMap((period) => [period - 1, period, period + 1]);
  const lags = [1, 2, 3, ...around, ...(base > 1 ? [2 * base] : [])];
  return [...new Set(lags)].filter((lag) => lag !== base && lag > 0).sort((a, b) => a - b);
}

function fitLags(z: Float64Array, lags: number[], base: number): Model {
  const first = Math.max(...lags, base);
  const rows = z.length - first;
  const inputs = lags.map((lag) => differences(z, first, (t) => z[t - lag]! - z[t - base]!));
  const output = differences(z, first, (t) => z[t]! - z[t - base]!);
  const spreads = inputs.map((input) => deviation(input) || 1);
  const coefficients = new Float64Array(lags.length);
  const weights = new Float64Array(rows).fill(1);
  const errors = new Float64Array(rows);
  for (let round = 0; round < rounds; round += 1) {
    coefficients.set(leastSquares(inputs, spreads, output, weights));
    for (let row = 0; row < rows; row += 1)
      errors[row] = Math.abs(inputs.reduce((left, input, i) => left - coefficients[i]! * input[row]!, output[row]!));
    const bound = huber * 1.4826 * median([...errors]);
    for (let row = 0; row < rows; row += 1) weights[row] = errors[row]! > bound ? bound / errors[row]! : 1;
  }
  return { base, lags, coefficients, most: output.reduce((most, value) => Math.max(most, Math.abs(value)), 0) };
}

const differences = (z: Float64Array, first: number, at: (t: number) => number): Float64Array =>
  Float64Array.from({ length: z.length - first }, (_, row) => at(first + row));

function deviation(values: Float64Array): number {
  const center = values.reduce((total, value) => total + value / values.length, 0);
  return Math.sqrt(values.reduce((total, value) => total + (value - center) ** 2 / values.length, 0));
}

function leastSquares(
  inputs: Float64Array[],
  spreads: number[],
  output: Float64Array,
  weights: Float64Array,
): Float64Array {
  const count = inputs.length;
  const [gram, cross] = [new Float64Array(count * count), new Float64Array(count)];
  for (let i = 0; i < count; i += 1) {
    const weighted = inputs[i]!.map((value, row) => (value * weights[row]!) / spreads[i]!);
    for (let j = 0; j <= i; j += 1) {
      let sum = 0;
      for (let row = 0; row < weighted.length; row += 1) sum += weighted[row]! * inputs[j]![row]!;
      gram[i * count + j] = sum / spreads[j]!;
      gram[j * count + i] = sum / spreads[j]!;
    }
    for (let row = 0; row < weighted.length; row += 1) cross[i] = cross[i]! + weighted[row]! * output[row]!;
    gram[i * count + i] = gram[i * count + i]! + penalty;
  }
  return solveCholesky(gram, count, cross, 1).map((value, i) => value / spreads[i]!);
}

/** Limits each step's seasonal difference to the largest one observed, since the recursion could diverge. */
function stepByStep(z: Float64Array, { base, lags, coefficients, most }: Model, horizon: number): Float64Array {
  const all = new Float64Array(z.length + horizon);
  all.set(z);
  for (let t = z.length; t < all.length; t += 1) {
    const before = all[t - base]!;
    const step = lags.reduce((sum, lag, i) => sum + coefficients[i]! * (all[t - lag]! - before), 0);
    all[t] = before + Math.max(-most, Math.min(most, step));
  }
  return all.subarray(z.length);
}
