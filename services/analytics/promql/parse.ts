import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { LRUCache } from 'lru-cache';
import { RE2JS } from 're2js';
import { TowerError } from '#kernel/errors.ts';
import { executionErrorDetails } from './vector.ts';

/** Builds our own PromQL tree from the official grammar; constructs outside the declared subset are refused by name. */

export type Matcher = { name: string; op: '=' | '!=' | '=~' | '!~'; value: string };
export type Selector = { kind: 'selector'; matchers: Matcher[]; offsetMs: number };
export type Range = { kind: 'range'; selector: Selector; rangeMs: number };
export type Matching = { on: boolean; labels: string[]; card: 'one' | 'left' | 'right'; include: string[] };
export type Expr =
  | { kind: 'number'; value: number }
  | { kind: 'string'; value: string }
  | Selector
  | Range
  | { kind: 'call'; name: string; args: Expr[] }
  | { kind: 'aggregate'; op: string; by: boolean; labels: string[]; parameter: Expr | null; of: Expr }
  | { kind: 'binary'; op: string; bool: boolean; matching: Matching | null; left: Expr; right: Expr }
  | { kind: 'negative'; of: Expr };

/** The query is not valid PromQL. */
export class SyntaxFault extends TowerError {
  constructor(text: string) {
    super('invalid', text);
  }
}
/** The query is valid PromQL outside the supported subset. */
export class Unsupported extends TowerError {
  constructor(construct: string) {
    super('invalid', `${construct} is not supported (see docs/reference/promql.md)`, {
      details: executionErrorDetails,
    });
  }
}

/** Maximum nesting of nodes; a pair of parentheses makes one or two. */
const maxDepth = 400;

/** @throws SyntaxFault, Unsupported */
export function parsePromql(query: string): Expr {
  const tree = parser.parse(query);
  let depth = 0;
  tree.iterate({
    enter: ({ type, from }) => {
      if (type.isError) throw faultAt(query, from);
      depth += 1;
      if (depth > maxDepth) throw new SyntaxFault('the query is nested too deeply');
    },
    leave: () => {
      depth -= 1;
    },
  });
  const top = tree.topNode.firstChild;
  if (!top) throw new SyntaxFault('the query is empty');
  return exprOf(top, query);
}

/** A name before a parenthesis is a function that the grammar does not know. */
function faultAt(query: string, position: number): TowerError {
  const [name] = /[a-z_]\w*(?=\s*$)/i.exec(query.slice(0, position)) ?? [];
  if (name === undefined || !/^\s*\(/.test(query.slice(position)))
    return new SyntaxFault(`syntax error at character ${position + 1}`);
  // The name of double_exponential_smoothing before Prometheus 3.
  return name === 'holt_winters'
    ? new Unsupported(`the function ${name}`)
    : new SyntaxFault(`unknown function with name "${name}"`);
}

const children = (node: SyntaxNode): SyntaxNode[] => {
  const all: SyntaxNode[] = [];
  for (let child = node.firstChild; child; child = child.nextSibling) all.push(child);
  return all;
};
const child = (node: SyntaxNode, name: string): SyntaxNode | undefined =>
  children(node).find((each) => each.name === name);

function exprOf(node: SyntaxNode, query: string): Expr {
  const text = query.slice(node.from, node.to);
  switch (node.name) {
    case 'NumberDurationLiteral':
      return { kind: 'number', value: numberOf(text) };
    case 'StringLiteral':
      return { kind: 'string', value: unquoted(text) };
    case 'ParenExpr':
      return exprOf(node.firstChild!, query);
    case 'UnaryExpr':
      return unaryOf(node, query);
    case 'VectorSelector':
      return selectorOf(node, query);
    case 'MatrixSelector': {
      const [of, duration] = children(node) as [SyntaxNode, SyntaxNode];
      const selector = exprOf(of, query);
      if (selector.kind !== 'selector') throw new SyntaxFault('a range must stand right after a selector');
      return { kind: 'range', selector, rangeMs: durationMs(query.slice(duration.from, duration.to)) };
    }
    case 'OffsetExpr':
      return offsetOf(node, query);
    case 'FunctionCall': {
      const name = query.slice(node.firstChild!.from, node.firstChild!.to);
      return { kind: 'call', name, args: argumentsOf(node, query) };
    }
    case 'AggregateExpr':
      return aggregateOf(node, query);
    case 'BinaryExpr':
      return binaryOf(node, query);
    case 'SubqueryExpr':
      throw new Unsupported('a subquery');
    case 'StepInvariantExpr':
      throw new Unsupported('the @ modifier');
    default:
      throw new Unsupported(node.name);
  }
}

function unaryOf(node: SyntaxNode, query: string): Expr {
  const of = exprOf(node.lastChild!, query);
  if (query[node.from] === '+') return of;
  return of.kind === 'number' ? { kind: 'number', value: -of.value } : { kind: 'negative', of };
}

const argumentsOf = (node: SyntaxNode, query: string): Expr[] => {
  const body = child(node, 'FunctionCallBody');
  return body ? children(body).map((each) => exprOf(each, query)) : [];
};

function selectorOf(node: SyntaxNode, query: string): Selector {
  const matchers: Matcher[] = [];
  const identifier = child(node, 'Identifier');
  if (identifier) matchers.push({ name: '__name__', op: '=', value: query.slice(identifier.from, identifier.to) });
  const list = child(node, 'LabelMatchers');
  for (const each of list ? children(list) : []) {
    if (each.name !== 'UnquotedLabelMatcher') throw new Unsupported('a quoted label name');
    const [name, op, value] = children(each).map((part) => query.slice(part.from, part.to)) as [string, string, string];
    matchers.push({ name, op: op as Matcher['op'], value: unquoted(value) });
  }
  if (matchers.every((matcher) => matches(matcher, '')))
    throw new SyntaxFault('a selector must have a matcher that does not match the empty text');
  return { kind: 'selector', matchers, offsetMs: 0 };
}

/** Regular expressions are anchored. @throws SyntaxFault */
export function matches({ op, value }: Matcher, text: string): boolean {
  if (op === '=') return text === value;
  if (op === '!=') return text !== value;
  return regexOf(value).matches(text) === (op === '=~');
}

const compiled = new LRUCache<string, RE2JS>({ max: 1000 });

/** Maximum length of a regular expression; matching takes time in proportion to it. */
const maxPatternLength = 10_000;

/** RE2, as in Prometheus: linear time in the length of the text for any expression. @throws SyntaxFault */
export function regexOf(source: string): RE2JS {
  if (source.length > maxPatternLength)
    throw new SyntaxFault(
      `a regular expression must have at most ${maxPatternLength} characters, not ${source.length}`,
    );
  const known = compiled.get(source);
  if (known) return known;
  try {
    const made = RE2JS.compile(source);
    compiled.set(source, made);
    return made;
  } catch {
    throw new SyntaxFault(`${source} is not a valid regular expression`);
  }
}

function offsetOf(node: SyntaxNode, query: string): Expr {
  const of = exprOf(node.firstChild!, query);
  const written = child(node, 'OffsetDurationExpr')!;
  const text = query.slice(written.from, written.to).replaceAll(/\s/g, '');
  const offsetMs = text.startsWith('-') ? -durationMs(text.slice(1)) : durationMs(text);
  if (of.kind === 'selector') return { ...of, offsetMs };
  if (of.kind === 'range') return { ...of, selector: { ...of.selector, offsetMs } };
  throw new Unsupported('an offset of anything but a selector');
}

function aggregateOf(node: SyntaxNode, query: string): Expr {
  const op = query.slice(node.firstChild!.from, node.firstChild!.to).toLowerCase();
  const modifier = child(node, 'AggregateModifier');
  const args = argumentsOf(node, query);
  const of = args.pop();
  if (!of) throw new SyntaxFault(`${op} needs something to aggregate`);
  if (args.length > 1) throw new SyntaxFault(`${op} takes a number and a vector, not ${args.length + 1} arguments`);
  const labels = modifier ? labelsIn(modifier, query) : [];
  return {
    kind: 'aggregate',
    op,
    by: !modifier || !child(modifier, 'Without'),
    labels,
    parameter: args[0] ?? null,
    of,
  };
}

const labelsIn = (node: SyntaxNode, query: string): string[] => {
  const list = child(node, 'GroupingLabels');
  return list ? children(list).map((each) => query.slice(each.from, each.to)) : [];
};

function binaryOf(node: SyntaxNode, query: string): Expr {
  const parts = children(node);
  const [left, operator] = [parts[0]!, parts[1]!];
  const right = exprOf(parts.at(-1)!, query);
  const op = query.slice(operator.from, operator.to).toLowerCase();
  if (op === 'atan2') throw new Unsupported('atan2');
  const clause = child(node, 'MatchingModifierClause');
  const bool = child(node, 'BoolModifier') !== undefined;
  const base = exprOf(left, query);
  const made = { kind: 'binary' as const, op, bool, matching: clause ? matchingOf(clause, query) : null, right };
  // The grammar parses -2^2 as (-2)^2; Prometheus evaluates -(2^2).
  if (op === '^' && base.kind === 'number' && left.name === 'NumberDurationLiteral' && query[left.from] === '-')
    return { kind: 'negative', of: { ...made, left: { kind: 'number', value: -base.value } } };
  return { ...made, left: base };
}

function matchingOf(clause: SyntaxNode, query: string): Matching {
  const parts = children(clause);
  const groups = parts.filter(({ name }) => name === 'GroupingLabels');
  const card = child(clause, 'GroupLeft') ? 'left' : child(clause, 'GroupRight') ? 'right' : 'one';
  const list = (node: SyntaxNode | undefined) =>
    node ? children(node).map((each) => query.slice(each.from, each.to)) : [];
  return { on: parts[0]!.name === 'On', labels: list(groups[0]), card, include: list(groups[1]) };
}

function numberOf(text: string): number {
  const plain = text.replaceAll('_', '').toLowerCase();
  const [sign, rest] = /^[+-]/.test(plain) ? [plain[0] === '-' ? -1 : 1, plain.slice(1)] : [1, plain];
  if (/^inf(inity)?$/.test(rest)) return sign * Number.POSITIVE_INFINITY;
  if (rest === 'nan') return Number.NaN;
  if (rest.startsWith('0x') || !/[a-df-z]/.test(rest)) return sign * Number(rest);
  return (sign * durationMs(rest)) / 1000;
}

const units: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

/** A duration such as `1h30m`, or a number of seconds. @throws SyntaxFault */
export function durationMs(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  if (!/^(\d+(ms|s|m|h|d|w|y))+$/.test(text)) throw new SyntaxFault(`${text} is not a valid duration`);
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h|d|w|y)/g)];
  return parts.reduce((total, [, count, unit]) => total + Number(count) * units[unit!]!, 0);
}

const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r', a: '\u0007', b: '\b', f: '\f', v: '\v' };

function unquoted(text: string): string {
  const inner = text.slice(1, -1);
  if (text.startsWith('`')) return inner;
  return inner.replaceAll(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_, code: string) =>
    code.length === 1 ? (escapes[code] ?? code) : characterOf(code),
  );
}

/** Escape sequences `x41`, `u0041`, `U00000041` or `101`. */
function characterOf(code: string): string {
  const point = /^[0-7]/.test(code) ? Number.parseInt(code, 8) : Number.parseInt(code.slice(1), 16);
  if (point > 0x10ffff) throw new SyntaxFault(`\\${code} is not a valid escape`);
  return String.fromCodePoint(point);
}
