import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseTime, timeText } from '#kernel/time-text.ts';

const iso = (text: string) => {
  const ms = parseTime(text);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
};

describe('parseTime', () => {
  it.each([
    ['2026-11-20', '2026-11-20T00:00:00.000Z'],
    ['2026-11-20T10:30', '2026-11-20T10:30:00.000Z'],
    ['2026-11-20 10:30:05', '2026-11-20T10:30:05.000Z'],
    ['2026-11-20T10:30:05.1239', '2026-11-20T10:30:05.123Z'],
    ['2026-11-20T10:30:05Z', '2026-11-20T10:30:05.000Z'],
    ['2026-11-20t10:30:05z', '2026-11-20T10:30:05.000Z'],
    ['2026-11-20T10:30:05+05:30', '2026-11-20T05:00:05.000Z'],
    ['2026-11-20T22:30:05-0800', '2026-11-21T06:30:05.000Z'],
    ['2024-02-29', '2024-02-29T00:00:00.000Z'],
    ['2026-02-29', null],
    ['2026-02-30', null],
    ['2026-02-30T00:00:00Z', null],
    ['2026-04-31', null],
    ['2026-13-01', null],
    ['2026-00-10', null],
    ['2026-01-00', null],
    ['2100-02-29', null],
    ['2026-11-20T24:00:00Z', null],
    ['2026-11-20T10:60:00Z', null],
    ['2026-11-20T10:30:60Z', null],
    ['2026-11-20T10:30:00+24:00', null],
    ['2026-11-20T10', null],
    ['20 Nov 2026', null],
    ['11/20/2026', null],
    ['1760000000', null],
    ['', null],
  ])('%s is %s', (text, expected) => {
    expect(iso(text)).toBe(expected);
  });

  it('reads every time back as it was written', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date(Date.UTC(9999, 0)), noInvalidDate: true }), (date) => {
        expect(parseTime(date.toISOString())).toBe(date.getTime());
        expect(parseTime(date.toISOString().slice(0, -1))).toBe(date.getTime());
      }),
    );
  });

  it('accepts a date exactly if it exists', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1970, max: 2400 }), fc.nat(15), fc.nat(35), (year, month, day) => {
        const text = `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        const date = new Date(Date.UTC(year, month - 1, day));
        const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
        expect(Number.isNaN(parseTime(text))).toBe(!exists);
      }),
    );
  });
});

it('a time in a body is UTC if it has no zone', () => {
  for (const [given, read] of [
    ['2026-11-20T10:30:00', '2026-11-20T10:30:00Z'],
    ['2026-11-20T10:30:00.5', '2026-11-20T10:30:00.5Z'],
    ['2026-11-20T10:30:00+01:00', '2026-11-20T10:30:00+01:00'],
    ['2026-11-20T10:30:00Z', '2026-11-20T10:30:00Z'],
  ])
    expect(timeText().parse(given)).toBe(read);
  for (const wrong of ['2026-02-30T00:00:00Z', '2026-11-20', 'now'])
    expect(timeText().safeParse(wrong).success).toBe(false);
});
