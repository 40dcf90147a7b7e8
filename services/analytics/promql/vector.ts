import { TowerError } from '#kernel/errors.ts';

/** What a question in PromQL evaluates to, and that it cannot be. */

/** Prometheus tells questions that are wrong from those that cannot be carried out. */
export const execution = { errorType: 'execution' };

export type Labels = Record<string, string>;
/** `at`: when the sample was taken; of what was computed, the moment asked for. */
export type Element = { labels: Labels; value: number; at: number };
export type Value =
  | { kind: 'scalar'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'vector'; elements: Element[] };

/** It cannot be answered: the question and the data do not fit. */
export class Impossible extends TowerError {
  constructor(text: string) {
    super('invalid', text, { details: execution });
  }
}

/** @throws Impossible */
export function unique(elements: Element[]): Element[] {
  const seen = new Set(elements.map(({ labels }) => keyOf(labels)));
  if (seen.size < elements.length) throw new Impossible('vector cannot contain metrics with the same labelset');
  return elements;
}

/** A text that is the same for the same labels. */
export const keyOf = (labels: Labels): string =>
  JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
