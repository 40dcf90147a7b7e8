import type { Generated } from 'kysely';

/** The tables of `metrics.db`, as Kysely sees them. Times are milliseconds since 1970. */
export type MetricTables = {
  /** `labels`: JSON with sorted names; '{}' for none. */
  series: { id: Generated<number>; metric: string; resource: string; labels: string };
  /** Points of hours that are not sealed, or came after they were. `bits`: the eight bytes of what is not a number. */
  points: { series_id: number; at: number; value: number | null; bits: Uint8Array | null };
  /**
   * What a sealed hour (or day, `step` long) held. `squares`: squared distances from the mean, summed; `sketch`: for
   * quantiles; `points`: all of them, compressed, until their retention is over.
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
