import { invalidParameter, moment } from '#kernel/query.ts';
import { isTimeZone } from '#kernel/time-zone.ts';
import type { SeriesQuery } from '../schemas.ts';
import type { SeriesFilter } from '../storage/keys.ts';
import { dayMs, type Span } from '../storage/reader.ts';

/** Parses query strings. The names of both documented APIs are accepted; synonyms in one request must agree. */

const aliases = {
  metric: ['metric', 'metric_type', 'metric_name'],
  resource: ['resource', 'resource_id', 'component'],
} as const;

/** The one value of several synonymous parameters. @throws TowerError `invalid` if they differ */
export function oneOf(
  field: keyof typeof aliases,
  given: Partial<Record<(typeof aliases)[keyof typeof aliases][number], string | undefined>>,
): string | undefined {
  const used = aliases[field].filter((name) => given[name] !== undefined);
  const [first] = used;
  if (first === undefined) return undefined;
  const other = used.find((name) => given[name] !== given[first]);
  if (other) throw invalidParameter(other, `is an alias of ${first} and must have the same value`, given[other]);
  return given[first];
}

/** @throws TowerError `invalid` */
export function filterOf(query: SeriesQuery): SeriesFilter {
  const [metric, resource] = [oneOf('metric', query), oneOf('resource', query)];
  const labels = Object.fromEntries([query.label ?? []].flat().map(labelOf));
  return { ...(metric === undefined ? {} : { metric }), ...(resource === undefined ? {} : { resource }), labels };
}

/** The same for exactly one metric. @throws TowerError `invalid` if none is named */
export function filterOfMetric(query: SeriesQuery): SeriesFilter & { metric: string } {
  const { metric, ...rest } = filterOf(query);
  if (metric === undefined) throw invalidParameter('metric', 'must be set', null);
  return { ...rest, metric };
}

function labelOf(text: string): [string, string] {
  const at = text.indexOf(':');
  if (at < 1) throw invalidParameter('label', 'must be name:value', text);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** From `start` (or a default duration before the end) to `end` (or now). @throws TowerError `invalid` */
export function spanOf(
  { start, end }: { start?: string | undefined; end?: string | undefined },
  now: number,
  usualMs = dayMs,
): Span {
  const until = end === undefined ? now : moment('end', end);
  const from = start === undefined ? until - usualMs : moment('start', start);
  if (from >= until) throw invalidParameter('start', 'must be before end', start ?? new Date(from).toISOString());
  return { start: from, end: until };
}

/** One of these words, in any case. @throws TowerError `invalid` */
export function choice<T extends string>(
  parameter: string,
  text: string | undefined,
  words: readonly T[],
  usual: T,
): T {
  if (text === undefined) return usual;
  const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
  if (!found) throw invalidParameter(parameter, `must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`, text);
  return found;
}

/** @throws TowerError `invalid` */
export function zoneOf(text: string | undefined): string {
  if (text !== undefined && !isTimeZone(text))
    throw invalidParameter('timezone', 'must be a time zone, such as Europe/Berlin', text);
  return text ?? 'UTC';
}
