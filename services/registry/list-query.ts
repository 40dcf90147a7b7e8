import { invalid } from '../../src/kernel/errors.ts';
import type { ModelListQuery } from './schemas.ts';

/**
 * What a list query means, for any kind of item. Filters are joined by AND. A page token holds the sort key of the
 * last item given, so a page goes on at the right place even if the registry changed in between.
 */
export type ListKind<Item> = {
  name: (item: Item) => string;
  /** Tells items apart and breaks ties of every order: a text, then a number. */
  key: (item: Item) => [string, number];
  /** The order the items come in. */
  defaultOrder: string;
  tags: (item: Item) => Record<string, string>;
  metrics: (item: Item) => Record<string, number | null>;
  aliases: (item: Item) => string[];
  /** `by` is effective, stage or alias. */
  stage: (item: Item, by: string) => string | null;
  sortKeys: Record<string, (item: Item) => SortValue>;
  /** Top-level names `fields` may hold. */
  fields: readonly string[];
  toJson: (item: Item) => Record<string, unknown>;
};

type SortValue = string | number | null;
type SortKey = [value: SortValue, text: string, number: number];

export type ListQuery<Item> = {
  limit: number;
  keep: (item: Item) => boolean;
  compare: (a: Item, b: Item) => number;
  /** True for items that come after the page token; null without one. */
  isAfter: ((item: Item) => boolean) | null;
  tokenAfter: (item: Item) => string;
  toJson: (item: Item) => Record<string, unknown>;
};

/** @throws TowerError `invalid` that names the parameter and its rule */
export function parseListQuery<Item>(query: ModelListQuery, kind: ListKind<Item>, maxLimit: number): ListQuery<Item> {
  const order = parseOrder(query.order_by, kind);
  const compare = (a: Item, b: Item) => compareKeys(order.key(a), order.key(b), order.descending);
  const after = query.page_token === undefined ? null : parseToken(query.page_token, order.text);
  return {
    limit: parseLimit(query.limit, maxLimit),
    keep: parseFilters(query, kind),
    compare,
    isAfter: after && ((item) => compareKeys(order.key(item), after, order.descending) > 0),
    tokenAfter: (item) => Buffer.from(JSON.stringify([order.text, ...order.key(item)])).toString('base64url'),
    toJson: parseFields(query.fields, kind),
  };
}

/** A whole number from 1 up; what exceeds `max` is cut to it, because that is what MAX_MODELS_RETURNED promises. */
export function parseLimit(text: string | undefined, max: number, preset = max): number {
  if (text === undefined) return preset;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw bad('limit', 'must be a whole number from 1', text);
  return Math.min(Number(text), max);
}

function parseFilters<Item>(query: ModelListQuery, kind: ListKind<Item>): (item: Item) => boolean {
  const tests: ((item: Item) => boolean)[] = [];
  const { name, search, alias, stage } = query;
  const by = query.by ?? 'effective';
  if (!['effective', 'stage', 'alias'].includes(by)) throw bad('by', 'must be effective, stage or alias', by);
  if (name !== undefined) tests.push((item) => kind.name(item) === name);
  if (search !== undefined) tests.push((item) => kind.name(item).toLowerCase().includes(search.toLowerCase()));
  if (alias !== undefined) tests.push((item) => kind.aliases(item).includes(alias));
  if (stage !== undefined) {
    const wanted = ['None', 'Staging', 'Production', 'Archived'].find(
      (known) => known.toLowerCase() === stage.toLowerCase(),
    );
    if (!wanted) throw bad('stage', 'must be None, Staging, Production or Archived', stage);
    tests.push((item) => kind.stage(item, by) === wanted);
  }
  for (const tag of listOf(query.tag)) tests.push(tagTest(tag, kind));
  for (const metric of listOf(query.metric)) tests.push(metricTest(metric, kind));
  return (item) => tests.every((test) => test(item));
}

function tagTest<Item>(text: string, kind: ListKind<Item>): (item: Item) => boolean {
  if (text === '' || text.startsWith('=')) throw bad('tag', 'must be key or key=value', text);
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

function metricTest<Item>(text: string, kind: ListKind<Item>): (item: Item) => boolean {
  const [, key = '', operator, bound = ''] = /^([^<>=]+)(>=|<=|>|<|=)?(.*)$/.exec(text) ?? [];
  const limit = Number(bound);
  if (key.trim() === '' || (operator !== undefined && (bound.trim() === '' || Number.isNaN(limit)))) {
    throw bad('metric', 'must be a metric name, or a name, one of >= <= > < = and a number', text);
  }
  const test = operator ? comparisons[operator] : undefined;
  if (!test) return (item) => Object.hasOwn(kind.metrics(item), key.trim());
  return (item) => {
    const value = Object.hasOwn(kind.metrics(item), key.trim()) ? kind.metrics(item)[key.trim()] : null;
    return typeof value === 'number' && test(value, limit);
  };
}

function parseOrder<Item>(text: string | undefined, kind: ListKind<Item>) {
  const [, field = '', direction = 'asc'] = /^(.+?)(?:\s+(asc|desc))?$/i.exec(text?.trim() ?? kind.defaultOrder) ?? [];
  const metric = field.startsWith('metrics.') ? field.slice('metrics.'.length) : null;
  const plain = Object.hasOwn(kind.sortKeys, field) ? kind.sortKeys[field] : undefined;
  const value = metric
    ? (item: Item) => (Object.hasOwn(kind.metrics(item), metric) ? (kind.metrics(item)[metric] ?? null) : null)
    : plain;
  if (!value)
    throw bad(
      'order_by',
      `must be one of ${Object.keys(kind.sortKeys).join(', ')} or metrics.<name>, then asc or desc`,
      text ?? '',
    );
  return {
    text: `${field} ${direction.toLowerCase()}`,
    descending: direction.toLowerCase() === 'desc',
    key: (item: Item): SortKey => [value(item), ...kind.key(item)],
  };
}

function parseToken(token: string, order: string): SortKey {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    parts = null;
  }
  if (!Array.isArray(parts) || parts.length !== 4 || typeof parts[2] !== 'string' || typeof parts[3] !== 'number') {
    throw bad('page_token', 'must be a token from a Link header', token);
  }
  if (parts[0] !== order)
    throw bad('page_token', `belongs to a list ordered by ${String(parts[0])}; keep order_by while paging`, token);
  return [parts[1] as SortValue, parts[2], parts[3]];
}

function parseFields<Item>(text: string | undefined, kind: ListKind<Item>): (item: Item) => Record<string, unknown> {
  if (text === undefined) return kind.toJson;
  const wanted = text.split(',').map((field) => field.trim());
  const paths = wanted.map((field) => {
    const dot = /^(metrics|tags)\.(.+)$/.exec(field);
    const [top, key] = dot ? [dot[1] ?? '', dot[2] ?? null] : [field, null];
    if (!kind.fields.includes(top))
      throw bad('fields', `may hold ${kind.fields.join(', ')}, metrics.<name> and tags.<key>`, field);
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

/** Missing values come last, whichever the direction; equal ones go by name and version, ascending. */
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

const bad = (parameter: string, constraint: string, value: string) =>
  invalid(`${parameter} ${constraint}, not ${JSON.stringify(value)}`, { parameter, constraint, value });
