/** Quantiles of a stream with exponential decay: logarithmic buckets, weights with a half-life. */

/** Each bucket ends 1.5 % above the previous one. */
const growth = Math.log(1.015);
const buckets = 3_000;

export type LogHistogram = {
  /** Adds a value; the weight of earlier values decays relative to it. */
  add(value: number, atMs: number): void;
  /** Weighted quantile, within 1 %; NaN if empty. */
  quantile(share: number): number;
};

/**
 * @param least - values up to this count as 0; values above 2 × 10^19 times it are clipped
 * @param halfLifeMs - age at which a value has half its weight
 */
export function createLogHistogram(least: number, halfLifeMs: number): LogHistogram {
  const weights = new Float64Array(buckets);
  let total = 0;
  let [top, originMs] = [-1, Number.NaN];
  const endOf = (bucket: number) => (bucket === 0 ? least : least * Math.exp(bucket * growth));
  /** Weights of new values grow instead, until they are rescaled. */
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
