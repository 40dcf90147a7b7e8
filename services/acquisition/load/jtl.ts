import { parse } from 'csv-parse/sync';
import { csvFault } from '#kernel/csv.ts';
import { invalid, type TowerError } from '#kernel/errors.ts';
import { encodingOf } from '#kernel/text-encoding.ts';
import { parseTime } from '#kernel/time-text.ts';
import { createCounting, type JtlRow } from './jtl-counting.ts';
import { readXml } from './jtl-xml.ts';
import { createEvaluation, type LoadResult, minSuccessRate } from './results.ts';

/**
 * Reads JMeter's JTL files (CSV or XML) in a stream: a day of load has more rows than a string can hold. A record of CSV
 * ends with the line at which its quotes are balanced. A stray quote would join records and lose the rows between them,
 * so a line within quotes that is a row by itself is an error. JMeter leaves the last row incomplete, without a line end,
 * when it is killed: that one is left out.
 */

/** Maximum length of a record, in characters. */
const maxRecord = 65_536;
const batchSize = 500;
const needed = ['timeStamp', 'elapsed', 'label', 'success'] as const;

type Chunks = AsyncIterable<string | Buffer> | Iterable<string | Buffer>;
/** Index of each column. */
type Columns = { index: Map<string, number>; count: number; delimiter: string };
type OnRow = (row: JtlRow, hasRows: boolean | null) => void;

/**
 * Evaluates a JTL file. JMeter's exit code cannot be used for that: it is 0 even if every request failed.
 * @throws TowerError `invalid` if the file is no JTL file, is damaged, or has no request
 */
export async function evaluateJtl(chunks: Chunks): Promise<LoadResult> {
  const evaluation = createEvaluation();
  const counting = createCounting(evaluation);
  const texts = textsOf(chunks)[Symbol.asyncIterator]();
  const first = await texts.next();
  const rest = (async function* () {
    if (!first.done) yield first.value;
    yield* { [Symbol.asyncIterator]: () => texts };
  })();
  const isXml = !first.done && /^\s*</.test(first.value);
  const { isWhole } = await (isXml ? readXml : readRows)(rest, counting.add);
  const { transactions, transactionsAlone: alone } = counting.result();
  if (transactions > 0 && evaluation.count() === 0)
    throw invalid(
      `the file has ${transactions} transactions and no requests; set jmeter.save.saveservice.subresults=true, or do not generate a parent sample`,
      { parameter: 'jtl' },
    );
  const result = evaluation.result();
  return {
    ...result,
    low_quality: result.low_quality || alone.failed > (1 - minSuccessRate) * alone.total,
    transactions,
    failed_transactions: alone.failed,
    incomplete_last_row: !isWhole,
  };
}

async function readRows(texts: AsyncIterable<string>, onRow: OnRow): Promise<{ isWhole: boolean }> {
  let columns: Columns | null = null;
  let [rows, row, isQuoted, read]: [string[], string, boolean, number] = [[], '', false, 0];
  const take = () => {
    for (const each of rowsOf(rows, columns!, read)) onRow(each, null);
    read += rows.length;
    rows = [];
  };
  for await (const line of linesOf(texts)) {
    if (row === '' && line.trim() === '') continue;
    if (!columns) {
      columns = columnsOf(line);
      continue;
    }
    const at = read + rows.length + 1;
    if (row !== '' && looksLikeRow(line, columns)) throw fault(at, 'has unbalanced quotes');
    row += line;
    if (row.length > maxRecord) throw fault(at, `is longer than ${maxRecord} characters`);
    isQuoted = isQuoted !== hasOddQuotes(line);
    if (!line.endsWith('\n') || isQuoted) continue;
    rows.push(row);
    row = '';
    if (rows.length === batchSize) take();
  }
  if (rows.length > 0) take();
  if (row.endsWith('\n')) throw fault(read + 1, 'has unbalanced quotes');
  if (row === '') return { isWhole: true };
  if (!columns || !isComplete(row, columns)) return { isWhole: false };
  for (const each of rowsOf([row], columns, read)) onRow(each, null);
  return { isWhole: true };
}

const hasOddQuotes = (text: string): boolean => (text.split('"').length - 1) % 2 === 1;

/** Whether a line has all columns, and numbers where the times belong. */
function looksLikeRow(line: string, { index, count, delimiter }: Columns): boolean {
  const cells = line.split(delimiter).map((cell) => cell.trim().replace(/^"|"$/g, ''));
  return (
    cells.length >= count &&
    [index.get('timeStamp')!, index.get('elapsed')!].every((i) => !Number.isNaN(timeOf(cells[i] ?? '')))
  );
}

/** A number of milliseconds, or a time of `jmeter.save.saveservice.timestamp_format`; NaN for anything else. */
function timeOf(text: string): number {
  if (text.trim() === '') return Number.NaN;
  const number = Number(text);
  return Number.isNaN(number) ? parseTime(text.trim().replaceAll('/', '-')) : number >= 0 ? number : Number.NaN;
}

async function* textsOf(chunks: Chunks): AsyncGenerator<string> {
  let decoder: InstanceType<typeof TextDecoder> | null = null;
  for await (const chunk of chunks) {
    if (typeof chunk === 'string') {
      yield chunk;
      continue;
    }
    decoder ??= new TextDecoder(encodingOf(chunk) ?? 'utf-8');
    yield decoder.decode(chunk, { stream: true });
  }
}

/** Lines with their line ends; the last may have none. */
async function* linesOf(texts: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const text of texts) {
    rest += text;
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
  const header = line.replace(/^\uFEFF/, '').trim();
  if (!Number.isNaN(timeOf(header.split(/[,;\t|]/)[0]!)))
    throw invalid(
      'the JTL file has no header row; set jmeter.save.saveservice.print_field_names=true, or add the names of the columns',
      { parameter: 'jtl' },
    );
  // JMeter allows any character (jmeter.save.saveservice.default_delimiter).
  const delimiter = /^"?\w+"?([^\w"])/.exec(header)?.[1] ?? ',';
  const [names = []] = recordsOf(header, delimiter);
  const index = new Map(names.map((name, i) => [name.trim(), i]));
  const absent = needed.filter((name) => !index.has(name));
  if (absent.length > 0)
    throw invalid(
      `not a JTL file: missing columns ${absent.join(', ')} (delimiter: ${JSON.stringify(delimiter)}); CSV and XML are accepted`,
      { parameter: 'jtl' },
    );
  return { index, count: names.length, delimiter };
}

/** @param before - number of rows before these */
function rowsOf(rows: string[], columns: Columns, before: number): JtlRow[] {
  const records = tryRecords(rows.join(''), columns.delimiter);
  const isSound = records?.length === rows.length && records.every((cells) => cells.length === columns.count);
  if (!isSound) throw faultIn(rows, columns, before);
  return records.map((cells, i) => rowOf(cells, columns, before + i + 1));
}

/** The first row that is not one record of its own. */
function faultIn(rows: string[], columns: Columns, before: number): TowerError {
  for (const [i, row] of rows.entries()) {
    const at = before + i + 1;
    const records = tryRecords(row, columns.delimiter);
    if (!records) return fault(at, 'has unbalanced quotes');
    if (records[0]?.length !== columns.count)
      return fault(at, `has ${records[0]?.length ?? 0} cells, the header has ${columns.count}`);
  }
  return fault(before + 1, 'or one of the next has unbalanced quotes');
}

/** Whether a last row without a line end has all its cells. */
const isComplete = (row: string, { index, count, delimiter }: Columns): boolean => {
  const [cells] = tryRecords(row, delimiter) ?? [];
  return cells?.length === count && /^(true|false)$/i.test(cells[index.get('success')!] ?? '');
};

const fault = (row: number, what: string): TowerError =>
  invalid(`row ${row} of the JTL file ${what}`, { parameter: 'jtl', row });

const recordsOf = (text: string, delimiter: string): string[][] =>
  parse(text, { delimiter, record_delimiter: ['\r\n', '\n'], relax_column_count: true, skip_empty_lines: true });

/** Null if the quotes are not valid. */
function tryRecords(text: string, delimiter: string): string[][] | null {
  try {
    return recordsOf(text, delimiter);
  } catch (error) {
    csvFault(error);
    return null;
  }
}

/** Maximum number of requests that a row of statistics stands for. */
const maxCount = 1_000_000;

/** @param row - counted from the first below the header */
function rowOf(cells: string[], columns: Columns, row: number): JtlRow {
  const cell = (name: string): string => cells[columns.index.get(name) ?? -1] ?? '';
  const startMs = timeOf(cell('timeStamp'));
  const elapsedMs = cell('elapsed').trim() === '' ? Number.NaN : Number(cell('elapsed'));
  for (const [name, value] of Object.entries({ timeStamp: startMs, elapsed: elapsedMs }))
    if (!(value >= 0 && Number.isFinite(value)))
      throw fault(row, `has no number in ${name} (${JSON.stringify(cell(name).slice(0, 40))})`);
  if (!/^(true|false)$/i.test(cell('success').trim()))
    throw fault(row, `must have true or false in success (got ${JSON.stringify(cell('success').slice(0, 40))})`);
  const ok = cell('success').trim().toLowerCase() === 'true';
  const count = countOf(cell('SampleCount'), 1);
  const failed = countOf(cell('ErrorCount'), ok ? 0 : (count ?? 0));
  if (count === null || failed === null || failed > count)
    throw fault(row, `must have SampleCount and ErrorCount of 0 to ${maxCount}, not more errors than samples`);
  const error = ok ? '' : failureReason(cell);
  return {
    startMs,
    elapsedMs,
    label: cell('label'),
    ok,
    error,
    message: cell('responseMessage'),
    thread: cell('threadName'),
    count,
    failed,
  };
}

function countOf(text: string, missing: number): number | null {
  if (text.trim() === '') return missing;
  const count = Number(text);
  return Number.isInteger(count) && count >= 0 && count <= maxCount ? count : null;
}

/** Without a response, the assertion's message is not informative. */
function failureReason(cell: (name: string) => string): string {
  const [code, message] = [cell('responseCode'), cell('responseMessage')];
  if (code.startsWith('Non HTTP')) return message.replace('Non HTTP response message: ', '');
  return cell('failureMessage') || `${code} ${message}`.trim();
}
