import { labelOf } from '../storage/keys.ts';
import type { Reader, Span } from '../storage/reader.ts';
import { type Data, evaluate, type Loaded, lookbackMs } from './evaluate.ts';
import { type Expr, type Matcher, matches, parsePromql, type Selector, SyntaxFault } from './parse.ts';
import { ExecutionError, keyOf, type Labels, type Value } from './vector.ts';

/** PromQL queries over the stored points; they run in worker threads, so nothing here yields to the event loop. Prometheus' `instance` is the resource, its `__name__` the metric. */

export type Promql = ReturnType<typeof createPromql>;

/** Results in the format of Prometheus' API: times in seconds, values as text. */
export type Answer = { resultType: 'scalar' | 'string' | 'vector' | 'matrix'; result: unknown };

/** Maximum points per series in an answer, maximum points of an answer, and maximum samples read by a query. */
const maxSteps = 11_000;
const maxPoints = 1_000_000;
const maxSamples = 5_000_000;

type Found = { id: number; labels: Labels };

/** The series that match all of these matchers. */
async function found(reader: Reader, matchers: Matcher[]): Promise<Found[]> {
  const exact = (name: string) =>
    matchers.find((matcher) => matcher.name === name && matcher.op === '=' && matcher.value !== '')?.value;
  const [metric, resource] = [exact('__name__'), exact('instance')];
  const series = await reader.find({
    ...(metric === undefined ? {} : { metric }),
    ...(resource === undefined ? {} : { resource }),
  });
  return series
    .map(({ id, metric: __name__, resource: instance, labels }) => ({
      id,
      labels: { ...labels, __name__, ...(instance === '' ? {} : { instance }) } as Labels,
    }))
    .filter(({ labels }) => matchers.every((matcher) => matches(matcher, labelOf(labels, matcher.name))));
}

/** Samples for every selector of the query, over all evaluation times. */
async function load(reader: Reader, expr: Expr, span: Span): Promise<Data> {
  const data: Data = new Map();
  let samples = 0;
  for (const { selector, reachMs } of selectorsOf(expr)) {
    const of = { start: span.start - selector.offsetMs - reachMs, end: span.end - selector.offsetMs + 1 };
    const all: Loaded[] = [];
    for (const { id, labels } of await found(reader, selector.matchers)) {
      const { times, values } = await reader.points(id, of);
      samples += times.length;
      if (samples > maxSamples) throw new ExecutionError('query processing would load too many samples into memory');
      if (times.length > 0) all.push({ labels, times, values, stale: staleOf(values) });
    }
    data.set(selector, all);
  }
  return data;
}

export function createPromql(reader: Reader) {
  return {
    /** @throws SyntaxFault, Unsupported, Impossible */
    query: async (query: string, at: number): Promise<Answer> => {
      const expr = parsePromql(query);
      if (expr.kind === 'range') return rawRange(expr, at, await load(reader, expr, { start: at, end: at }));
      return instantAnswer(evaluate(expr, at, await load(reader, expr, { start: at, end: at })), at);
    },
    /** @throws SyntaxFault, Unsupported, Impossible */
    queryRange: async (query: string, { start, end }: Span, stepMs: number): Promise<Answer> => {
      if (end < start) throw new SyntaxFault('end timestamp must not be before start time');
      if ((end - start) / stepMs > maxSteps)
        throw new SyntaxFault(
          'exceeded maximum resolution of 11,000 points per timeseries. Try increasing the value of the step parameter',
        );
      const expr = parsePromql(query);
      const data = await load(reader, expr, { start, end });
      const series = new Map<string, { metric: Labels; values: [number, string][] }>();
      let points = 0;
      for (let at = start; at <= end; at += stepMs) {
        for (const { labels, value } of elementsOf(evaluate(expr, at, data), at)) {
          points += 1;
          if (points > maxPoints)
            throw new ExecutionError(
              `the answer has more than ${maxPoints} points: select fewer series, or increase the step`,
            );
          const key = keyOf(labels);
          const one = series.get(key) ?? { metric: labels, values: [] };
          series.set(key, one);
          one.values.push([at / 1000, text(value)]);
        }
      }
      return { resultType: 'matrix', result: [...series].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one) };
    },
    /**
     * Labels of the series that match any of these selectors; of all series without a selector.
     * @throws SyntaxFault, Unsupported
     */
    series: async (selectors: string[]): Promise<Labels[]> => {
      const all = await Promise.all(
        (selectors.length > 0 ? selectors : [null]).map((each) => found(reader, each === null ? [] : matchersOf(each))),
      );
      const seen = new Map(all.flat().map(({ labels }) => [keyOf(labels), labels]));
      return [...seen].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, labels]) => labels);
    },
  };
}

function matchersOf(selector: string): Matcher[] {
  const expr = parsePromql(selector);
  if (expr.kind !== 'selector') throw new SyntaxFault(`${selector} is not a series selector`);
  return expr.matchers;
}

/** Every selector, with its look-back. */
function selectorsOf(expr: Expr): { selector: Selector; reachMs: number }[] {
  switch (expr.kind) {
    case 'selector':
      return [{ selector: expr, reachMs: lookbackMs }];
    case 'range':
      return [{ selector: expr.selector, reachMs: expr.rangeMs }];
    case 'call':
      return expr.args.flatMap(selectorsOf);
    case 'aggregate':
      return [...selectorsOf(expr.of), ...(expr.parameter ? selectorsOf(expr.parameter) : [])];
    case 'binary':
      return [...selectorsOf(expr.left), ...selectorsOf(expr.right)];
    case 'negative':
      return selectorsOf(expr.of);
    default:
      return [];
  }
}

/** Prometheus' stale marker: the end of a series. */
const staleBits = 0x7ff0000000000002n;
function staleOf(values: Float64Array): Uint8Array {
  const bits = new BigUint64Array(values.buffer, values.byteOffset, values.length);
  return Uint8Array.from(values, (value, i) => (Number.isNaN(value) && bits[i] === staleBits ? 1 : 0));
}

function elementsOf(value: Value, at: number): { labels: Labels; value: number }[] {
  if (value.kind === 'vector') return value.elements;
  if (value.kind === 'scalar') return [{ labels: {}, value: value.value }];
  throw new SyntaxFault(`invalid expression type "string" for range query at ${at}, must be scalar or instant vector`);
}

function instantAnswer(value: Value, at: number): Answer {
  if (value.kind === 'scalar') return { resultType: 'scalar', result: [at / 1000, text(value.value)] };
  if (value.kind === 'string') return { resultType: 'string', result: [at / 1000, value.value] };
  return {
    resultType: 'vector',
    result: value.elements.map((each) => ({ metric: each.labels, value: [at / 1000, text(each.value)] })),
  };
}

/** A range selector as the whole query: its samples. */
function rawRange({ selector, rangeMs }: Extract<Expr, { kind: 'range' }>, at: number, data: Data): Answer {
  const to = at - selector.offsetMs;
  const result = data.get(selector)!.flatMap(({ labels, times, values, stale }) => {
    const kept = [...times.keys()].filter((i) => times[i]! >= to - rangeMs && times[i]! <= to && !stale[i]);
    return kept.length === 0 ? [] : [{ metric: labels, values: kept.map((i) => [times[i]! / 1000, text(values[i]!)]) }];
  });
  return { resultType: 'matrix', result };
}

/** A number in Prometheus' notation. */
export function text(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2');
}
