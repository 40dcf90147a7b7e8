import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frequencyText, parseFrequency } from '#services/forecast/engine/calendar.ts';
import { prepareSeries, timeAt } from '#services/forecast/engine/series.ts';
import { readTimestamps } from '#services/forecast/timestamps.ts';

const forecastOf = (texts: string[], frequency?: string, timeZone?: string) => {
  const { times, offsets } = readTimestamps(texts, timeZone);
  const wanted = { frequency: frequency === undefined ? null : parseFrequency(frequency), timeZone: timeZone ?? null };
  const { series, notes } = prepareSeries(
    texts.map((_, i) => i),
    times,
    wanted,
    offsets,
  );
  const next = [0, 1, 2].map((h) =>
    new Date(timeAt(series, series.values.length + h)!).toISOString().replace('T00:00:00.000Z', ''),
  );
  return {
    frequency: frequencyText(series.grid!.frequency),
    timeZone: series.grid!.timeZone,
    next,
    notes,
    periods: series.periods,
  };
};
const iso = (at: number) => new Date(at).toISOString().slice(0, 10);
const days = (count: number, from: string, step = 1) =>
  Array.from({ length: count }, (_, i) => iso(Date.parse(from) + i * step * 86_400_000));
const months = (count: number, day: number, every = 1, year = 2020) =>
  Array.from({ length: count }, (_, i) => iso(Date.UTC(year, i * every, day)));
const monthEnds = (count: number, every = 1) =>
  months(count, 0, every).map((_, i) => iso(Date.UTC(2020, (i + 1) * every, 0)));

describe('the calendar of a series', () => {
  it.each([
    ['day', days(40, '2025-02-10'), ['2025-03-22', '2025-03-23', '2025-03-24']],
    ['3 days', days(20, '2025-02-01', 3), ['2025-04-02', '2025-04-05', '2025-04-08']],
    ['week', days(10, '2025-01-05', 7), ['2025-03-16', '2025-03-23', '2025-03-30']],
    ['2 weeks', days(10, '2025-01-05', 14), ['2025-05-25', '2025-06-08', '2025-06-22']],
    ['business day', days(39, '2025-01-06').filter((_, i) => i % 7 < 5), ['2025-02-14', '2025-02-17', '2025-02-18']],
    [
      'weekdays Sun, Mon, Tue, Wed, Thu',
      days(40, '2025-01-05').filter((_, i) => i % 7 < 5),
      ['2025-02-16', '2025-02-17', '2025-02-18'],
    ],
    [
      'weekdays Mon, Wed, Fri',
      days(39, '2025-01-06').filter((_, i) => i % 7 < 5 && (i % 7) % 2 === 0),
      ['2025-02-14', '2025-02-17', '2025-02-19'],
    ],
    ['month start', months(30, 1), ['2022-07-01', '2022-08-01', '2022-09-01']],
    ['month end', monthEnds(30), ['2022-07-31', '2022-08-31', '2022-09-30']],
    ['month day 15', months(12, 15), ['2021-01-15', '2021-02-15', '2021-03-15']],
    ['quarter end', monthEnds(9, 3), ['2022-06-30', '2022-09-30', '2022-12-31']],
    ['quarter day 10', months(8, 10, 3), ['2022-01-10', '2022-04-10', '2022-07-10']],
    ['half-year start', months(8, 1, 6), ['2024-01-01', '2024-07-01', '2025-01-01']],
    ['year start', months(8, 1, 12), ['2028-01-01', '2029-01-01', '2030-01-01']],
    ['2 months end', monthEnds(12, 2), ['2022-02-28', '2022-04-30', '2022-06-30']],
  ])('has the frequency %s, and forecasts its dates', (frequency, times, next) => {
    expect(forecastOf(times)).toMatchObject({ frequency, next, timeZone: 'UTC', notes: [] });
  });

  it('has day 30 in months that have one, and the last day of February', () => {
    const times = Array.from({ length: 14 }, (_, i) => iso(Math.min(Date.UTC(2024, i, 30), Date.UTC(2024, i + 1, 0))));
    expect(forecastOf(times)).toMatchObject({
      frequency: 'month day 30',
      next: ['2025-03-30', '2025-04-30', '2025-05-30'],
    });
  });

  it('is kept with a repeated row, and averages the two', () => {
    const times = months(24, 1);
    expect(forecastOf([...times, times[5]!])).toMatchObject({
      frequency: 'month start',
      next: ['2022-01-01', '2022-02-01', '2022-03-01'],
      notes: ['several values of one time step were averaged'],
    });
  });

  it('is kept with missing rows', () => {
    const times = monthEnds(24).filter((_, i) => i % 5 !== 2);
    expect(forecastOf(times)).toMatchObject({
      frequency: 'month end',
      next: ['2022-01-31', '2022-02-28', '2022-03-31'],
    });
  });

  it('has the seasons of its frequency', () => {
    expect(forecastOf(months(30, 1)).periods).toEqual([12]);
    expect(forecastOf(months(30, 1, 3)).periods).toEqual([4]);
    expect(forecastOf(months(30, 1, 6)).periods).toEqual([2]);
    expect(forecastOf(months(30, 1, 12)).periods).toEqual([]);
    expect(forecastOf(days(40, '2025-01-06').filter((_, i) => i % 7 < 5)).periods).toEqual([5]);
    expect(forecastOf(days(110, '2023-01-01', 7)).periods).toEqual([52]);
  });

  it('says so if the times fit no calendar', () => {
    const times = [0, 3, 9, 11, 19, 24, 31, 33, 41, 50].map((day) => iso(Date.UTC(2026, 0, 1 + day)));
    expect(forecastOf(times).notes[0]).toMatch(/^the timestamps fit no calendar frequency; steps of .* are used/);
  });
});

describe('the time zone of a series', () => {
  const berlin = ['2025-03-27', '2025-03-28', '2025-03-29', '2025-03-30', '2025-03-31', '2025-04-01'].map(
    (day) => `${day}T00:00:00${day > '2025-03-30' ? '+02:00' : '+01:00'}`,
  );

  it('comes from the offsets of its times', () => {
    expect(forecastOf(berlin)).toMatchObject({
      frequency: 'day',
      timeZone: 'Europe/Berlin',
      next: ['2025-04-01T22:00:00.000Z', '2025-04-02T22:00:00.000Z', '2025-04-03T22:00:00.000Z'],
    });
  });

  it('comes from midnights that are written in UTC', () => {
    const utc = berlin.map((text) => new Date(text).toISOString());
    expect(forecastOf(utc)).toMatchObject({ frequency: 'day', timeZone: 'Europe/Berlin' });
  });

  it('is that of the request, also for times without an offset', () => {
    const local = berlin.map((text) => text.slice(0, 19));
    expect(forecastOf(local, undefined, 'Europe/Berlin').next[0]).toBe('2025-04-01T22:00:00.000Z');
    expect(forecastOf(local).next[0]).toBe('2025-04-02');
  });

  it('has an hour twice at the end of daylight saving time, and one less at its begin', () => {
    const texts = ['01:00', '02:00', '02:00', '03:00', '04:00'].map((time) => `2025-10-26T${time}:00`);
    const hours = (list: string[]) =>
      readTimestamps(list, 'Europe/Berlin').times.map((at) => new Date(at).toISOString().slice(8, 16));
    expect(hours(texts)).toEqual(['25T23:00', '26T00:00', '26T01:00', '26T02:00', '26T03:00']);
    expect(hours(texts.toReversed())).toEqual(['26T03:00', '26T02:00', '26T01:00', '26T00:00', '25T23:00']);
    expect(hours(['2025-03-30T01:00:00', '2025-03-30T03:00:00'])).toEqual(['30T00:00', '30T01:00']);
  });
});

describe('a requested frequency', () => {
  it.each([
    ['month end', ['2025-01-30', '2025-03-02', '2025-03-30'], 'month end', '2025-04-30'],
    ['ME', ['2025-01-31'], 'month end', '2025-02-28'],
    ['QS', ['2025-01-01', '2025-04-02'], 'quarter start', '2025-07-01'],
    ['month', ['2025-01-15', '2025-02-15', '2025-03-16'], 'month day 15', '2025-04-15'],
    ['B', ['2025-01-03', '2025-01-06'], 'business day', '2025-01-07'],
    ['week', ['2025-01-01', '2025-01-09', '2025-01-15'], 'week', '2025-01-22'],
    [
      '15 minutes',
      ['2025-01-01T00:00:00Z', '2025-01-01T00:45:00Z', '2025-01-01T01:00:00Z'],
      '15 minutes',
      '2025-01-01T01:15:00.000Z',
    ],
  ])('%s is used for %j', (words, times, frequency, next) => {
    const found = forecastOf(times, words);
    expect([found.frequency, found.next[0]]).toEqual([frequency, next]);
  });

  it('has words that are read again', () => {
    const count = fc.integer({ min: 1, max: 40 });
    const frequency = fc.oneof(
      fc.record({ unit: fc.constant('elapsed' as const), every: count.map((n) => n * 1000) }),
      fc.record({ unit: fc.constant('clock' as const), every: count.map((n) => n * 86_400_000) }),
      fc.record({
        unit: fc.constant('weekdays' as const),
        weekdays: fc.subarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }),
      }),
      fc.record({
        unit: fc.constant('month' as const),
        every: count,
        day: fc.oneof(
          fc.integer({ min: 1, max: 31 }),
          fc.constantFrom('end' as const, 'business start' as const, 'business end' as const),
        ),
      }),
    );
    fc.assert(
      fc.property(frequency, (one) => {
        expect(parseFrequency(frequencyText(one))).toEqual(one);
      }),
    );
  });

  it.each([
    '',
    'fortnight',
    'month day 32',
    '0 days',
    '2 business days',
    'W-SUN',
    'month middle',
  ])('%j is not known', (words) => {
    expect(parseFrequency(words)).toBeNull();
  });
});
