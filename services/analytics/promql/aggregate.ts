import { exactSum, quantileOf, variance } from './functions.ts';
import type { Expr } from './parse.ts';
import { type Element, ExecutionError, keyOf, type Labels } from './vector.ts';

/** Aggregation operators: many elements become one per group of labels. */

const operators: Record<string, (values: number[]) => number> = {
  sum: exactSum,
  avg: (values) => exactSum(values) / values.length,
  min: (values) => values.reduce((a, b) => (b < a || Number.isNaN(a) ? b : a)),
  max: (values) => values.reduce((a, b) => (b > a || Number.isNaN(a) ? b : a)),
  count: (values) => values.length,
  group: () => 1,
  stddev: (values) => Math.sqrt(variance(values)),
  stdvar: variance,
};

/** Every supported aggregation. */
export const aggregationNames = [...Object.keys(operators), 'quantile', 'topk', 'bottomk'].sort();

/** @throws Impossible */
export function aggregated(
  { op, by, labels }: Extract<Expr, { kind: 'aggregate' }>,
  elements: Element[],
  parameter: number | null,
  at: number,
): Element[] {
  const takesParameter = !operators[op];
  if (takesParameter && parameter === null) throw new ExecutionError(`${op} needs a number first`);
  if (!takesParameter && parameter !== null) throw new ExecutionError(`${op} takes one argument`);
  const kept = (all: Labels): Labels =>
    Object.fromEntries(
      Object.entries(all).filter(([name]) =>
        by ? labels.includes(name) : name !== '__name__' && !labels.includes(name),
      ),
    );
  const groups = Map.groupBy(elements, (element) => keyOf(kept(element.labels)));
  return [...groups.values()].flatMap((members): Element[] => {
    if (op === 'topk' || op === 'bottomk') return extreme(members, parameter!, op === 'topk' ? -1 : 1);
    const values = members.map(({ value }) => value);
    const value = op === 'quantile' ? quantileOf(parameter!, values) : operators[op]!(values);
    return [{ labels: kept(members[0]!.labels), value, at }];
  });
}

function extreme(members: Element[], count: number, sign: number): Element[] {
  // NaN is chosen only if there is no other value.
  const order = (a: Element, b: Element) =>
    Number.isNaN(a.value) ? 1 : Number.isNaN(b.value) ? -1 : sign * (a.value - b.value);
  return members.toSorted(order).slice(0, Math.max(0, Math.trunc(count)));
}
