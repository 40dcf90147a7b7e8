import { benjaminiHochberg } from '#kernel/stats.ts';
import type { Assessment, DriftStatus, DriftTest } from './schemas.ts';
import { driftStatuses } from './schemas.ts';

/**
 * An assessment before it is known how many others were made: `finish` gives it its status. `matters` = the change is
 * for the worse and large enough to matter; `strictness` = how many times stronger the evidence for drift must be.
 */
export type Draft<A extends Assessment = Assessment> = {
  assessment: A;
  matters: boolean;
  strictness: number;
  /** What to say where the change is called one. */
  told: string;
};

export type Levels = {
  /** Below this a change is worth a warning. */
  warningP: number;
  /** Below this, adjusted for all series looked at, it is drift. */
  driftP: number;
};

/**
 * Gives each draft its status.
 * @param others p-values of series looked at in the same refresh that are not among the drafts
 */
export function finish(drafts: Draft[], others: number[], levels: Levels): Assessment[] {
  const tested = drafts.filter((draft) => draft.assessment.p !== null);
  const adjusted = benjaminiHochberg([...tested.map((draft) => draft.assessment.p ?? 1), ...others]);
  return drafts.map((draft) => {
    const { assessment, matters, strictness, told } = draft;
    const place = tested.indexOf(draft);
    if (place < 0 || assessment.p === null) return assessment;
    const p = adjusted[place] ?? 1;
    if (assessment.p > levels.warningP)
      return { ...assessment, p_adjusted: p, status: 'stable', reason: 'no change beyond chance' };
    if (!matters) return { ...assessment, p_adjusted: p, status: 'stable', reason: 'a change too small to matter' };
    const status = p <= levels.driftP / strictness ? 'drift' : 'warning';
    return {
      ...assessment,
      p_adjusted: p,
      status,
      reason: status === 'drift' ? told : `${told}, which is not certain`,
    };
  });
}

/** The worst status of several. */
export const worst = (statuses: DriftStatus[]): DriftStatus =>
  driftStatuses[Math.max(0, ...statuses.map((status) => driftStatuses.indexOf(status)))] ?? 'no_data';

/** One p-value for several tests of the same data (Bonferroni); null where there were none. */
export function combined(tests: DriftTest[]): number | null {
  const values = tests.flatMap((test) => test.p ?? []);
  return values.length === 0 ? null : Math.min(1, values.length * Math.min(...values));
}

/** Four digits are what such figures are worth; what left the range of numbers stays at its end. */
export const rounded = (value: number): number =>
  Number(Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, value)).toPrecision(4));
