/** Quantiles of a stream that forgets: buckets that grow by a fixed share, weights that halve. */

/** Each bucket ends 1.5 % above the one before. */
const growth = Math.log(1.015);
const buckets = 3_000;

export type LogHistogram = {
  /** Takes one value; what came earlier weighs less by then. */
  add(value: number, atMs: number): void;
  /** The value below which the share of the weight lies, within 1 %; NaN of nothing. */
  quantile(share: number): number;
};

/**
 * @param least - values up to here count as 0; what lies above 2 × 10^19 times it, as that
 * @param halfLifeMs - a value this old weighs half
 */
export function createLogHistogram(least: number, halfLifeMs: number): LogHistogram {
  const weights = new Float64Array(buckets);
  let total = 0;
  let [top, originMs] = [-1, Number.NaN];
  const endOf = (bucket: number) => (bucket === 0 ? least : least * Math.exp(bucket * growth));
  /** Weights grow with time instead of shrinking, until they have to be set back. */
  const rebase = (atMs: number) => {
    const factor = Number.isNaN(originMs) ? 1 : 2 ** ((originMs - atMs) / halfLifeMs);
    for (let i = 0; i <= top; i += 1) weights[i]! *= factor;
    total *= factor;
    originMs = atMs;
  };
  return {
    add: (value, atMs) => {
      if (Number.isNaN(originMs) || atMs - originMs > 60 * halfLifeMs) rebase(atMs);
      const bucket = value <= least ? 0 : Math.min(buckets - 1, Math.ceil(Math.log(value / least) / growth));
      const weight = 2 ** ((atMs - originMs) / halfLifeMs);
      weights[bucket]! += weight;
      total += weight;
      top = Math.max(top, bucket);
    },
    quantile: (share) => {
      if (top < 0) return Number.NaN;
      let above = total * (1 - share);
      for (let i = top; i > 0; i -= 1) {
        const weight = weights[i]!;
        if (weight > above) return endOf(i) * Math.exp((-above / weight) * growth);
        above -= weight;
      }
      return endOf(0);
    },
  };
}
