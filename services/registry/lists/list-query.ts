import { countOr, invalidParameter } from '#kernel/query.ts';
import type { ModelListQuery } from '../schemas.ts';

/**
 * Parses list queries for any kind of item. Filters are combined with AND. A page token holds the sort key of the last
 * item returned, so paging continues correctly even if the registry changed in between.
 */
export type ListKind<Item> = {
  name: (item: Item) => string;
  /** Unique key and tie-breaker of every order: a text, then a number. */
  key: (item: Item) => [string, number];
  /** Default order of the items. */
  defaultOrder: string;
  tags: (item: Item) => Record<string, string>;
  metrics: (item: Item) => Record<string, number | null>;
  /** Whether items of this kind have metrics. */
  hasMetrics: boolean;
  aliases: (item: Item) => string[];
  /** `by` is effective, stage or alias. */
  stage: (item: Item, by: string) => string | null;
  sortKeys: Record<string, (item: Item) => SortValue>;
  /** Top-level names accepted in `fields`. */
  fields: readonly string[];
  toJson: (item: Item) => Record<string, unknown>;
};

type SortValue = string | number | null;
type SortKey = [value: SortValue, text: string, number: number];

export type ListQuery<Item> = {
  limit: number;
  matches: (item: Item) => boolean;
  compare: (a: Item, b: Item) => number;
  /** Whether an item comes after the page token; null without a token. */
  isAfter: ((item: Item) => boolean) | null;
  tokenAfter: (item: Item) => string;
  toJson: (item: Item) => Record<string, unknown>;
};

/** @throws TowerError `invalid` with the parameter and its rule */
export function parseListQuery<Item>(query: ModelListQuery, kind: ListKind<Item>, maxLimit: number): ListQuery<Item> {
  const order = parseOrder(query.order_by, kind);
  const compare = (a: Item, b: Item) => compareKeys(order.key(a), order.key(b), order.descending);
  const after = query.page_token === undefined ? null : parseToken(query.page_token, order.text);
  return {
    limit: parseLimit(query.limit, maxLimit),
    matches: parseFilters(query, kind),
    compare,
    isAfter: after && ((item) => compareKeys(order.key(item), after, order.descending) > 0),
    tokenAfter: (item) => Buffer.from(JSON.stringify([order.text, ...order.key(item)])).toString('base64url'),
    toJson: parseFields(query.fields, kind),
  };
}

/** A whole number from 1; clamped to `max`, as documented for MAX_MODELS_RETURNED. */
function parseLimit(text: string | undefined, max: number): number {
  if (text === undefined) return max;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw invalidParameter('limit', 'must be an integer of at least 1', text);
  return Math.min(Number(text), max);
}

/** Limit of runs, which are complete and read from MLflow: at most 1000, default 100. */
export const parseRunLimit = (text: string | undefined): number => countOr('limit', text, 100, 1000);

function parseFilters<Item>(query: ModelListQuery, kind: ListKind<Item>): (item: Item) => boolean {
  const tests: ((item: Item) => boolean)[] = [];
  const { name, search, alias, stage } = query;
  const by = query.by ?? 'effective';
  if (!['effective', 'stage', 'alias'].includes(by))
    throw invalidParameter('by', 'must be effective, stage or alias', by);
  if (name !== undefined) tests.push((item) => kind.name(item) === name);
  if (search !== undefined) tests.push((item) => kind.name(item).toLowerCase().includes(search.toLowerCase()));
  if (alias !== undefined) tests.push((item) => kind.aliases(item).includes(alias));
  if (stage !== undefined) {
    const wanted = ['None', 'Staging', 'Production', 'Archived'].find(
      (known) => known.toLowerCase() === stage.toLowerCase(),
    );
    if (!wanted) throw invalidParameter('stage', 'must be None, Staging, Production or Archived', stage);
    tests.push((item) => kind.stage(item, by) === wanted);
  }
  for (const tag of listOf(query.tag)) tests.push(tagTest(tag, kind));
  for (const metric of listOf(query.metric)) tests.push(metricTest(metric, kind));
  return (item) => tests.every((test) => test(item));
}

function tagTest<Item>(text: string, kind: ListKind<Item>): (item: Item) => boolean {
  if (text === '' || text.startsWith('=')) throw invalidParameter('tag', 'must be key or key=value', text);
  const at = text.indexOf('=');
  if (at < 0) return (item) => Object.hasOwn(kind.tags(item), text);
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  return (item) => Object.hasOwn(kind.tags(item), key) && kind.tags(item)[key] === value;
}

const comparisons: Record<string, (value: number, bound: number) => boolean> = {
  '>=': (value, bound) => value >= bound,
  '<=': (value, bound) => value <= bound,
  '>': (value, bound) => value > bound,
  '<': (value, bound) => value < bound,
  '=': (value, bound) => value === bound,
};

/** MLflow allows letters, digits and `_ - . / :` and blanks in metric names; anything else is a typo. */
const isMetricName = (name: string): boolean => /^[\p{L}\p{N}_\-. /:]+$/u.test(name);

function metricTest<Item>(text: string, kind: ListKind<Item>): (item: Item) => boolean {
  const rule = 'must be a metric name, or a name, one of >= <= > < = and a number';
  const at = text.search(/[<>=]/);
  const name = (at < 0 ? text : text.slice(0, at)).trim();
  if (!isMetricName(name)) throw invalidParameter('metric', rule, text);
  const valueOf = (item: Item) => (Object.hasOwn(kind.metrics(item), name) ? kind.metrics(item)[name] : undefined);
  if (at < 0) return (item) => valueOf(item) !== undefined;
  const operator = /^[<>]?=|^[<>]/.exec(text.slice(at))?.[0] ?? '';
  const bound = text.slice(at + operator.length).trim();
  const compare = comparisons[operator];
  if (!compare || bound === '' || !Number.isFinite(Number(bound))) throw invalidParameter('metric', rule, text);
  return (item) => {
    const value = valueOf(item);
    return typeof value === 'number' && compare(value, Number(bound));
  };
}

function parseOrder<Item>(text: string | undefined, kind: ListKind<Item>) {
  const [field = '', direction = 'asc', ...rest] = splitOrder((text ?? kind.defaultOrder).trim());
  const descending = direction.toLowerCase() === 'desc';
  const metric = kind.hasMetrics && field.startsWith('metrics.') ? field.slice('metrics.'.length) : null;
  const plain = Object.hasOwn(kind.sortKeys, field) ? kind.sortKeys[field] : undefined;
  const ofMetric = (name: string) => (item: Item) =>
    Object.hasOwn(kind.metrics(item), name) ? (kind.metrics(item)[name] ?? null) : null;
  const value = metric !== null && isMetricName(metric) ? ofMetric(metric) : plain;
  if (!value || rest.length > 0) {
    const names = [...Object.keys(kind.sortKeys), ...(kind.hasMetrics ? ['metrics.<name>'] : [])];
    throw invalidParameter('order_by', `must be one of ${names.join(', ')}, then asc or desc`, text ?? '');
  }
  return {
    text: `${field} ${descending ? 'desc' : 'asc'}`,
    descending,
    key: (item: Item): SortKey => [value(item), ...kind.key(item)],
  };
}

/** The field, which may contain blanks, and the direction if the last word is one. */
function splitOrder(text: string): string[] {
  const at = text.lastIndexOf(' ');
  const last = text.slice(at + 1).toLowerCase();
  return at > 0 && (last === 'asc' || last === 'desc') ? [text.slice(0, at).trim(), last] : [text];
}

function parseToken(token: string, order: string): SortKey {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    parts = null;
  }
  if (!isToken(parts)) {
    throw invalidParameter('page_token', 'must be a token from a Link header', token);
  }
  if (parts[0] !== order)
    throw invalidParameter('page_token', `belongs to a list ordered by ${parts[0]}; keep order_by while paging`, token);
  return [parts[1], parts[2], parts[3]];
}

function isToken(parts: unknown): parts is [string, SortValue, string, number] {
  if (!Array.isArray(parts) || parts.length !== 4) return false;
  const [order, value, text, number] = parts as unknown[];
  const isValue = value === null || typeof value === 'string' || typeof value === 'number';
  return typeof order === 'string' && isValue && typeof text === 'string' && typeof number === 'number';
}

function parseFields<Item>(text: string | undefined, kind: ListKind<Item>): (item: Item) => Record<string, unknown> {
  if (text === undefined) return kind.toJson;
  const wanted = text.split(',').map((field) => field.trim());
  const paths = wanted.map((field) => {
    const dot = /^(metrics|tags)\.(.+)$/.exec(field);
    const [top, key] = dot ? [dot[1] ?? '', dot[2] ?? null] : [field, null];
    if (!kind.fields.includes(top))
      throw invalidParameter(
        'fields',
        `must contain only ${[...kind.fields, ...(kind.hasMetrics ? ['metrics.<name>'] : []), 'tags.<key>'].join(', ')}`,
        field,
      );
    return { top, key };
  });
  return (item) => {
    const whole = kind.toJson(item);
    const picked: Record<string, unknown> = {};
    for (const { top, key } of paths) {
      const value = whole[top];
      if (key === null) picked[top] = value;
      else picked[top] = { ...(picked[top] as object | undefined), ...pick(value as Record<string, unknown>, key) };
    }
    return picked;
  };
}

const pick = (from: Record<string, unknown>, key: string) => (Object.hasOwn(from, key) ? { [key]: from[key] } : {});

/** Missing values come last in either direction; ties are broken by name and version, ascending. */
function compareKeys(a: SortKey, b: SortKey, descending: boolean): number {
  const [valueA, nameA, rankA] = a;
  const [valueB, nameB, rankB] = b;
  if (valueA !== valueB) {
    if (valueA === null) return 1;
    if (valueB === null) return -1;
    return (valueA < valueB ? -1 : 1) * (descending ? -1 : 1);
  }
  if (nameA !== nameB) return nameA < nameB ? -1 : 1;
  return rankA - rankB;
}

const listOf = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];
