import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { directoryOf, filesOf } from '../support/data.ts';

/** NAB's files, windows and scoring, version 1.1 (Lavin and Ahmad 2015, and the repository's sweeper.py). */
export type NabFile = {
  name: string;
  times: number[];
  values: number[];
  windows: [number, number][];
  probation: number;
};

export function readNab(): NabFile[] {
  const directory = directoryOf('nab');
  const windows = JSON.parse(readFileSync(join(directory, 'labels', 'combined_windows.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  return filesOf('nab', /^data\/.*\.csv$/).map((file) => {
    const name = file.slice('data/'.length);
    const spans = windows[name] ?? [];
    const rows = readFileSync(join(directory, 'data', name), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(','));
    const times = rows.map(([time = '']) => utc(time));
    const values = rows.map(([, value]) => Number(value));
    return {
      name,
      times,
      values,
      windows: spans.map(([from, to]) => [
        times.findIndex((time) => time >= utc(from)),
        times.findLastIndex((time) => time <= utc(to)),
      ]),
      probation: Math.floor(0.15 * Math.min(5000, rows.length)),
    };
  });
}

const utc = (text: string): number => Date.parse(`${text.replace(' ', 'T')}Z`);

export const profiles = {
  standard: { fp: 0.11, fn: 1 },
  'low FP': { fp: 0.22, fn: 1 },
  'low FN': { fp: 0.11, fn: 2 },
};

const sigmoid = (x: number): number => (x > 3 ? -1 : 2 / (1 + Math.exp(5 * x)) - 1);

/**
 * NAB score of detections at these rows: 0 for no detection, 100 if each window is detected at its first row without
 * false positives.
 */
export function nabScore(
  found: { file: NabFile; detections: number[] }[],
  { fp, fn }: { fp: number; fn: number },
): number {
  let raw = 0;
  let count = 0;
  for (const { file, detections } of found) {
    count += file.windows.length;
    const after = detections.filter((row) => row >= file.probation);
    for (const [from, to] of file.windows) {
      const first = after.find((row) => row >= from && row <= to);
      raw += first === undefined ? -fn : sigmoid(-(to - first + 1) / (to - from + 1)) / sigmoid(-1);
    }
    for (const row of after) {
      if (file.windows.some(([from, to]) => row >= from && row <= to)) continue;
      const [from, to] = file.windows.findLast(([, end]) => end < row) ?? [0, -1];
      raw += to < 0 ? -fp : fp * sigmoid((row - to) / Math.max(1, to - from));
    }
  }
  return (100 * (raw + fn * count)) / (count + fn * count);
}
