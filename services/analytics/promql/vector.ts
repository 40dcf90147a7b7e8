import { TowerError } from '#kernel/errors.ts';

/** Value types of PromQL, and execution errors. */

/** Prometheus distinguishes invalid queries from those that fail in execution. */
export const executionErrorDetails = { errorType: 'execution' };

export type Labels = Record<string, string>;
/** `at`: time of the sample; for computed elements, the evaluation time. */
export type Element = { labels: Labels; value: number; at: number };
export type Value =
  | { kind: 'scalar'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'vector'; elements: Element[] };

/** An execution error: the query does not fit the data. */
export class ExecutionError extends TowerError {
  constructor(text: string) {
    super('invalid', text, { details: executionErrorDetails });
  }
}

/** @throws Impossible */
export function unique(elements: Element[]): Element[] {
  const seen = new Set(elements.map(({ labels }) => keyOf(labels)));
  if (seen.size < elements.length) throw new ExecutionError('vector cannot contain metrics with the same labelset');
  return elements;
}

/** A canonical key of a set of labels. */
export const keyOf = (labels: Labels): string =>
  JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
