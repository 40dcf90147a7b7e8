import stringWidth from 'string-width';
import { plain } from '#kernel/plain-text.ts';

/**
 * A text table: columns as wide as their widest cell; numbers right-aligned. In a narrower terminal, columns without
 * values are left out, the last column is wrapped, and others are cut, except identifiers, which are copied into commands.
 * @param columns - width of the terminal; infinite if the output is not a terminal
 */
export function table(headings: string[], rows: unknown[][], columns = terminalColumns()): string {
  const wide = columnsOf(headings, rows);
  const shown =
    totalWidth(wide) > columns ? wide.filter(({ cells }) => cells.slice(1).some((cell) => cell !== '-')) : wide;
  const last = shown.at(-1);
  const least = shown.map((column) => {
    if (identifiers.has(column.cells[0]!)) return column.width;
    return Math.max(width(column.cells[0]!), column === last ? minWrapped : 0);
  });
  const fitted = narrowed(shown, least, columns);
  const indent = ' '.repeat(totalWidth(fitted.slice(0, -1)) + gap);
  return [headings, ...rows]
    .map((_, row) => {
      const texts = fitted.map(({ cells, isNumber, width: room }, i) => {
        const cell = cells[row] ?? '';
        const isWrapped = i === fitted.length - 1 && width(cell) > room;
        return isWrapped ? inLines(cell, room).join(`\n${indent}`) : fit(cell, room, isNumber);
      });
      return texts.join(' '.repeat(gap)).trimEnd();
    })
    .join('\n');
}

/** `cells`: the heading and the texts below it; `width`: that of the widest cell, or the narrower one that fits. */
type Column = { cells: string[]; width: number; isNumber: boolean };

const columnsOf = (headings: string[], rows: unknown[][]): Column[] =>
  headings.map((heading, column) => {
    const cells = [heading, ...rows.map((row) => cellText(row[column]))];
    const isNumber = rows.length > 0 && rows.every((row) => isNumeric(row[column]));
    return { cells, width: widest(cells), isNumber };
  });

/** Headings of columns that are never cut. */
const identifiers = new Set(['ID', 'JOB', 'EXPERIMENT']);
/** Width to which the last column is wrapped before other columns are cut. */
const minWrapped = 20;

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

const totalWidth = (all: readonly Column[]): number =>
  all.reduce((sum, column) => sum + column.width, 0) + gap * Math.max(0, all.length - 1);

/** Narrows the widest columns until the table fits, but not below `least`. */
function narrowed(all: readonly Column[], least: number[], columns: number): Column[] {
  const fitted = all.map((column) => ({ ...column }));
  while (totalWidth(fitted) > columns) {
    const room = fitted.map((column, i) => (column.width > least[i]! ? column.width : 0));
    const widestColumn = fitted[room.indexOf(Math.max(...room))];
    if (!widestColumn || Math.max(...room) === 0) break;
    widestColumn.width -= 1;
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
