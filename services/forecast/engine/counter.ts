import type { Series } from './series.ts';

/**
 * Intervals of counters: series that only grow, except for resets. Their errors add up, so that those of a few origins
 * close to each other say too little; the changes over the whole history say how far a counter gets.
 */

/** Share of steps that may be a decrease; a counter of a process is reset when it restarts. */
const maxResets = 0.05;

/** The newest values that the bounds are taken from: the changes of each step are sorted. */
const maxValues = 1_000;

export function isCounter({ values }: Series): boolean {
  let [falls, rises] = [0, 0];
  for (let t = 1; t < values.length; t += 1) {
    if (values[t]! < values[t - 1]!) falls += 1;
    if (values[t]! > values[t - 1]!) rises += 1;
  }
  return values.length >= 20 && rises > values.length / 3 && falls <= maxResets * values.length;
}

/**
 * Lower and upper ends of the interval by the changes of the history over as many steps. Where a reset is more probable
 * than the interval allows, it begins at zero.
 */
export function counterBounds(
  { values: all }: Series,
  horizon: number,
  level: number,
): { lower: Float64Array; upper: Float64Array } {
  const values = all.slice(-maxValues);
  const n = values.length;
  const resets = values.map((value, t) => (t > 0 && value < values[t - 1]! ? 1 : 0));
  const before = Float64Array.from({ length: n }, () => 0);
  for (let t = 1; t < n; t += 1) before[t] = before[t - 1]! + resets[t]!;
  const chance = before[n - 1]! / (n - 1);
  const last = values[n - 1]!;
  const bounds = Array.from({ length: horizon }, (_, h) => {
    const steps = Math.min(h + 1, Math.floor(n / 2));
    const changes: number[] = [];
    for (let t = 0; t + steps < n; t += 1)
      if (before[t + steps] === before[t]) changes.push(((values[t + steps]! - values[t]!) * (h + 1)) / steps);
    changes.sort((a, b) => a - b);
    const at = (share: number) => changes[Math.min(changes.length - 1, Math.floor(share * changes.length))] ?? 0;
    const isReset = 1 - (1 - chance) ** (h + 1) > (1 - level) / 2;
    return { lower: isReset ? 0 : last + at((1 - level) / 2), upper: last + at((1 + level) / 2) };
  });
  return {
    lower: Float64Array.from(bounds, ({ lower }) => lower),
    upper: Float64Array.from(bounds, ({ upper }) => upper),
  };
}
