import { CsvError, parse } from 'csv-parse/sync';
import { invalid, type TowerError } from './errors.ts';

/** Maximum length of a CSV record: an unterminated quote would swallow the rest of the file. */
const maxRecordBytes = 1_048_576;

/**
 * Rows of a CSV file (RFC 4180) keyed by its header. Line ends may be LF, CRLF or CR. Missing cells at the end of a row
 * have no value; in a file of one column, an empty line is a missing value.
 * @throws TowerError `invalid` for a row with more cells than the header, a repeated column name, an unterminated quote
 */
export function readCsv(text: string): Record<string, string>[] {
  const [head = [], ...rows] = recordsOf(text.replace(/^\uFEFF?\s*/, ''));
  const names = withoutEnd(head.map((name) => name.trim()));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`duplicate column ${JSON.stringify(twice)}`);
  const isBlank = (cells: string[]) => cells.length === 1 && cells[0] === '';
  const kept =
    names.length === 1
      ? rows.slice(0, rows.findLastIndex((cells) => !isBlank(cells)) + 1)
      : rows.filter((cells) => !isBlank(cells));
  return kept.map((cells, row) => {
    if (withoutEnd(cells).length > names.length)
      throw invalid(
        `row ${row + 1} has ${cells.length} cells, the header has ${names.length}; cells with a comma must be quoted`,
      );
    return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']));
  });
}

/** Without the trailing empty cells that spreadsheets write. */
const withoutEnd = (cells: string[]): string[] => cells.slice(0, cells.findLastIndex((cell) => cell !== '') + 1);

function recordsOf(text: string): string[][] {
  try {
    return parse(text, {
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      max_record_size: maxRecordBytes,
    });
  } catch (error) {
    throw csvFault(error);
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
