import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { type Delimiter, delimiterNames, delimiters, readCsv } from '#kernel/csv.ts';
import { invalid, TowerError } from '#kernel/errors.ts';
import { type DecimalMark, readNumbers } from '#kernel/number-column.ts';
import { decodeText } from '#kernel/text-encoding.ts';
import { type DateOrder, readTimes } from '#kernel/time-column.ts';
import { parseTime } from '#kernel/time-text.ts';

/** Reads a column of a CSV file, named by an option. */

/** Options about the format of the file; default: found in the file. */
export type CsvFlags = { delimiter?: string; decimal?: string; dates?: string };

export const csvOptions = (command: Command): Command =>
  command
    .addOption(
      new Option('--delimiter <name>', 'delimiter of the file; default: found').choices(Object.values(delimiterNames)),
    )
    .addOption(new Option('--decimal <mark>', 'decimal mark of the column; default: found').choices(['point', 'comma']))
    .addOption(
      new Option('--dates <order>', 'order of dates such as 3/4/2026; default: found').choices([
        'day-first',
        'month-first',
      ]),
    );

/**
 * Rows in order of time if there is a column of times, else as they are in the file.
 * @param csv - a file, or - for standard input
 * @param time - the column of times, if there is one
 * @param last - only this many rows, the latest
 * @returns also how many rows were left out, and how the file was read, if that is unusual
 * @throws TowerError `invalid`
 */
export async function readColumn(
  csv: string,
  column: string,
  time: string | undefined,
  last: number | null,
  flags: CsvFlags = {},
) {
  const bytes = await readFile(csv === '-' ? '/dev/stdin' : csv).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read --csv ${csv} (${error.code})`);
  });
  const { text, encoding } = decodeText(bytes);
  const { delimiter, rows: all } = readCsv(
    text,
    delimiters.find((each) => delimiterNames[each] === flags.delimiter),
  );
  const has = (name: string) => all.length === 0 || name in all[0]!;
  for (const name of time === undefined ? [column] : [column, time])
    if (!has(name))
      throw invalid(
        `${csv} has no column ${name}; columns: ${Object.keys(all[0]!).join(', ')} (delimiter: ${delimiterNames[delimiter]})`,
      );
  const cells = (name: string) => all.map((row) => row[name] ?? '');
  const mark = ({ point: '.', comma: ',' } as Record<string, DecimalMark>)[flags.decimal ?? ''] ?? null;
  const numbers = withOption(() => readNumbers(cells(column), column, mark, delimiter === ','));
  const read =
    time === undefined
      ? null
      : withOption(() => readTimes(cells(time), time, (flags.dates as DateOrder | undefined) ?? null));
  const placed = numbers.values.map((value, i) => ({ value, i, time: read?.times[i] ?? '' }));
  if (read) {
    const at = read.times.map(parseTime);
    placed.sort((a, b) => at[a.i]! - at[b.i]! || a.i - b.i);
  }
  const rows = placed.slice(last === null ? 0 : -last);
  const format = formatOf(encoding, delimiter, numbers, read?.form ?? null);
  return {
    values: rows.map(({ value }) => value),
    times: read && rows.map((row) => row.time),
    omitted: all.length - rows.length,
    ...(format === '' ? {} : { format }),
  };
}

/** Names the option that decides between two readings. */
function withOption<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TowerError) || error.details['option'] === undefined) throw error;
    throw invalid(`${error.message} with --${error.details['option']}`);
  }
}

/** How the file was read, in words; empty for the usual format. */
function formatOf(
  encoding: string,
  delimiter: Delimiter,
  { decimal, thousands }: { decimal: DecimalMark; thousands: string },
  times: string | null,
): string {
  return [
    encoding === 'UTF-8' ? [] : encoding,
    delimiter === ',' ? [] : `delimiter ${delimiterNames[delimiter]}`,
    decimal === '.' ? [] : 'decimal comma',
    thousands === '' ? [] : `thousands mark ${JSON.stringify(thousands)}`,
    times === null || times === 'ISO 8601' ? [] : `times as ${times}`,
  ]
    .flat()
    .join(', ');
}

/**
 * Places rows, in order of time, on an even grid of times; null for gaps.
 * @param step - seconds; null: the smallest time between two rows
 * @throws TowerError `invalid` for times that fit no grid
 */
export function onGrid(values: (number | null)[], times: string[], step: number | null) {
  const at = times.map(parseTime);
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

export function numberOf(flag: string, text: string): number {
  if (text.trim() === '' || !Number.isFinite(Number(text)))
    throw invalid(`${flag} must be a number (got ${JSON.stringify(text)})`);
  return Number(text);
}
