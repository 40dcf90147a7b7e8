import { parse } from 'csv-parse/sync';
import { csvFault } from '#kernel/csv.ts';
import { invalid, type TowerError } from '#kernel/errors.ts';
import { createEvaluation, type LoadResult, type Sample } from './results.ts';

/**
 * Reads JMeter's JTL files (CSV) in a stream: a day of load has more rows than a string can hold. A record ends with the
 * line at which its quotes are balanced. A stray quote would join records and lose the rows between them, so a line within
 * quotes that is a row by itself is an error. JMeter leaves the last row incomplete, without a line end, when it is killed:
 * that one is left out.
 */

/** Maximum length of a record, in characters. */
const maxRecord = 65_536;
const batchSize = 500;
const needed = ['timeStamp', 'elapsed', 'label', 'success'] as const;

type Chunks = AsyncIterable<string | Buffer> | Iterable<string | Buffer>;
/** Index of each column. */
type Columns = { index: Map<string, number>; count: number };

/**
 * Evaluates a JTL file. JMeter's exit code cannot be used for that: it is 0 even if every request failed.
 * @throws TowerError `invalid` if the file is no JTL file, is damaged, or has no request
 */
export async function evaluateJtl(chunks: Chunks): Promise<LoadResult> {
  const evaluation = createEvaluation();
  let columns: Columns | null = null;
  let [rows, row, isQuoted]: [string[], string, boolean] = [[], '', false];
  const take = () => {
    for (const sample of samplesOf(rows, columns!, evaluation.count())) evaluation.add(sample);
    rows = [];
  };
  for await (const line of linesOf(chunks)) {
    if (row === '' && line.trim() === '') continue;
    if (!columns) {
      columns = columnsOf(line);
      continue;
    }
    const at = evaluation.count() + rows.length + 1;
    if (row !== '' && looksLikeRow(line, columns)) throw fault(at, 'has unbalanced quotes');
    row += line;
    if (row.length > maxRecord) throw fault(at, `is longer than ${maxRecord} characters`);
    isQuoted = isQuoted !== hasOddQuotes(line);
    if (!line.endsWith('\n') || isQuoted) continue;
    rows.push(row);
    row = '';
    if (rows.length === batchSize) take();
  }
  take();
  if (row.endsWith('\n')) throw fault(evaluation.count() + 1, 'has unbalanced quotes');
  if (columns && isComplete(row, columns))
    for (const sample of samplesOf([row], columns, evaluation.count())) evaluation.add(sample);
  return evaluation.result();
}

const hasOddQuotes = (text: string): boolean => (text.split('"').length - 1) % 2 === 1;

/** Whether a line has all columns, and numbers where the times belong. */
function looksLikeRow(line: string, { index, count }: Columns): boolean {
  const cells = line.split(',').map((cell) => cell.trim().replace(/^"|"$/g, ''));
  return (
    cells.length >= count && [index.get('timeStamp')!, index.get('elapsed')!].every((i) => isNumber(cells[i] ?? ''))
  );
}

const isNumber = (text: string): boolean => text.trim() !== '' && Number(text) >= 0 && Number.isFinite(Number(text));

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
    if (rest.length > maxRecord)
      throw invalid(`a line of the JTL file is longer than ${maxRecord} characters`, { parameter: 'jtl' });
  }
  if (rest !== '') yield rest;
}

function columnsOf(line: string): Columns {
  const [names = []] = recordsOf(line.replace(/^\uFEFF/, ''));
  const index = new Map(names.map((name, i) => [name.trim(), i]));
  const absent = needed.filter((name) => !index.has(name));
  if (absent.length > 0)
    throw invalid(`not a JTL file in CSV format: missing columns ${absent.join(', ')}`, { parameter: 'jtl' });
  return { index, count: names.length };
}

/** @param before - number of rows before these */
function samplesOf(rows: string[], columns: Columns, before: number): Sample[] {
  const records = tryRecords(rows.join(''));
  const isSound = records?.length === rows.length && records.every((cells) => cells.length === columns.count);
  if (!isSound) throw faultIn(rows, columns, before);
  return records.map((cells, i) => sampleOf(cells, columns, before + i + 1));
}

/** The first row that is not one record of its own. */
function faultIn(rows: string[], columns: Columns, before: number): TowerError {
  for (const [i, row] of rows.entries()) {
    const at = before + i + 1;
    const records = tryRecords(row);
    if (!records) return fault(at, 'has unbalanced quotes');
    if (records[0]?.length !== columns.count)
      return fault(at, `has ${records[0]?.length ?? 0} cells, the header has ${columns.count}`);
  }
  return fault(before + 1, 'or one of the next has unbalanced quotes');
}

/** Whether a last row without a line end has all its cells. */
const isComplete = (row: string, { index, count }: Columns): boolean => {
  const [cells] = tryRecords(row) ?? [];
  return cells?.length === count && ['true', 'false'].includes(cells[index.get('success')!] ?? '');
};

const fault = (row: number, what: string): TowerError =>
  invalid(`row ${row} of the JTL file ${what}`, { parameter: 'jtl', row });

const recordsOf = (text: string): string[][] =>
  parse(text, { record_delimiter: ['\r\n', '\n'], relax_column_count: true, skip_empty_lines: true });

/** Null if the quotes are not valid. */
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
  const cell = (name: string): string => cells[columns.index.get(name) ?? -1] ?? '';
  for (const name of ['timeStamp', 'elapsed'])
    if (!isNumber(cell(name)))
      throw fault(row, `has no number in ${name} (${JSON.stringify(cell(name).slice(0, 40))})`);
  const [startMs, elapsedMs] = [Number(cell('timeStamp')), Number(cell('elapsed'))];
  const ok = cell('success') === 'true';
  return { startMs, elapsedMs, label: cell('label'), ok, error: ok ? '' : failureReason(cell) };
}

/** Without a response, the assertion's message is not informative. */
function failureReason(cell: (name: string) => string): string {
  const [code, message] = [cell('responseCode'), cell('responseMessage')];
  if (code.startsWith('Non HTTP')) return message.replace('Non HTTP response message: ', '');
  return cell('failureMessage') || `${code} ${message}`.trim();
}
