/** How often a stated share was kept, and how often it would have been with more or less. */

/** Times of what was asked for. */
export const factors = [0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2] as const;
const asAsked = factors.indexOf(1);

/** Before anything is known: `kept` of so many horizons as it was asked for. */
export type CoveragePrior = { horizons: number; kept: number };

/** What is believed of a factor: odds grow with its eighth power, as of usage that swings by some ten per cent. */
const believed = (kept: number, factor: number): number => {
  const odds = (kept / (1 - kept)) * factor ** 8;
  return odds / (1 + odds);
};

/** @param belief - what is believed before anything is known */
export function createCoverageTracker(belief: CoveragePrior) {
  const kept = new Float64Array(factors.length);
  let judged = 0;
  return {
    /**
     * Takes how a horizon went. What was before it counts less.
     * @param isKept - whether the share was kept with so many times what was asked for
     */
    note: (fade: number, isKept: (factor: number) => boolean): void => {
      judged = judged * fade + 1;
      for (const [i, factor] of factors.entries()) kept[i] = kept[i]! * fade + (isKept(factor) ? 1 : 0);
    },
    /** Horizons, those of long ago in part. */
    judged: () => judged,
    /** Probability to keep the share with each of the factors. */
    confidences: (): number[] =>
      factors.map(
        (factor, i) => (kept[i]! + belief.horizons * believed(belief.kept, factor)) / (judged + belief.horizons),
      ),
  };
}

/** As it was asked for. */
export const confidenceOf = (confidences: readonly number[]): number => confidences[asAsked]!;

/** With so many times what was asked for; between two factors in proportion. */
export function confidenceAt(confidences: readonly number[], factor: number): number {
  const above = factors.findIndex((each) => each > factor);
  if (above === 0) return confidences[0]! * (factor / factors[0]);
  if (above === -1) return confidences.at(-1)!;
  const [low, high] = [factors[above - 1]!, factors[above]!];
  const part = (factor - low) / (high - low);
  return confidences[above - 1]! * (1 - part) + confidences[above]! * part;
}
