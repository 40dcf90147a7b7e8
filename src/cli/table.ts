import stringWidth from 'string-width';
import { plain } from './plain-text.ts';

/**
 * A text table: columns as wide as their widest cell; numbers right-aligned. In a narrower terminal the last column is
 * wrapped, then other columns are cut, except identifiers, which are copied into commands.
 * @param columns - width of the terminal; infinite if the output is not a terminal
 */
export function table(headings: string[], rows: unknown[][], columns = terminalColumns()): string {
  const cells = [headings, ...rows.map((row) => row.map(cellText))];
  const natural = headings.map((_, column) => widest(cells.map((row) => row[column] ?? '')));
  const last = headings.length - 1;
  const least = headings.map((heading, column) => {
    if (identifiers.has(heading)) return natural[column]!;
    return Math.max(width(heading), column === last ? minWrapped : 0);
  });
  const widths = narrowed(natural, least, columns);
  const isNumber = headings.map((_, column) => rows.length > 0 && rows.every((row) => isNumeric(row[column])));
  const indent = ' '.repeat(widths.slice(0, last).reduce((sum, each) => sum + each + gap, 0));
  return cells
    .map((row) => {
      const texts = row.map((cell, column) =>
        column === last && width(cell) > widths[last]!
          ? inLines(cell, widths[last]!).join(`\n${indent}`)
          : fit(cell, widths[column] ?? 0, isNumber[column] === true),
      );
      return texts.join(' '.repeat(gap)).trimEnd();
    })
    .join('\n');
}

/** Headings of columns that are never cut. */
const identifiers = new Set(['ID', 'JOB', 'EXPERIMENT']);
/** Width to which the last column is wrapped before other columns are cut. */
const minWrapped = 24;

/** Numbers, missing values, and version numbers, which are texts. */
const isNumeric = (value: unknown): boolean =>
  typeof value === 'number' || value === null || (typeof value === 'string' && /^\d{1,9}$/.test(value));

/**
 * Names and values below each other.
 * @param columns - width of the terminal; infinite if the output is not a terminal
 */
export function card(entries: [string, unknown][], columns = terminalColumns()): string {
  const names = widest(entries.map(([name]) => name));
  const indented = `\n${' '.repeat(names + 2)}`;
  const room = Math.max(20, columns - names - 2);
  return entries
    .map(([name, value]) => `${fit(plain(name), names, false)}  ${inLines(cellText(value), room).join(indented)}`)
    .join('\n');
}

const terminalColumns = (): number => (process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY);

const gap = 2;

/** Narrows the widest columns until the table fits, but never below their headings. */
function narrowed(widths: number[], least: number[], columns: number): number[] {
  const fitted = [...widths];
  const total = () => fitted.reduce((sum, each) => sum + each, 0) + gap * (fitted.length - 1);
  while (total() > columns) {
    const room = fitted.map((each, i) => (each > least[i]! ? each : 0));
    const widestColumn = room.indexOf(Math.max(...room));
    if (room[widestColumn] === 0) return fitted;
    fitted[widestColumn] = fitted[widestColumn]! - 1;
  }
  return fitted;
}

const widest = (texts: string[]): number => texts.reduce((most, text) => Math.max(most, width(text)), 0);

/** Wraps between words; a longer word stays whole, so that it can be copied. */
function inLines(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && width(last) + 1 + width(word) <= room) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

const cellText = (value: unknown): string => plain(textOf(value));

function textOf(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length > 0 ? value.map(textOf).join(', ') : '-';
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).map(([key, item]) => `${key}=${textOf(item)}`);
  return entries.join(' ') || '-';
}

/** Width of a text in terminal columns: two for CJK and emoji, none for combining characters. */
const width = (text: string): number => stringWidth(text);

const graphemes = new Intl.Segmenter();

/** The longest beginning of a text that fits the given columns. */
function start(text: string, columns: number): string {
  let [taken, used] = ['', 0];
  for (const { segment } of graphemes.segment(text)) {
    used += width(segment);
    if (used > columns) break;
    taken += segment;
  }
  return taken;
}

function fit(text: string, columns: number, right: boolean): string {
  const cut = width(text) > columns ? `${start(text, columns - 1)}…` : text;
  const blank = ' '.repeat(columns - width(cut));
  return right ? blank + cut : cut + blank;
}

const blocks = '▁▂▃▄▅▆▇█';

/** A sparkline of block characters, from the minimum to the maximum; a blank for a missing value. */
export function sparkline(values: (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  const [least, greatest] = [Math.min(...known), Math.max(...known)];
  return values
    .map((value) =>
      value === null ? ' ' : blocks[greatest > least ? Math.round((7 * (value - least)) / (greatest - least)) : 3],
    )
    .join('');
}
