import { createHash } from 'node:crypto';

/** What can be given away of an experiment: its figures, and nothing that leads to where they come from. */

const places =
  /https?:\/\/[^\s"')]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[?[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,7}\]?(?::\d+)?|\[?(?:[0-9a-f]{1,4}:)+:[0-9a-f:]*\]?(?::\d+)?/gi;
/** What says where it was. */
const left = ['target'];
/** What must stay the same within one data set, and say nothing. */
const hashed = ['namespace', 'job'];

/** 12 hexadecimal digits. The same name gives the same ones: who can guess a name can tell whether it is that one. */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** Without targets, names of namespaces and jobs as hashes, without any address or label in any text or key. */
export function anonymise(value: Record<string, unknown>): Record<string, unknown> {
  const kept = Object.entries(value).filter(([name]) => !left.includes(name));
  return Object.fromEntries(
    kept.map(([name, each]) => [
      name,
      hashed.includes(name) && typeof each === 'string' ? hashOf(each) : cleaned(each),
    ]),
  );
}

function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return withoutPlaces(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [withoutPlaces(name), cleaned(each)]));
}

/** Prometheus tells of series by their labels. */
const labels = /\b(\w+)(=~?|!=|!~)"(?:[^"\\]|\\.)*"/g;

/** Times have colons too, but none of them stands three times. */
const withoutPlaces = (text: string): string =>
  text.replaceAll(places, '(address)').replaceAll(labels, '$1$2"(left out)"');
