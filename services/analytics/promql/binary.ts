import { labelOf } from '../storage/keys.ts';
import type { Expr, Matching } from './parse.ts';
import { type Element, ExecutionError, keyOf, type Labels, unique, type Value } from './vector.ts';

/** Binary operators between numbers and vectors. */

type Binary = Extract<Expr, { kind: 'binary' }>;

const arithmetic: Record<string, (a: number, b: number) => number> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
  // 1 to any power is 1, NaN included.
  '^': (a, b) => (a === 1 ? 1 : a ** b),
};
const comparison: Record<string, (a: number, b: number) => boolean> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
};

/** @throws Impossible */
export function binary(expr: Binary, left: Value, right: Value): Value {
  if (left.kind === 'string' || right.kind === 'string') throw new ExecutionError('an operator takes no strings');
  const isSet = !arithmetic[expr.op] && !comparison[expr.op];
  if (left.kind === 'vector' && right.kind === 'vector')
    return {
      kind: 'vector',
      elements: isSet ? setOf(expr, left.elements, right.elements) : matched(expr, left.elements, right.elements),
    };
  if (isSet) throw new ExecutionError(`${expr.op} needs vectors on both sides`);
  if (expr.matching) throw new ExecutionError('on and ignoring need vectors on both sides');
  if (left.kind === 'scalar' && right.kind === 'scalar') return betweenNumbers(expr, left.value, right.value);
  const swapped = left.kind === 'scalar';
  const elements = (swapped ? right : left) as { elements: Element[] };
  const number = (swapped ? left : right) as { value: number };
  return {
    kind: 'vector',
    elements: unique(
      elements.elements.flatMap((element): Element[] => {
        const pair = swapped ? [number.value, element.value] : [element.value, number.value];
        const value = outcome(expr, pair[0]!, pair[1]!, element.value);
        return value === null ? [] : [{ ...element, labels: named(expr, element.labels), value }];
      }),
    ),
  };
}

/** For a comparison used as a filter: null if it is false, else the value of the vector. */
function outcome({ op, bool }: Binary, a: number, b: number, kept: number): number | null {
  if (arithmetic[op]) return arithmetic[op](a, b);
  const holds = comparison[op]!(a, b);
  if (bool) return holds ? 1 : 0;
  return holds ? kept : null;
}

function betweenNumbers(expr: Binary, a: number, b: number): Value {
  if (comparison[expr.op] && !expr.bool) throw new ExecutionError('comparisons between scalars must use BOOL modifier');
  return { kind: 'scalar', value: outcome(expr, a, b, a)! };
}

/** A computed value drops the metric name. */
function named({ op, bool }: Binary, labels: Labels): Labels {
  if (!arithmetic[op] && !bool) return labels;
  const { __name__: _, ...rest } = labels;
  return rest;
}

const every: Matching = { on: false, labels: [], card: 'one', include: [] };

/** Labels that must match on both sides. */
const signature = ({ on, labels }: Matching, all: Labels): string =>
  keyOf(
    Object.fromEntries(
      Object.entries(all).filter(([name]) =>
        on ? labels.includes(name) : name !== '__name__' && !labels.includes(name),
      ),
    ),
  );

function setOf({ op, matching }: Binary, left: Element[], right: Element[]): Element[] {
  const by = matching ?? every;
  const of = (elements: Element[]) => new Set(elements.map(({ labels }) => signature(by, labels)));
  if (op === 'or') {
    const leftSignatures = of(left);
    return unique([...left, ...right.filter(({ labels }) => !leftSignatures.has(signature(by, labels)))]);
  }
  const other = of(right);
  return left.filter(({ labels }) => other.has(signature(by, labels)) === (op === 'and'));
}

function matched(expr: Binary, left: Element[], right: Element[]): Element[] {
  const by = expr.matching ?? every;
  // `one`: the side with a single element per match.
  const [many, one] = by.card === 'right' ? [right, left] : [left, right];
  const partners = new Map<string, Element>();
  for (const element of one) {
    const key = signature(by, element.labels);
    if (partners.has(key))
      throw new ExecutionError(
        'many-to-many matching not allowed: matching labels must be unique on one side (on, ignoring, group_left)',
      );
    partners.set(key, element);
  }
  const taken = new Set<string>();
  const found = many.flatMap((element): Element[] => {
    const key = signature(by, element.labels);
    const partner = partners.get(key);
    if (!partner) return [];
    const [a, b] = by.card === 'right' ? [partner, element] : [element, partner];
    const value = outcome(expr, a.value, b.value, a.value);
    if (value === null) return [];
    if (by.card === 'one' && taken.has(key))
      throw new ExecutionError(
        'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)',
      );
    taken.add(key);
    return [{ ...element, labels: joint(expr, by, element.labels, partner.labels), value }];
  });
  return unique(found);
}

function joint(expr: Binary, by: Matching, many: Labels, one: Labels): Labels {
  const labels = { ...named(expr, many) };
  if (by.card === 'one')
    for (const name of Object.keys(labels))
      if (by.labels.includes(name) !== by.on && (by.on || name !== '__name__')) delete labels[name];
  for (const name of by.include) {
    const value = labelOf(one, name);
    if (value === '') delete labels[name];
    else labels[name] = value;
  }
  return labels;
}
