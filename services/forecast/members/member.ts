import type { Series } from '../engine/series.ts';

/**
 * One way to forecast. `fit` may throw: the member then drops out and the answer names it.
 * `needs`: the fewest points it can be fitted to.
 */
export type Member = {
  name: string;
  needs(series: Series, horizon: number): number;
  fit(series: Series, horizon: number): Fitted;
};

export type Fitted = {
  /** The mean (or median) of each of the next steps. */
  predict(horizon: number): Float64Array;
  /** The same fit, seen from a later end of the same series: for members that are dear to fit. */
  continued?(longer: Series): Fitted;
  /** Fitted to the longer series, beginning from this fit: sooner done than anew. */
  refit?(longer: Series): Fitted;
};

/** Where the correction of step `h` stands among `steps` of them: beyond the last, the last cycle comes again. */
export const heldAt = (h: number, steps: number, cycle: number): number =>
  h < steps ? h : steps - cycle + ((h - steps) % cycle);
