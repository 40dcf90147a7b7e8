import { invalid } from './errors.ts';

/** Numbers of a column of text, as programs and spreadsheets of several countries write them. */

export type DecimalMark = '.' | ',';
export type NumberColumn = { values: (number | null)[]; decimal: DecimalMark; thousands: string };

/** An apostrophe, a space, or one of the spaces that do not break. */
const spaces = "' \u00a0\u202f\u2009’";
const plain = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const withComma = /^[+-]?(\d+,?\d*|,\d+)(e[+-]?\d+)?$/i;
/** Groups of three digits, two groups or more. */
const grouped = (mark: string, decimal: string) =>
  new RegExp(`^[+-]?[1-9]\\d{0,2}(?:([${mark}])\\d{3})(?:\\1\\d{3})*(?:[${decimal}]\\d+)?$`);
const groupedByComma = grouped(',', '.');
const groupedByDot = grouped('.', ',');
const groupedBySpace = { '.': grouped(spaces, '.'), ',': grouped(spaces, ',') };

/** One mark, three digits behind and one to three before it: a fraction, or thousands. */
const isAmbiguous = (cell: string, mark: DecimalMark): boolean =>
  new RegExp(`^[+-]?[1-9]\\d{0,2}[${mark}]\\d{3}$`).test(cell);

/**
 * Reads all cells with the same decimal mark: the one that all cells allow. Empty cells and NaN, NA and null are missing.
 * @param decimal - null: found in the cells
 * @param isProgram - the file has commas between its cells, so a single dot is a decimal mark
 * @throws TowerError `invalid`, with the row, for a cell that is no number, or if cells can be read in two ways
 */
export function readNumbers(
  cells: readonly string[],
  name: string,
  decimal: DecimalMark | null,
  isProgram: boolean,
): NumberColumn {
  const texts = cells.map((cell) => (/^\s*(nan|null|na|n\/a|-)?\s*$/i.test(cell) ? null : cell.trim()));
  const known = texts.filter((text) => text !== null);
  const mark = decimal ?? markOf(known, name, isProgram);
  let thousands = '';
  const values = texts.map((text, row) => {
    if (text === null) return null;
    const group = groupMarkOf(text, mark);
    if (group === null)
      throw invalid(
        `${name} in row ${row + 1} must be a number (got ${JSON.stringify(text.slice(0, 40))}); decimal mark: ${mark === ',' ? 'comma' : 'point'}`,
      );
    thousands = group || thousands;
    return Number(text.replaceAll(group || '\0', '').replace(',', '.'));
  });
  return { values, decimal: mark, thousands };
}

/** Mark between groups of thousands, empty if there is none; null if the text is no number with that decimal mark. */
function groupMarkOf(text: string, mark: DecimalMark): string | null {
  if ((mark === ',' ? withComma : plain).test(text)) return Number.isFinite(Number(text.replace(',', '.'))) ? '' : null;
  const [, group] = (mark === ',' ? groupedByDot : groupedByComma).exec(text) ?? groupedBySpace[mark].exec(text) ?? [];
  return group ?? null;
}

function markOf(cells: string[], name: string, isProgram: boolean): DecimalMark {
  const fits = (mark: DecimalMark) => cells.every((cell) => groupMarkOf(cell, mark) !== null);
  const [point, comma] = [fits('.'), fits(',')];
  if (!point) return comma ? ',' : mostly(cells);
  // Whole numbers, or dots that a program wrote.
  if (!comma || !cells.some((cell) => isAmbiguous(cell, ',') || (isAmbiguous(cell, '.') && !isProgram))) return '.';
  const example = cells.find((cell) => isAmbiguous(cell, ',') || isAmbiguous(cell, '.'))!;
  throw invalid(
    `${name} can be read in two ways: ${JSON.stringify(example)} is ${example.replace(/[.,]/, '')} or ${example.replace(',', '.')}; state the decimal mark`,
    { option: 'decimal' },
  );
}

/** The mark that most cells allow: the error then names one of the others. */
const mostly = (cells: string[]): DecimalMark => {
  const count = (mark: DecimalMark) => cells.filter((cell) => groupMarkOf(cell, mark) !== null).length;
  return count(',') > count('.') ? ',' : '.';
};
