import { readFile } from 'node:fs/promises';
import { readCsv } from '../kernel/csv.ts';
import { invalid } from '../kernel/errors.ts';

/** A column of a CSV file as the person at the terminal names it. */

/**
 * @param csv - a file, or - for standard input
 * @param time - the column with the times, where there is one
 * @param last - only so many rows from the end
 * @throws TowerError `invalid`
 */
export async function readColumn(csv: string, column: string, time: string | undefined, last: number | null) {
  const text = await readFile(csv === '-' ? '/dev/stdin' : csv, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`--csv ${csv} cannot be read (${error.code})`);
  });
  const rows = readCsv(text).slice(last === null ? 0 : -last);
  const has = (name: string) => rows.length === 0 || name in rows[0]!;
  for (const name of time === undefined ? [column] : [column, time])
    if (!has(name)) throw invalid(`${csv} has no column ${name}; it has ${Object.keys(rows[0]!).join(', ')}`);
  return {
    values: rows.map((row, i) => cellOf(row[column] ?? '', column, i)),
    times: time === undefined ? null : rows.map((row, i) => timeOf(row[time] ?? '', time, i)),
  };
}

function cellOf(cell: string, column: string, row: number): number | null {
  const text = cell.trim();
  if (text === '' || /^(nan|null|na)$/i.test(text)) return null;
  if (!Number.isFinite(Number(text)))
    throw invalid(`${column} in row ${row + 1} is ${JSON.stringify(text)}, no number`);
  return Number(text);
}

/** A time without a zone is taken as UTC. */
function timeOf(cell: string, column: string, row: number): string {
  const text = cell.trim().replace(' ', 'T');
  const [, , clock, zone] = /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.exec(
    text,
  ) ?? ['', null];
  const time =
    text === '' || !/^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Number.NaN : Date.parse(clock && !zone ? `${text}Z` : text);
  if (Number.isNaN(time))
    throw invalid(`${column} in row ${row + 1} is ${JSON.stringify(cell.trim())}, no ISO 8601 time`);
  return new Date(time).toISOString();
}

export function numberOf(flag: string, text: string): number {
  if (text.trim() === '' || !Number.isFinite(Number(text)))
    throw invalid(`${flag} must be a number, not ${JSON.stringify(text)}`);
  return Number(text);
}
