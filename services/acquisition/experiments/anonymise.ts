import { createHash } from 'node:crypto';

/** Anonymises experiment files for publication: figures stay; hosts, namespaces, jobs and labels do not. */

const places =
  /https?:\/\/[^\s"')]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[?[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){3,7}\]?(?::\d+)?|\[?(?:[0-9a-f]{1,4}:)+:[0-9a-f:]*\]?(?::\d+)?/gi;
/** Keys that are removed. */
const left = ['target'];
/** Keys whose values are replaced by a hash, so that equal values stay equal within a data set. */
const hashed = ['namespace', 'job'];

/** First 12 hexadecimal digits of SHA-256. Not secret: a guessed name can be verified. */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** Removes targets, addresses and labels from all texts and keys; hashes the names of namespaces and jobs. */
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

/** Label matchers in Prometheus' messages. */
const labels = /\b(\w+)(=~?|!=|!~)"(?:[^"\\]|\\.)*"/g;

/** Timestamps contain colons too, but at most two in a row of digits. */
const withoutPlaces = (text: string): string =>
  text.replaceAll(places, '(address)').replaceAll(labels, '$1$2"(left out)"');
