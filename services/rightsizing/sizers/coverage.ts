/**
 * Coverage of a request: how often the stated share of samples stayed below it, and would have stayed below factor × it.
 *
 *   c(f) = (k(f) + h p(f)) / (n + h)                 estimated coverage at factor f
 *   k(f) = Σ λ^age [share kept at f × request]       horizons, older ones faded by λ
 *   n    = Σ λ^age
 *   odds p(f) = odds p(1) f⁸                         prior of h horizons: usage that swings by some ten per cent
 *
 * A Bayesian estimate of a proportion, with `horizons` = h and `kept` = p(1).
 */

/** Factors of the request that coverage is tracked for. */
export const coverageFactors = [0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2] as const;
const factorOneIndex = coverageFactors.indexOf(1);

/** Prior: coverage `kept` at the request itself, worth `horizons` observations. */
export type CoveragePrior = { horizons: number; kept: number };

/** p(f). */
const priorConfidence = (kept: number, factor: number): number => {
  const odds = (kept / (1 - kept)) * factor ** 8;
  return odds / (1 + odds);
};

export function createCoverageTracker(prior: CoveragePrior) {
  const kept = new Float64Array(coverageFactors.length);
  let observed = 0;
  return {
    /**
     * Adds one horizon.
     * @param fade - λ
     * @param isKept - whether the share was kept at factor × the request
     */
    add: (fade: number, isKept: (factor: number) => boolean): void => {
      observed = observed * fade + 1;
      for (const [i, factor] of coverageFactors.entries()) kept[i] = kept[i]! * fade + (isKept(factor) ? 1 : 0);
    },
    /** n. */
    observed: () => observed,
    /** c(f) for each of the factors. */
    confidences: (): number[] =>
      coverageFactors.map(
        (factor, i) => (kept[i]! + prior.horizons * priorConfidence(prior.kept, factor)) / (observed + prior.horizons),
      ),
  };
}

/** Coverage at the request itself. */
export const confidenceOf = (confidences: readonly number[]): number => confidences[factorOneIndex]!;

/** Coverage at a factor, by linear interpolation. */
export function confidenceAt(confidences: readonly number[], factor: number): number {
  const above = coverageFactors.findIndex((each) => each > factor);
  if (above === 0) return confidences[0]! * (factor / coverageFactors[0]);
  if (above === -1) return confidences.at(-1)!;
  const [low, high] = [coverageFactors[above - 1]!, coverageFactors[above]!];
  const part = (factor - low) / (high - low);
  return confidences[above - 1]! * (1 - part) + confidences[above]! * part;
}
