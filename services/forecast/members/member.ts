import type { Series } from '../engine/series.ts';

/**
 * A forecasting method. `fit` may throw: the member is then left out, and the answer names it. `needs`: minimum number
 * of points.
 */
export type Member = {
  name: string;
  needs(series: Series, horizon: number): number;
  fit(series: Series, horizon: number): Fitted;
};

export type Fitted = {
  /** Mean (or median) of each of the next steps. */
  predict(horizon: number): Float64Array;
  /** The same fit applied at a later end of the same series: for members that are expensive to fit. */
  continued?(longer: Series): Fitted;
  /** Refits on the longer series, starting from this fit: faster than a new fit. */
  refit?(longer: Series): Fitted;
};

/** Index of the correction for step `h` among `steps`: beyond the last one, the last cycle is repeated. */
export const correctionIndex = (h: number, steps: number, cycle: number): number =>
  h < steps ? h : steps - cycle + ((h - steps) % cycle);
