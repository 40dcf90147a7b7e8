import { benjaminiHochberg } from '#kernel/stats.ts';
import type { Assessment, DriftStatus, DriftTest } from './schemas.ts';
import { driftStatuses } from './schemas.ts';

/**
 * An assessment before correction for multiple tests; `finish` sets its status. `isRelevant` = the change is for the worse
 * and large enough to be relevant; `evidenceFactor` = factor by which the evidence for drift must be stronger.
 */
export type Draft<A extends Assessment = Assessment> = {
  assessment: A;
  isRelevant: boolean;
  evidenceFactor: number;
  /** Text if the change is significant. */
  summary: string;
};

export type Levels = {
  /** Adjusted p-value below which a change is a warning. */
  warningP: number;
  /** Adjusted p-value, over all assessed series, below which a change is drift. */
  driftP: number;
};

/**
 * Sets the status of each draft.
 * @param others p-values of series assessed in the same refresh that are not among the drafts
 */
export function finish(drafts: Draft[], others: number[], levels: Levels): Assessment[] {
  const tested = drafts.filter((draft) => draft.assessment.p !== null);
  const adjusted = benjaminiHochberg([...tested.map((draft) => draft.assessment.p ?? 1), ...others]);
  return drafts.map((draft) => {
    const { assessment, isRelevant, evidenceFactor, summary } = draft;
    const place = tested.indexOf(draft);
    if (place < 0 || assessment.p === null) return assessment;
    const p = adjusted[place] ?? 1;
    if (assessment.p > levels.warningP)
      return { ...assessment, p_adjusted: p, status: 'stable', reason: 'no significant change' };
    if (!isRelevant) return { ...assessment, p_adjusted: p, status: 'stable', reason: 'change too small to matter' };
    const status = p <= levels.driftP / evidenceFactor ? 'drift' : 'warning';
    return {
      ...assessment,
      p_adjusted: p,
      status,
      reason: status === 'drift' ? summary : `${summary}, not certain`,
    };
  });
}

/** The worst of several statuses. */
export const worstStatus = (statuses: DriftStatus[]): DriftStatus =>
  driftStatuses[Math.max(0, ...statuses.map((status) => driftStatuses.indexOf(status)))] ?? 'no_data';

/** One p-value for several tests of the same data (Bonferroni); null without tests. */
export function combinePValues(tests: DriftTest[]): number | null {
  const values = tests.flatMap((test) => test.p ?? []);
  return values.length === 0 ? null : Math.min(1, values.length * Math.min(...values));
}

/** Rounds to four digits; clamps values beyond the range of doubles. */
export const roundDigits = (value: number): number =>
  Number(Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, value)).toPrecision(4));
