import { invalid } from './errors.ts';

/**
 * Rows of a CSV file (RFC 4180) by its header. Line ends may be LF, CRLF or CR; rows that are too short have no value there,
 * and in a file of one column an empty line is a missing value.
 * @throws TowerError `invalid` for a row with more cells than the header, a name that is there twice, a quote that does not end
 */
export function readCsv(text: string): Record<string, string>[] {
  const [head = [], ...rows] = splitCsv(text.replace(/^\uFEFF?\s*/, ''));
  const names = withoutEnd(head.map((name) => name.trim()));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw invalid(`the column ${JSON.stringify(twice)} is there twice`);
  const isBlank = (cells: string[]) => cells.length === 1 && cells[0] === '';
  const kept =
    names.length === 1
      ? rows.slice(0, rows.findLastIndex((cells) => !isBlank(cells)) + 1)
      : rows.filter((cells) => !isBlank(cells));
  return kept.map((cells, row) => {
    if (withoutEnd(cells).length > names.length)
      throw invalid(
        `row ${row + 1} has ${cells.length} cells, and the header ${names.length}; a cell with a comma in it must be quoted`,
      );
    return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']));
  });
}

/** Without the empty cells a spreadsheet leaves behind. */
const withoutEnd = (cells: string[]): string[] => cells.slice(0, cells.findLastIndex((cell) => cell !== '') + 1);

function splitCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  const endRow = () => {
    row.push(cell);
    rows.push(row);
    [row, cell] = [[], ''];
  };
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i]!;
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[i + 1] === '"') cell += text[(i += 1)];
      else quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === ',') {
      row.push(cell);
      cell = '';
    } else if (char === '\n' || char === '\r') {
      if (char === '\r' && text[i + 1] === '\n') i += 1;
      endRow();
    } else cell += char;
  }
  if (quoted) throw invalid('there is a quote that does not end');
  endRow();
  return rows;
}
