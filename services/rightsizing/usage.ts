/** Usage of a container or a service by step, in cores or bytes. */

/** `values[i]` was used at `startMs + i * stepMs`; NaN if unknown. */
export type Usage = { startMs: number; stepMs: number; values: Float64Array };

/** Resource of a recommendation. */
export type Resource = 'cpu' | 'memory';

/** A part of a series, between two steps; shares memory with it. */
export const partOf = ({ startMs, stepMs, values }: Usage, from: number, to: number): Usage => ({
  startMs: startMs + Math.max(0, from) * stepMs,
  stepMs,
  values: values.subarray(Math.max(0, from), to),
});

/** The last `ms` milliseconds, or the whole series if it is shorter. */
export const lastOf = (usage: Usage, ms: number): Usage =>
  partOf(usage, usage.values.length - Math.round(ms / usage.stepMs), usage.values.length);

/** Known values, ascending. */
export const sorted = (values: Float64Array): Float64Array => values.filter((value) => !Number.isNaN(value)).sort();

/**
 * Linear interpolation between order statistics (type 7, as in NumPy and Prometheus). NaN if empty.
 * @param ascending - sorted, without NaN
 */
export function quantileOf(ascending: Float64Array, share: number): number {
  const at = (ascending.length - 1) * share;
  const low = ascending[Math.floor(at)] ?? Number.NaN;
  return low + ((ascending[Math.ceil(at)] ?? Number.NaN) - low) * (at - Math.floor(at));
}

export const hour = 3_600_000;
export const day = 24 * hour;

/** Time between updates: a quarter of the horizon, or the horizon if it is shorter than four hours. */
export const strideOf = (horizonMs: number): number => (horizonMs >= 4 * hour ? horizonMs / 4 : horizonMs);

export const horizonMsOf = { '24h': day, '1h': hour };
/** A one-hour horizon needs a step of a minute; for a day five minutes suffice. */
export const stepMsOf = { '24h': 300_000, '1h': 60_000 };
