import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { onGrid, readColumn } from '../../src/cli/csv-column.ts';
import { temporaryDirectory } from '../support/tower.ts';

function write(rows: string[]): string {
  const file = join(temporaryDirectory(), 'rows.csv');
  writeFileSync(file, `time,value\n${rows.join('\n')}\n`);
  return file;
}
const hour = (i: number) => new Date(Date.UTC(2026, 0, 1, i)).toISOString();

describe('a column of a CSV file', () => {
  it('has the latest rows, in order of time, however the file is sorted', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .integer({ min: 1, max: 30 })
          .chain((count) =>
            fc.tuple(
              fc.shuffledSubarray([...Array(count).keys()], { minLength: count }),
              fc.option(fc.integer({ min: 1, max: 40 })),
            ),
          ),
        async ([order, last]) => {
          const file = write(order.map((i) => `${hour(i)},${i}`));
          const { values, times, omitted } = await readColumn(file, 'value', 'time', last);
          const kept = [...order].sort((a, b) => a - b).slice(last === null ? 0 : -last);
          expect([values, times, omitted]).toEqual([kept, kept.map(hour), order.length - kept.length]);
          if (kept.length > 1)
            expect(onGrid(values, times!, null).values.filter((value) => value !== null)).toEqual(kept);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('has the last rows of the file without times', async () => {
    const file = write(['b,1', 'a,2', 'c,3']);
    expect(await readColumn(file, 'value', undefined, 2)).toEqual({ values: [2, 3], times: null, omitted: 1 });
  });

  it.each([
    ['2026-02-30,1', 'time in row 1'],
    ['2026-01-01,x', 'value in row 1'],
    ['30 Feb,1', 'time in row 1'],
  ])('refuses %s, with the row', async (row, text) => {
    const file = write([row]);
    await expect(readColumn(file, 'value', 'time', null)).rejects.toThrow(text);
  });

  it('refuses two rows of one time where a grid is needed', async () => {
    const file = write([`${hour(2)},1`, `${hour(1)},1`, `${hour(2)},3`]);
    const { values, times } = await readColumn(file, 'value', 'time', null);
    expect(() => onGrid(values, times!, null)).toThrow(`two rows have the time ${hour(2)}`);
  });
});
