import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findDelimiter, readCsv } from '#kernel/csv.ts';
import { readNumbers } from '#kernel/number-column.ts';
import { decodeText } from '#kernel/text-encoding.ts';
import { readTimes } from '#kernel/time-column.ts';
import { parseTime } from '#kernel/time-text.ts';

const rowsOf = (text: string) => readCsv(text).rows;

describe('readCsv', () => {
  it('reads quotes, all line ends, and short rows', () => {
    expect(rowsOf('v\n1\n\n3\n\n')).toEqual([{ v: '1' }, { v: '' }, { v: '3' }]);
    expect(rowsOf('a,b\n1\n\n3,4\n')).toEqual([
      { a: '1', b: '' },
      { a: '3', b: '4' },
    ]);
    expect(rowsOf('a,b,,\n1,2,,\n3,"4"\n')).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
    ]);
    expect(() => readCsv('v,w,v\n1,2,3')).toThrow('duplicate column "v"');
    expect(rowsOf('\uFEFFa,"b ""c"""\r\n1,"x\ny"\r2\n\n')).toEqual([
      { a: '1', 'b "c"': 'x\ny' },
      { a: '2', 'b "c"': '' },
    ]);
  });

  it('finds the delimiter of any table', () => {
    const cell = fc.string({ unit: fc.constantFrom(...'ab1 .,;|\t"\n'), maxLength: 8 });
    fc.assert(
      fc.property(
        fc.constantFrom(',', ';', '\t', '|'),
        fc
          .integer({ min: 2, max: 5 })
          .chain((width) =>
            fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 9 }),
          ),
        (delimiter, rows) => {
          const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
          const header = rows[0]!.map((_, i) => `column ${i}`);
          const text = [header.join(delimiter), ...rows.map((cells) => cells.map(quoted).join(delimiter))].join('\n');
          const read = readCsv(text);
          expect(read.delimiter).toBe(delimiter);
          expect(read.rows.map((row) => Object.values(row))).toEqual(
            rows.filter((cells) => cells.some((each) => each !== '') || cells.length > 1),
          );
        },
      ),
    );
  });

  it.each([
    ['v\n1,5\n2,25\n', ';'],
    ['at;v\n1;2,5\n2;3,5\n', ';'],
    ['a|b;c|d\n1|2;3|4\n', '|'],
    ['a\tb\n"1,2"\t3\n', '\t'],
    ['v\n', ','],
  ])('finds the delimiter of %j', (text, delimiter) => {
    expect(findDelimiter(text)).toBe(delimiter);
  });

  it('obeys the delimiter that a spreadsheet states', () => {
    expect(rowsOf('sep=;\r\na,b;v\r\n1,2;3\r\n')).toEqual([{ 'a,b': '1,2', v: '3' }]);
  });

  it('names the delimiter for a row with too many cells', () => {
    expect(() => readCsv('a,b\n1,2\n3,4\n5,6,7\n')).toThrow(/row 3 has 3 cells, the header has 2 \(delimiter: comma\)/);
  });
});

describe('decodeText', () => {
  it.each([
    ['UTF-8', Buffer.from('Zürich;1')],
    ['UTF-8', Buffer.from('\uFEFFZürich;1')],
    ['UTF-16LE', Buffer.from('\uFEFFZürich;1', 'utf16le')],
    ['UTF-16LE', Buffer.from('Zürich;1', 'utf16le')],
    ['UTF-16BE', Buffer.from('\uFEFFZürich;1', 'utf16le').swap16()],
    ['UTF-16BE', Buffer.from('Zürich;1', 'utf16le').swap16()],
    ['Windows-1252', Buffer.from('Zürich;1', 'latin1')],
  ])('reads %s', (encoding, bytes) => {
    const read = decodeText(bytes);
    expect({ ...read, text: read.text.replace('\uFEFF', '') }).toEqual({ text: 'Zürich;1', encoding });
  });
});

describe('readNumbers', () => {
  /** Writes a number with the marks. */
  const written = (value: number, decimal: string, thousands: string): string => {
    const [whole = '', fraction] = Math.abs(value).toFixed(2).split('.');
    return `${value < 0 ? '-' : ''}${whole.replace(/\B(?=(\d{3})+$)/g, thousands)}${decimal}${fraction}`;
  };

  it('reads the numbers of every pair of marks', () => {
    const marks = fc.constantFrom(
      ...([
        ['.', ''],
        ['.', ','],
        ['.', ' '],
        ['.', "'"],
        [',', ''],
        [',', '.'],
        [',', ' '],
        [',', '\u00a0'],
        [',', '\u202f'],
        [',', "'"],
      ] as const),
    );
    const value = fc.integer({ min: -(10 ** 9), max: 10 ** 9 }).map((cents) => cents / 100);
    fc.assert(
      fc.property(
        marks,
        fc.array(fc.option(value, { freq: 9 }), { minLength: 1, maxLength: 30 }),
        fc.boolean(),
        ([decimal, thousands], values, isProgram) => {
          const cells = values.map((each) => (each === null ? '' : written(each, decimal, thousands)));
          expect(readNumbers(cells, 'v', null, isProgram).values).toEqual(values);
        },
      ),
    );
  });

  it.each([
    [['1,200', '987'], true],
    [['1,200'], false],
    [['1.200', '1.350'], false],
  ])('refuses %j, which can be read in two ways', (cells, isProgram) => {
    expect(() => readNumbers(cells, 'v', null, isProgram)).toThrow(/can be read in two ways: .* is 1200 or 1.200/);
    expect(readNumbers(cells, 'v', '.', isProgram).values[0]).toBe(cells[0]!.includes('.') ? 1.2 : 1200);
    expect(readNumbers(cells, 'v', ',', isProgram).values[0]).toBe(cells[0]!.includes('.') ? 1200 : 1.2);
  });

  it.each([
    [['1.200', '1.350'], true, [1.2, 1.35]],
    [['0,125', '1,250'], false, [0.125, 1.25]],
    [['1,234,567'], true, [1234567]],
    [['12345,678'], false, [12345.678]],
    [['1e3', '-2.5E-1', '+3', '.5'], true, [1000, -0.25, 3, 0.5]],
    [['1,5e3', 'NaN', 'n/a', '-'], false, [1500, null, null, null]],
  ])('reads %j', (cells, isProgram, values) => {
    expect(readNumbers(cells, 'v', null, isProgram).values).toEqual(values);
  });

  it.each([
    [['1', 'x'], 'v in row 2 must be a number (got "x"); decimal mark: point'],
    [['1,5', '2,5', '1.5x'], 'v in row 3 must be a number (got "1.5x"); decimal mark: comma'],
    [['1e999'], 'v in row 1 must be a number'],
    [['45 %'], 'v in row 1 must be a number (got "45 %")'],
  ])('refuses %j, with the row and the text', (cells, text) => {
    expect(() => readNumbers(cells, 'v', null, true)).toThrow(text);
  });
});

describe('readTimes', () => {
  const two = (value: number) => String(value).padStart(2, '0');
  type Parts = { y: number; m: number; d: number; time: string; at: number };
  const names = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const forms: Record<string, (parts: Parts) => string> = {
    'ISO 8601': ({ y, m, d, time }) => `${y}-${two(m)}-${two(d)}T${time}Z`,
    'with a space': ({ y, m, d, time }) => `${y}-${two(m)}-${two(d)} ${time}`,
    'with an offset of hours': ({ at }) => new Date(at + 7_200_000).toISOString().replace(/\.000Z$/, '+02'),
    slashes: ({ y, m, d, time }) => `${y}/${two(m)}/${two(d)} ${time}`,
    German: ({ y, m, d, time }) => `${two(d)}.${two(m)}.${y} ${time}`,
    'day first': ({ y, m, d, time }) => `${d}/${m}/${y} ${time}`,
    'month first': ({ y, m, d, time }) => `${m}/${d}/${y} ${time}`,
    'with a name': ({ y, m, d, time }) => `${d} ${names[m - 1]} ${y} ${time}`,
    'with a name first': ({ y, m, d, time }) => `${names[m - 1]} ${d}, ${y} ${time}`,
    'RFC 9110': ({ at }) => new Date(at).toUTCString(),
    seconds: ({ at }) => String(at / 1000),
    milliseconds: ({ at }) => String(at),
    microseconds: ({ at }) => `${at}000`,
    nanoseconds: ({ at }) => `${at}000000`,
    'spreadsheet days': ({ at }) => String(at / 86_400_000 + 25_569),
    basic: ({ at }) => new Date(at).toISOString().replace(/[-:]|\.000/g, ''),
  };

  it('reads every form', () => {
    const time = fc.integer({ min: Date.UTC(2001, 9, 1) / 1000, max: Date.UTC(2090, 0, 1) / 1000 });
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(forms)),
        fc.array(time, { minLength: 1, maxLength: 20 }),
        (name, seconds) => {
          // The order of days and months is clear.
          const all = [...seconds, Date.UTC(2026, 0, 31) / 1000].map((second) => {
            const date = new Date(second * 1000);
            const parts = { y: date.getUTCFullYear(), m: date.getUTCMonth() + 1, d: date.getUTCDate() };
            return { ...parts, time: date.toISOString().slice(11, 19), at: second * 1000 };
          });
          const { times } = readTimes(all.map(forms[name]!), 'at', null);
          expect(times.map(parseTime)).toEqual(all.map(({ at }) => at));
        },
      ),
    );
  });

  it.each([
    ['2026-09', '2026-09-01'],
    ['2026-Q3', '2026-07-01'],
    ['2026Q4', '2026-10-01'],
    ['2026-W53', '2026-12-28'],
    ['2026', '2026-01-01'],
    ['Sep 2026', '2026-09-01'],
    ['9/1/2026 12:30 AM', '2026-09-01T00:30:00Z'],
    ['1 September 2026 12:00 pm', '2026-09-01T12:00:00Z'],
    ['2026-09-01 10:00:00,250', '2026-09-01T10:00:00.250Z'],
    ['20260901', '2026-09-01'],
  ])('reads %s as %s', (text, time) => {
    expect(readTimes([text], 'at', 'month-first').times.map(parseTime)).toEqual([parseTime(time)]);
  });

  it.each([
    [['2026-02-30'], 'at in row 1 must be a time (got "2026-02-30"); accepted: ISO 8601'],
    [['1.1.2026', '31.2.2026'], 'at in row 2 must be a time (got "31.2.2026"; the rows before are day.month.year)'],
    [['13/13/2026'], 'at in row 1 must be a time'],
    [['2025-W53'], 'at in row 1 must be a time'],
    [['2026-01-01', '2.1.2026'], 'at in row 2 must be a time (got "2.1.2026"; the rows before are ISO 8601)'],
    [['9/1/2026 13:00 PM'], 'at in row 1 must be a time'],
    [['3/4/2026', '4/4/2026'], 'at can be read with the day or the month first ("3/4/2026")'],
  ])('refuses %j', (cells, text) => {
    expect(() => readTimes(cells, 'at', null)).toThrow(text);
  });
});
