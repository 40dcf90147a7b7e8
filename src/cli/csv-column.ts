import { readFile } from 'node:fs/promises';
import { readCsv } from '#kernel/csv.ts';
import { invalid } from '#kernel/errors.ts';
import { parseTime } from '#kernel/time-text.ts';

/** Reads a column of a CSV file, named by an option. */

/**
 * Rows in order of time if there is a column of times, else as they are in the file.
 * @param csv - a file, or - for standard input
 * @param time - the column of times, if there is one
 * @param last - only this many rows, the latest
 * @returns also how many rows were left out
 * @throws TowerError `invalid`
 */
export async function readColumn(csv: string, column: string, time: string | undefined, last: number | null) {
  const text = await readFile(csv === '-' ? '/dev/stdin' : csv, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read --csv ${csv} (${error.code})`);
  });
  const all = readCsv(text);
  const has = (name: string) => all.length === 0 || name in all[0]!;
  for (const name of time === undefined ? [column] : [column, time])
    if (!has(name)) throw invalid(`${csv} has no column ${name}; columns: ${Object.keys(all[0]!).join(', ')}`);
  // Row numbers count from the first row below the header. Files may have the newest row first.
  const placed = all.map((row, i) => ({ row, i, time: time === undefined ? null : timeOf(row[time] ?? '', time, i) }));
  if (time !== undefined) placed.sort((a, b) => (a.time! < b.time! ? -1 : a.time! > b.time! ? 1 : a.i - b.i));
  const rows = placed.slice(last === null ? 0 : -last);
  return {
    values: rows.map(({ row, i }) => cellOf(row[column] ?? '', column, i)),
    times: time === undefined ? null : rows.map((row) => row.time!),
    omitted: all.length - rows.length,
  };
}

function cellOf(cell: string, column: string, row: number): number | null {
  const text = cell.trim();
  if (text === '' || /^(nan|null|na)$/i.test(text)) return null;
  if (!Number.isFinite(Number(text)))
    throw invalid(`${column} in row ${row + 1} must be a number (got ${JSON.stringify(text)})`);
  return Number(text);
}

/**
 * Places rows, in order of time, on an even grid of times; null for gaps.
 * @param step - seconds; null: the smallest time between two rows
 * @throws TowerError `invalid` for times that fit no grid
 */
export function onGrid(values: (number | null)[], times: string[], step: number | null) {
  const at = times.map((time) => Date.parse(time));
  if (at.length < 2) return { values, step_seconds: step ?? 300 };
  const [first = 0, last = 0] = [at[0], at.at(-1)];
  const gaps = at.slice(1).map((time, i) => time - at[i]!);
  const back = gaps.findIndex((gap) => gap <= 0);
  if (back >= 0) throw invalid(`two rows have the time ${times[back]}`);
  const stepMs = step === null ? gaps.reduce((least, gap) => Math.min(least, gap)) : Math.round(1000 * step);
  const odd = at.findIndex((time) => !Number.isInteger((time - first) / stepMs));
  if (odd >= 0)
    throw invalid(
      `the row of ${times[odd]} is not at a multiple of ${stepMs / 1000} s after the first row; set --step to the time between rows, or omit --time`,
    );
  const size = Math.round((last - first) / stepMs) + 1;
  if (size > 20 * values.length)
    throw invalid(
      `${values.length} rows in steps of ${stepMs / 1000} s are ${size} steps, most of them missing; set --step to the time between rows`,
    );
  const grid = Array.from<number | null>({ length: size }).fill(null);
  for (const [i, time] of at.entries()) grid[Math.round((time - first) / stepMs)] = values[i] ?? null;
  return { values: grid, step_seconds: stepMs / 1000, start: times[0]! };
}

/** A time without a zone is UTC; a number is seconds or milliseconds since 1970. */
function timeOf(cell: string, column: string, row: number): string {
  if (/^\s*\d{9,13}(\.\d+)?\s*$/.test(cell)) {
    const number = Number(cell);
    return new Date(number < 1e11 ? number * 1000 : number).toISOString();
  }
  const time = parseTime(cell.trim());
  if (Number.isNaN(time))
    throw invalid(`${column} in row ${row + 1} must be an ISO 8601 or Unix time (got ${JSON.stringify(cell.trim())})`);
  return new Date(time).toISOString();
}

export function numberOf(flag: string, text: string): number {
  if (text.trim() === '' || !Number.isFinite(Number(text)))
    throw invalid(`${flag} must be a number (got ${JSON.stringify(text)})`);
  return Number(text);
}
