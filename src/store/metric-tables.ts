import type { Generated } from 'kysely';

/** Kysely types of the tables in `metrics.db`. Times are milliseconds since 1970. */
export type MetricTables = {
  /** `labels`: JSON with sorted names; '{}' for no labels. */
  series: { id: Generated<number>; metric: string; resource: string; labels: string };
  /** Points of hours that are not sealed, and late points. `bits`: the eight bytes of a value that is not a number. */
  points: { series_id: number; at: number; value: number | null; bits: Uint8Array | null };
  /**
   * Summary of a sealed hour, or of a day (`step`: its length). `squares`: sum of squared distances from the mean;
   * `sketch`: for quantiles; `points`: the compressed raw points, until their retention ends.
   */
  rollups: {
    series_id: number;
    step: number;
    start: number;
    count: number;
    sum: number;
    min: number | null;
    max: number | null;
    squares: number;
    sketch: Uint8Array;
    points: Uint8Array | null;
  };
};
