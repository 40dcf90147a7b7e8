import { join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { parsePyYaml } from './pyyaml.ts';
import { finiteOrNull, isBefore } from './source.ts';
import { createStorePaths } from './store-paths.ts';

/** Files of an MLflow file store: YAML metadata, one file per tag, one line per metric value. */

/** A metric line: `timestamp value [step [...]]`; logged models insert the run id before the dataset. */
export type MetricLine = { at: number; value: number | null; step: number; rest: string[] };

/** Reads below the root of a store. Every method throws TowerError `unavailable`, with the path, for what it cannot read. */
export type StoreFiles = ReturnType<typeof createStoreFiles>;

/** @param linkRoots - directories outside, which links of the store may lead to */
export function createStoreFiles(root: string, linkRoots: readonly string[], clock: Clock) {
  const { read, entriesOf, unreadable } = createStorePaths(root, linkRoots, clock);
  /** Files under a directory by key, with their contents: `val/loss` is the file `loss` in the directory `val`. */
  const values = async (directory: string, depth = 0): Promise<[string, string][]> => {
    if (depth > maxDepth) throw unreadable(directory, `is nested more than ${maxDepth} levels deep`);
    const found: [string, string][] = [];
    for (const { name, path, known, isDirectory } of await entriesOf(directory)) {
      if (isDirectory) for (const [key, value] of await values(path, depth + 1)) found.push([`${name}/${key}`, value]);
      else {
        const value = await read(path, known);
        if (value !== null) found.push([name, value]);
      }
    }
    return found.sort(([a], [b]) => (a < b ? -1 : 1));
  };
  return {
    root,
    /** Names of subdirectories; empty if the directory does not exist. */
    directories: async (directory: string): Promise<string[]> =>
      (await entriesOf(directory))
        .filter(({ name, isDirectory }) => isDirectory && !name.startsWith('.'))
        .map(({ name }) => name)
        .sort(),
    values: (directory: string): Promise<[string, string][]> => values(directory),
    /**
     * Reads a `meta.yaml`. MLflow rewrites these in place, so a reader may see a partial file, which may still be valid
     * YAML: if the `key` field is missing, it is read again up to twice.
     * @returns the fields, or null if the file does not exist
     * @throws `unavailable` for a file that stays damaged
     */
    metaYaml: async (directory: string, key: string): Promise<Record<string, unknown> | null> => {
      const path = join(directory, 'meta.yaml');
      for (let attempt = 1; ; attempt += 1) {
        const content = await read(path);
        if (content === null) return null;
        const fields = await parsePyYaml(content);
        if (fields !== null && key in fields) return fields;
        if (attempt === 3) throw unreadable(path, `is damaged: it has no field ${key}`);
        await clock.sleep(50);
      }
    },
  };
}

/** Keys have slashes, which MLflow stores as directories. */
const maxDepth = 32;

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

// Python writes nan, inf and -inf; none of them is a measured value.
const numberOf = (text: string): number | null => (/^[-+]?[\d.]/.test(text) ? finiteOrNull(Number(text)) : null);

export const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
export const time = (value: unknown): number | null => (Number(value ?? 0) > 0 ? Number(value) : null);
