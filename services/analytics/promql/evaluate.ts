import { lowerBound } from '../storage/reader.ts';
import { aggregated, aggregationNames } from './aggregate.ts';
import { binary } from './binary.ts';
import { overTime, type Sample, valueFunctions } from './functions.ts';
import { histogramQuantile } from './histogram.ts';
import { dateFunctions, joinLabels, replaceLabel } from './labels.ts';
import { type Expr, type Range, type Selector, Unsupported } from './parse.ts';
import { type Element, ExecutionError, type Labels, unique, type Value } from './vector.ts';

/** Evaluates PromQL at one time over preloaded series (Prometheus' promql/engine.go). */

/** Samples of a series, ascending; `stale`: whether the series ended there. */
export type Loaded = { labels: Labels; times: Float64Array; values: Float64Array; stale: Uint8Array };
export type Data = Map<Selector, Loaded[]>;

/**
 * Look-back of instant selectors; like a range, closed on both ends, as in Prometheus 2 (version 3 excludes the older
 * end).
 */
export const lookbackMs = 300_000;

/** @throws Impossible, Unsupported */
export function evaluate(expr: Expr, at: number, data: Data): Value {
  switch (expr.kind) {
    case 'number':
      return { kind: 'scalar', value: expr.value };
    case 'string':
      return { kind: 'string', value: expr.value };
    case 'selector':
      return { kind: 'vector', elements: present(expr, at, data) };
    case 'range':
      throw new ExecutionError('a range must be the argument of a function');
    case 'negative': {
      const of = evaluate(expr.of, at, data);
      if (of.kind === 'scalar') return { kind: 'scalar', value: -of.value };
      return { kind: 'vector', elements: mapped(vectorOf(of, '-'), (value) => -value) };
    }
    case 'call':
      return call(expr.name, expr.args, at, data);
    case 'aggregate': {
      if (!aggregationNames.includes(expr.op)) throw new Unsupported(`the aggregation ${expr.op}`);
      const of = vectorOf(evaluate(expr.of, at, data), expr.op);
      const parameter = expr.parameter ? scalarOf(evaluate(expr.parameter, at, data), expr.op) : null;
      return { kind: 'vector', elements: aggregated(expr, of, parameter, at) };
    }
    default:
      return binary(expr, evaluate(expr.left, at, data), evaluate(expr.right, at, data));
  }
}

/** The last sample of each series, unless it is too old or the series ended. */
function present(selector: Selector, at: number, data: Data): Element[] {
  const when = at - selector.offsetMs;
  return data.get(selector)!.flatMap(({ labels, times, values, stale }) => {
    const i = lowerBound(times, when + 1) - 1;
    if (i < 0 || times[i]! < when - lookbackMs || stale[i]) return [];
    return [{ labels, value: values[i]!, at: times[i]! }];
  });
}

function withoutName(labels: Labels): Labels {
  const { __name__: _, ...rest } = labels;
  return rest;
}

const mapped = (elements: Element[], of: (value: number) => number): Element[] =>
  unique(elements.map(({ labels, value, at }) => ({ labels: withoutName(labels), value: of(value), at })));

function vectorOf(value: Value, functionName: string): Element[] {
  if (value.kind !== 'vector') throw new ExecutionError(`${functionName} needs an instant vector, not a ${value.kind}`);
  return value.elements;
}

function scalarOf(value: Value, functionName: string): number {
  if (value.kind !== 'scalar') throw new ExecutionError(`${functionName} needs a number, not a ${value.kind}`);
  return value.value;
}

function stringOf(expr: Expr, functionName: string): string {
  if (expr.kind !== 'string') throw new ExecutionError(`${functionName} needs a string, not a ${expr.kind}`);
  return expr.value;
}

type Special = (args: Expr[], at: number, data: Data) => Value;

const special: Record<string, Special> = {
  time: (_args, at) => ({ kind: 'scalar', value: at / 1000 }),
  pi: () => ({ kind: 'scalar', value: Math.PI }),
  vector: ([of], at, data) => ({
    kind: 'vector',
    elements: [{ labels: {}, value: scalarOf(evaluate(of!, at, data), 'vector'), at }],
  }),
  scalar: ([of], at, data) => {
    const elements = vectorOf(evaluate(of!, at, data), 'scalar');
    return { kind: 'scalar', value: elements.length === 1 ? elements[0]!.value : Number.NaN };
  },
  timestamp: ([of], at, data) => {
    const elements = vectorOf(evaluate(of!, at, data), 'timestamp');
    return {
      kind: 'vector',
      elements: unique(elements.map((each) => ({ labels: withoutName(each.labels), value: each.at / 1000, at }))),
    };
  },
  absent: ([of], at, data) => absent(of!, vectorOf(evaluate(of!, at, data), 'absent').length === 0, at),
  absent_over_time: ([of], at, data) => {
    const range = rangeOf(of, 'absent_over_time');
    return absent(
      range.selector,
      [...within(range, at, data)].every(({ samples }) => samples.length === 0),
      at,
    );
  },
  sort: ([of], at, data) => ordered(vectorOf(evaluate(of!, at, data), 'sort'), 1),
  sort_desc: ([of], at, data) => ordered(vectorOf(evaluate(of!, at, data), 'sort_desc'), -1),
  label_replace: ([of, ...texts], at, data) => ({
    kind: 'vector',
    elements: replaceLabel(
      vectorOf(evaluate(of!, at, data), 'label_replace'),
      texts.map((each) => stringOf(each, 'label_replace')) as [string, string, string, string],
    ),
  }),
  label_join: ([of, ...texts], at, data) => ({
    kind: 'vector',
    elements: joinLabels(
      vectorOf(evaluate(of!, at, data), 'label_join'),
      texts.map((each) => stringOf(each, 'label_join')) as [string, string, ...string[]],
    ),
  }),
  histogram_quantile: ([share, of], at, data) => ({
    kind: 'vector',
    elements: histogramQuantile(
      scalarOf(evaluate(share!, at, data), 'histogram_quantile'),
      vectorOf(evaluate(of!, at, data), 'histogram_quantile'),
      at,
    ),
  }),
};
/** Minimum and maximum number of arguments of a function. */
const counts: Record<string, [number, number]> = {
  ...Object.fromEntries(Object.keys(dateFunctions).map((name): [string, [number, number]] => [name, [0, 1]])),
  label_replace: [5, 5],
  label_join: [3, 100],
  time: [0, 0],
  pi: [0, 0],
  histogram_quantile: [2, 2],
  quantile_over_time: [2, 2],
  predict_linear: [2, 2],
  round: [1, 2],
  clamp_min: [2, 2],
  clamp_max: [2, 2],
  clamp: [3, 3],
};

/** Every supported function. */
export const functionNames = [special, overTime, valueFunctions, dateFunctions].flatMap(Object.keys).sort();

function call(name: string, args: Expr[], at: number, data: Data): Value {
  if (!functionNames.includes(name)) throw new Unsupported(`the function ${name}`);
  const [least, most] = counts[name] ?? [1, 1];
  if (args.length < least || args.length > most)
    throw new ExecutionError(
      `${name} takes ${least === most ? least : `${least} or ${most}`} arguments, not ${args.length}`,
    );
  if (special[name]) return special[name](args, at, data);
  if (dateFunctions[name]) {
    const of = args[0] ? vectorOf(evaluate(args[0], at, data), name) : [{ labels: {}, value: at / 1000, at }];
    return { kind: 'vector', elements: mapped(of, dateFunctions[name]) };
  }
  if (valueFunctions[name]) {
    const [of, ...rest] = args as [Expr, ...Expr[]];
    const parameters = rest.map((each) => scalarOf(evaluate(each, at, data), name));
    const elements = vectorOf(evaluate(of, at, data), name);
    if (name === 'clamp' && parameters[0]! > parameters[1]!) return { kind: 'vector', elements: [] };
    return { kind: 'vector', elements: mapped(elements, (value) => valueFunctions[name]!(value, parameters)) };
  }
  // quantile_over_time has its share before the range, predict_linear its seconds after it.
  const range = rangeOf(
    args.find(({ kind }) => kind === 'range'),
    name,
  );
  const other = args.find((each) => each !== range);
  const parameter = other ? scalarOf(evaluate(other, at, data), name) : 0;
  const to = at - range.selector.offsetMs;
  const elements: Element[] = [];
  for (const { labels, samples } of within(range, at, data)) {
    const value = overTime[name]!(samples, to - range.rangeMs, to, parameter);
    if (value !== null) elements.push({ labels: name === 'last_over_time' ? labels : withoutName(labels), value, at });
  }
  return { kind: 'vector', elements: unique(elements) };
}

function rangeOf(expr: Expr | undefined, functionName: string): Range {
  if (expr?.kind !== 'range') throw new ExecutionError(`${functionName} needs a range vector, such as up[5m]`);
  return expr;
}

/** Samples of the range, closed on both ends, without stale markers; series by series. */
function* within(
  { selector, rangeMs }: Range,
  at: number,
  data: Data,
): Generator<{ labels: Labels; samples: Sample[] }> {
  const to = at - selector.offsetMs;
  for (const { labels, times, values, stale } of data.get(selector)!) {
    const samples: Sample[] = [];
    for (let i = lowerBound(times, to - rangeMs); i < times.length && times[i]! <= to; i += 1)
      if (!stale[i]) samples.push({ at: times[i]!, value: values[i]! });
    yield { labels, samples };
  }
}

/** absent(): 1 with the labels of the selector if it selects nothing. */
function absent(of: Expr, isAbsent: boolean, at: number): Value {
  if (!isAbsent) return { kind: 'vector', elements: [] };
  const equal = of.kind === 'selector' ? of.matchers.filter(({ op, name }) => op === '=' && name !== '__name__') : [];
  const all = of.kind === 'selector' ? of.matchers.map(({ name }) => name) : [];
  const once = equal.filter(({ name }) => all.filter((other) => other === name).length === 1);
  const labels = Object.fromEntries(once.map(({ name, value }) => [name, value]));
  return { kind: 'vector', elements: [{ labels, value: 1, at }] };
}

function ordered(elements: Element[], sign: number): Value {
  // NaN comes last in both directions.
  const order = (a: Element, b: Element) =>
    Number.isNaN(a.value) ? 1 : Number.isNaN(b.value) ? -1 : sign * (a.value - b.value);
  return { kind: 'vector', elements: elements.toSorted(order) };
}
