import { parse } from 'csv-parse/sync';
import { csvFault } from '#kernel/csv.ts';
import { invalid, type TowerError } from '#kernel/errors.ts';
import { judgeSamples, type LoadResult, type Sample } from './results.ts';

/**
 * Reads JTL files of JMeter, as CSV, part by part: a day of load has more rows than a string can hold. A quote too many or
 * too few would join rows to one and lose what is between them, so a row ends where the next one begins, which is known by
 * its two times; each must then have as many cells as the header. Only the last row may be cut off, as it is where JMeter
 * was ended: it is left out.
 */

const maxRowBytes = 65_536;
const rowsAtOnce = 500;
const rowStart = /^\d{4,17},\d+,/;
const needed = ['timeStamp', 'elapsed', 'label', 'success'] as const;

type Chunks = AsyncIterable<string | Buffer> | Iterable<string | Buffer>;
/** Where each column is. */
type Columns = Map<string, number>;

/**
 * What a JTL file shows. JMeter's exit code says nothing: it is 0 when every request failed.
 * @throws TowerError `invalid` for a file that is none, that is damaged, or that has no request
 */
export async function judgeJtl(chunks: Chunks): Promise<LoadResult> {
  const samples: Sample[] = [];
  let columns: Columns | null = null;
  let [rows, row]: [string[], string] = [[], ''];
  const take = () => {
    for (const sample of samplesOf(rows, columns!, samples.length)) samples.push(sample);
    rows = [];
  };
  for await (const line of linesOf(chunks)) {
    if (!columns) columns = columnsOf(line);
    else if (rowStart.test(line)) {
      if (row !== '') rows.push(row);
      row = line;
      if (rows.length === rowsAtOnce) take();
    } else if (row === '' && line.trim() !== '') throw fault(1, 'has no time');
    // A beginning of the next row that was cut off before its second time is no part of this one.
    else if (line.endsWith('\n') || !isWhole(row, columns)) row += line;
    if (row.length > maxRowBytes) throw fault(samples.length + rows.length + 1, 'is too long');
  }
  take();
  if (columns && isWhole(row, columns)) samples.push(...samplesOf([row], columns, samples.length));
  return judgeSamples(samples);
}

/** Lines with their line ends; the last may have none. */
async function* linesOf(chunks: Chunks): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n', from)) {
      yield rest.slice(from, end + 1);
      from = end + 1;
    }
    rest = rest.slice(from);
    if (rest.length > maxRowBytes) throw invalid('a line of the JTL file is too long', { parameter: 'jtl' });
  }
  if (rest !== '') yield rest;
}

function columnsOf(line: string): Columns {
  const [names = []] = recordsOf(line.replace(/^\uFEFF/, ''));
  const columns = new Map(names.map((name, i) => [name, i]));
  const absent = needed.filter((name) => !columns.has(name));
  if (absent.length > 0)
    throw invalid(`this is no JTL file as CSV: it has no column ${absent.join(', ')}`, { parameter: 'jtl' });
  return columns;
}

/** @param before - rows of the file before these */
function samplesOf(rows: string[], columns: Columns, before: number): Sample[] {
  const records = tryRecords(rows.join(''));
  const isSound = records?.length === rows.length && records.every((cells) => cells.length === columns.size);
  if (!isSound) throw faultIn(rows, columns, before);
  return records.map((cells, i) => sampleOf(cells, columns, before + i + 1));
}

/** The first row that is not one record of its own. */
function faultIn(rows: string[], columns: Columns, before: number): TowerError {
  for (const [i, row] of rows.entries()) {
    const at = before + i + 1;
    const records = tryRecords(row);
    if (!records) return fault(at, 'has a quote too many or too few');
    if (records.length !== 1) return fault(at, 'is followed by a line that has no time');
    if (records[0]!.length !== columns.size)
      return fault(at, `has ${records[0]!.length} cells, and the header ${columns.size}`);
  }
  return fault(before + 1, 'or one of the next has a quote too many or too few');
}

const isWhole = (row: string, columns: Columns): boolean => {
  const records = tryRecords(row);
  return records?.length === 1 && records[0]!.length === columns.size;
};

const fault = (row: number, what: string): TowerError =>
  invalid(`row ${row} of the JTL file ${what}`, { parameter: 'jtl', row });

const recordsOf = (text: string): string[][] =>
  parse(text, { record_delimiter: ['\r\n', '\n'], relax_column_count: true, skip_empty_lines: true });

/** Null for quotes that do not fit together. */
function tryRecords(text: string): string[][] | null {
  try {
    return recordsOf(text);
  } catch (error) {
    csvFault(error);
    return null;
  }
}

/** @param row - counted from the first below the header */
function sampleOf(cells: string[], columns: Columns, row: number): Sample {
  const cell = (name: string): string => cells[columns.get(name) ?? -1] ?? '';
  const [startMs, elapsedMs] = [Number(cell('timeStamp')), Number(cell('elapsed'))];
  if (!Number.isFinite(startMs) || !(elapsedMs >= 0)) throw fault(row, 'has no time');
  const ok = cell('success') === 'true';
  return { startMs, elapsedMs, label: cell('label'), ok, why: ok ? '' : whyOf(cell) };
}

/** Where there was no answer at all, what was expected of it says nothing. */
function whyOf(cell: (name: string) => string): string {
  const [code, message] = [cell('responseCode'), cell('responseMessage')];
  if (code.startsWith('Non HTTP')) return message.replace('Non HTTP response message: ', '');
  return cell('failureMessage') || `${code} ${message}`.trim();
}
