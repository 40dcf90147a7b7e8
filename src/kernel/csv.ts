import { CsvError, parse } from 'csv-parse/sync';
import { invalid, type TowerError } from './errors.ts';

/** Maximum length of a CSV record: an unterminated quote would swallow the rest of the file. */
const maxRecordBytes = 1_048_576;

export const delimiters = [',', ';', '\t', '|'] as const;
export type Delimiter = (typeof delimiters)[number];

/** Names of delimiters in messages. */
export const delimiterNames: Record<Delimiter, string> = { ',': 'comma', ';': 'semicolon', '\t': 'tab', '|': 'pipe' };

export type CsvRows = { delimiter: Delimiter; rows: Record<string, string>[] };

/**
 * Rows of a CSV file (RFC 4180) keyed by its header. Line ends may be LF, CRLF or CR. Missing cells at the end of a row
 * have no value; in a file of one column, an empty line is a missing value.
 * @param delimiter - null: found in the file; the line `sep=;` of a spreadsheet states it
 * @throws TowerError `invalid` for a row with more cells than the header, a repeated column name, an unterminated quote
 */
export function readCsv(text: string, delimiter: Delimiter | null = null): CsvRows {
  const [, stated, body = ''] = /^\uFEFF?(?:sep=([,;\t|])(?:\r\n|\n|\r))?\s*([\s\S]*)$/i.exec(text) ?? [];
  const used = delimiter ?? (stated as Delimiter | undefined) ?? findDelimiter(body);
  const [head = [], ...rows] = recordsOf(body, used);
  const names = withoutEnd(head.map((name) => name.trim()));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`duplicate column ${JSON.stringify(twice)}`);
  const isBlank = (cells: string[]) => cells.length === 1 && cells[0] === '';
  const kept =
    names.length === 1
      ? rows.slice(0, rows.findLastIndex((cells) => !isBlank(cells)) + 1)
      : rows.filter((cells) => !isBlank(cells));
  const keyed = kept.map((cells, row) => {
    if (withoutEnd(cells).length > names.length)
      throw invalid(
        `row ${row + 1} has ${cells.length} cells, the header has ${names.length} (delimiter: ${delimiterNames[used]}); cells that contain the delimiter must be quoted`,
      );
    return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']));
  });
  return { delimiter: used, rows: keyed };
}

/** Without the trailing empty cells that spreadsheets write. */
const withoutEnd = (cells: string[]): string[] => cells.slice(0, cells.findLastIndex((cell) => cell !== '') + 1);

function recordsOf(text: string, delimiter: Delimiter, to = -1): string[][] {
  try {
    return parse(text, {
      delimiter,
      to,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      max_record_size: maxRecordBytes,
    });
  } catch (error) {
    throw csvFault(error);
  }
}

const sampleRows = 100;

/**
 * The delimiter with which most rows have as many cells as the header. A header without a delimiter is that of a single
 * column, whose cells may then have a decimal comma.
 */
export function findDelimiter(text: string): Delimiter {
  const start = text.slice(0, maxRecordBytes);
  const tried = delimiters.map((delimiter) => ({ delimiter, ...agreement(start, delimiter) }));
  const best = tried.reduce((most, each) =>
    each.columns > 1 &&
    (each.agreeing > most.agreeing || (each.agreeing === most.agreeing && each.columns > most.columns))
      ? each
      : most,
  );
  if (best.columns > 1) return best.delimiter;
  const header = /^.*/.exec(start)?.[0] ?? '';
  return (
    delimiters.find((delimiter) => header.includes(delimiter)) ??
    delimiters.find((delimiter) => !start.includes(delimiter)) ??
    ','
  );
}

/** Number of columns of the header, and the share of rows that have as many cells; 0 for one column. */
function agreement(text: string, delimiter: Delimiter): { columns: number; agreeing: number } {
  try {
    const [head = [], ...rows] = recordsOf(text, delimiter, sampleRows + 1).map(withoutEnd);
    if (head.length < 2) return { columns: head.length, agreeing: 0 };
    const filled = rows.filter((cells) => cells.length > 0);
    // Cells at the end of a row may be missing.
    const agreeing = filled.filter(
      (cells) => cells.length === head.length || (cells.length > 1 && cells.length < head.length),
    );
    return { columns: head.length, agreeing: filled.length === 0 ? 1 : agreeing.length / filled.length };
  } catch {
    return { columns: 0, agreeing: 0 };
  }
}

/** Translates csv-parse's quote errors to `invalid` with the line; returns any other error unchanged. */
export function csvFault(error: unknown): TowerError {
  if (!(error instanceof CsvError)) throw error;
  const line = typeof error['lines'] === 'number' ? `line ${error['lines']}: ` : '';
  if (error.code === 'CSV_QUOTE_NOT_CLOSED') return invalid(`${line}unterminated quote`);
  if (error.code === 'CSV_MAX_RECORD_SIZE') return invalid(`${line}row too long; possibly an unterminated quote`);
  return invalid(`${line}unexpected quote; quotes within a quoted cell must be doubled`);
}
