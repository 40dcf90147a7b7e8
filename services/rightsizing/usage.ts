/** What a container or a service used, step by step. Cores or bytes; the rules are the same. */

/** `values[i]` was used at `startMs + i * stepMs`; NaN where nobody knows. */
export type Usage = { startMs: number; stepMs: number; values: Float64Array };

/** What is sized. */
export type Resource = 'cpu' | 'memory';

/** The part of a series from one step up to another one, shared, not copied. */
export const partOf = ({ startMs, stepMs, values }: Usage, from: number, to: number): Usage => ({
  startMs: startMs + Math.max(0, from) * stepMs,
  stepMs,
  values: values.subarray(Math.max(0, from), to),
});

/** Its last `ms` milliseconds, or all where there is less. */
export const lastOf = (usage: Usage, ms: number): Usage =>
  partOf(usage, usage.values.length - Math.round(ms / usage.stepMs), usage.values.length);

/** What is known of it, ascending. */
export const sorted = (values: Float64Array): Float64Array => values.filter((value) => !Number.isNaN(value)).sort();

/**
 * Linear interpolation between order statistics (type 7, as NumPy and Prometheus do it). NaN of nothing.
 * @param ascending - sorted, without NaN
 */
export function quantileOf(ascending: Float64Array, share: number): number {
  const at = (ascending.length - 1) * share;
  const low = ascending[Math.floor(at)] ?? Number.NaN;
  return low + ((ascending[Math.ceil(at)] ?? Number.NaN) - low) * (at - Math.floor(at));
}

export const hour = 3_600_000;
export const day = 24 * hour;

/** Looks four times a horizon, from four hours on. */
export const strideOf = (horizonMs: number): number => (horizonMs >= 4 * hour ? horizonMs / 4 : horizonMs);

export const horizonMsOf = { '24h': day, '1h': hour };
/** An hour's horizon needs every minute; a day's does with five. */
export const stepMsOf = { '24h': 300_000, '1h': 60_000 };
