import type { Dirent } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { finiteOrNull } from './source.ts';

/** Files of an MLflow file store: YAML metadata, one file per tag, one line per metric value. */

/** A metric line: `timestamp value [step [...]]`; logged models insert the run id before the dataset. */
export type MetricLine = { at: number; value: number | null; step: number; rest: string[] };

/**
 * Reads a `meta.yaml`. MLflow rewrites these in place, so a reader may see a partial file, which may still be valid
 * YAML: if the `key` field is missing, it is read again up to twice.
 * @returns the fields, or null if the file is missing or stays unreadable
 */
export async function readMetaYaml(
  directory: string,
  clock: Clock,
  key: string,
): Promise<Record<string, unknown> | null> {
  const { parse } = await import('yaml');
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (attempt > 0) await clock.sleep(50);
    const text = await readFile(join(directory, 'meta.yaml'), 'utf8').catch(() => null);
    if (text === null) return null;
    try {
      // Ids of 18 digits exceed a double's precision; they are parsed as bigint.
      const card: unknown = parse(text, { intAsBigInt: true });
      if (typeof card === 'object' && card !== null && key in card) return card as Record<string, unknown>;
    } catch {
      // Partially written: read again.
    }
  }
  return null;
}

/** Names of subdirectories; empty if the directory does not exist. */
export async function directorysIn(directory: string): Promise<string[]> {
  const entries = await entriesOf(directory);
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .sort();
}

/** Files under a directory by key, with their contents: `val/loss` is the file `loss` in the directory `val`. */
export async function readValues(directory: string): Promise<[string, string][]> {
  const values: [string, string][] = [];
  for (const entry of await entriesOf(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      for (const [key, value] of await readValues(path)) values.push([`${entry.name}/${key}`, value]);
    } else {
      const value = await readFile(path, 'utf8').catch(() => null);
      if (value !== null) values.push([entry.name, value]);
    }
  }
  return values.sort(([a], [b]) => (a < b ? -1 : 1));
}

export function metricLines(content: string): MetricLine[] {
  return content
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length >= 2)
    .map(([at, value, step, ...rest]) => ({
      at: Number(at),
      value: numberOf(value ?? ''),
      step: Number(step ?? 0),
      rest,
    }));
}

/** The last value by MLflow's definition: greatest step, then time, then value. */
export function lastLine(lines: MetricLine[]): MetricLine | undefined {
  return lines.reduce<MetricLine | undefined>((last, line) => (last && isBefore(line, last) ? last : line), undefined);
}

function isBefore(a: MetricLine, b: MetricLine): boolean {
  if (a.step !== b.step) return a.step < b.step;
  if (a.at !== b.at) return a.at < b.at;
  return (a.value ?? -Infinity) < (b.value ?? -Infinity);
}

// Python writes nan, inf and -inf; none of them is a measured value.
const numberOf = (text: string): number | null => (/^[-+]?[\d.]/.test(text) ? finiteOrNull(Number(text)) : null);

const entriesOf = (directory: string): Promise<Dirent[]> => readdir(directory, { withFileTypes: true }).catch(() => []);

export const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
export const time = (value: unknown): number | null => (Number(value ?? 0) > 0 ? Number(value) : null);
