/**
 * Exponential smoothing with a trend (Holt 1957), as in the documented API; intervals of Hyndman and others 2008, table
 * 6.2.
 */

export type Smoothed = { mean: number[]; lower: number[]; upper: number[] };

const weights = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9];
const trendWeights = [0, 0.02, 0.05, 0.1, 0.3];
/** Normal quantile for 90 % intervals. */
const half90 = 1.6449;

/**
 * @param values at least two, none missing
 */
export function smooth(values: readonly number[], horizon: number): Smoothed {
  const fits = weights.flatMap((alpha) => trendWeights.map((beta) => fit(values, alpha, beta)));
  const best = fits.reduce((a, b) => (b.squares < a.squares ? b : a));
  const { level, trend, alpha, beta } = best;
  const spread = Math.sqrt(best.squares / Math.max(1, values.length - 1));
  const steps = Array.from({ length: horizon }, (_, h) => h + 1);
  const mean = steps.map((h) => level + h * trend);
  let grown = 1;
  const halves = steps.map((h) => {
    const half = half90 * spread * Math.sqrt(grown);
    grown += (alpha + alpha * beta * h) ** 2;
    return half;
  });
  return {
    mean,
    lower: mean.map((value, i) => value - halves[i]!),
    upper: mean.map((value, i) => value + halves[i]!),
  };
}

function fit(values: readonly number[], alpha: number, beta: number) {
  let level = values[0]!;
  // With a trend coefficient of 0 there is no trend.
  let trend = beta > 0 ? (values.at(-1)! - level) / Math.max(1, values.length - 1) : 0;
  let squares = 0;
  for (const value of values.slice(1)) {
    const error = value - (level + trend);
    squares += error * error;
    level += trend + alpha * error;
    trend += alpha * beta * error;
  }
  return { level, trend, alpha, beta, squares };
}
