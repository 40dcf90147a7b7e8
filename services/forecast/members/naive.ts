import type { Member } from './member.ts';

/** Repeats the last value. */
export const persistence: Member = {
  name: 'persistence',
  needs: () => 1,
  fit: ({ values }) => ({ predict: (horizon) => new Float64Array(horizon).fill(values.at(-1)!) }),
};

/** Repeats the last season, the shortest if there are several. */
export const seasonalNaive: Member = {
  name: 'seasonal_naive',
  needs: ({ periods }) => periods[0] ?? Number.POSITIVE_INFINITY,
  fit: ({ values, periods }) => ({
    predict: (horizon) =>
      Float64Array.from({ length: horizon }, (_, h) => values[values.length - periods[0]! + (h % periods[0]!)]!),
  }),
};

/** M4's benchmark: the last value, deseasonalised by ratios to a moving average if the season is significant. */
export const naive2: Member = {
  name: 'naive2',
  needs: () => 1,
  fit: ({ values, periods }) => {
    const period = periods[0] ?? 1;
    const ratios = period > 1 && isSeasonal(values, period) ? seasonalRatios(values, period) : null;
    const n = values.length;
    const ratio = (i: number) => ratios?.[i % period] ?? 1;
    return {
      predict: (horizon) =>
        Float64Array.from({ length: horizon }, (_, h) => (values[n - 1]! / ratio(n - 1)) * ratio(n + h)),
    };
  },
};

/** Whether the autocorrelation at the season is significant (90 %), with the test of M4's organisers. */
function isSeasonal(values: Float64Array, period: number): boolean {
  const n = values.length;
  if (n < 3 * period) return false;
  const center = values.reduce((total, value) => total + value / n, 0);
  const power = values.reduce((total, value) => total + (value - center) ** 2, 0);
  if (power === 0) return false;
  const correlation = (lag: number) => {
    let total = 0;
    for (let i = lag; i < n; i += 1) total += (values[i]! - center) * (values[i - lag]! - center);
    return total / power;
  };
  let squares = 0;
  for (let lag = 1; lag < period; lag += 1) squares += correlation(lag) ** 2;
  return Math.abs(correlation(period)) > 1.645 * Math.sqrt((1 + 2 * squares) / n);
}

/** Classical multiplicative decomposition. */
function seasonalRatios(values: Float64Array, period: number): Float64Array | null {
  const half = period >> 1;
  const [sums, counts] = [new Float64Array(period), new Float64Array(period)];
  for (let i = half; i < values.length - half; i += 1) {
    let level = 0;
    for (let j = -half; j <= half; j += 1)
      level += (period % 2 === 0 && Math.abs(j) === half ? 0.5 : 1) * values[i + j]!;
    if (level === 0) return null;
    sums[i % period] = sums[i % period]! + (values[i]! * period) / level;
    counts[i % period] = counts[i % period]! + 1;
  }
  const means = sums.map((sum, slot) => sum / counts[slot]!);
  const center = means.reduce((total, value) => total + value / period, 0);
  return means.every((value) => value / center > 0) ? means.map((value) => value / center) : null;
}
