/** Accuracy measures. Arrays have one number per step; the score of an empty array is NaN. */

type Numbers = ArrayLike<number>;

const meanOver = (length: number, at: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < length; i += 1) total += at(i);
  return total / length;
};

export const meanAbsoluteError = (actual: Numbers, forecast: Numbers): number =>
  meanOver(actual.length, (i) => Math.abs(actual[i]! - forecast[i]!));

/** Symmetric mean absolute percentage error, 0 to 200, as in M4; 0 for two zeros. */
export const smape = (actual: Numbers, forecast: Numbers): number =>
  meanOver(actual.length, (i) => {
    const size = Math.abs(actual[i]!) + Math.abs(forecast[i]!);
    return size === 0 ? 0 : (200 * Math.abs(actual[i]! - forecast[i]!)) / size;
  });

/** Mean error of the seasonal naive forecast one season ahead within a series: the scale of MASE. */
export const naiveScale = (history: Numbers, period: number): number =>
  meanOver(Math.max(0, history.length - period), (i) => Math.abs(history[i + period]! - history[i]!));

/** Mean absolute scaled error (Hyndman and Koehler 2006); NaN if the history is constant. */
export const mase = (actual: Numbers, forecast: Numbers, history: Numbers, period: number): number => {
  const scale = naiveScale(history, period);
  return scale > 0 ? meanAbsoluteError(actual, forecast) / scale : Number.NaN;
};

/** Pinball loss of a quantile forecast. */
export const pinball = (actual: Numbers, forecast: Numbers, level: number): number =>
  meanOver(actual.length, (i) => {
    const under = actual[i]! - forecast[i]!;
    return Math.max(level * under, (level - 1) * under);
  });

/** Share of values within [lower, upper]. */
export const coverage = (actual: Numbers, lower: Numbers, upper: Numbers): number =>
  meanOver(actual.length, (i) => (actual[i]! >= lower[i]! && actual[i]! <= upper[i]! ? 1 : 0));

/** Overall weighted average of M4: the mean of sMAPE and MASE, each relative to Naive2. */
export const owa = (scores: { smape: number; mase: number }, naive2: { smape: number; mase: number }): number =>
  (scores.smape / naive2.smape + scores.mase / naive2.mase) / 2;
