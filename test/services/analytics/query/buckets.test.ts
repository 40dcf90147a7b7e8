import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucketsOf } from '#services/analytics/query/buckets.ts';
import { dayMs, hourMs } from '#services/analytics/storage/reader.ts';
import { iso } from '../../../support/analytics.ts';

describe('calendar buckets', () => {
  const lengths = (start: string, end: string, granularity: 'HOUR' | 'DAY' | 'WEEK' | 'MONTH', zone: string) =>
    bucketsOf({ start: Date.parse(start), end: Date.parse(end) }, granularity, zone).map(
      (bucket) => (bucket.end - bucket.start) / hourMs,
    );

  it('have days of 23 and 25 hours at clock changes', () => {
    expect(lengths('2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z', 'DAY', 'Europe/Berlin')).toEqual([24, 23, 24]);
    expect(lengths('2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z', 'DAY', 'Europe/Berlin')).toEqual([24, 25, 24]);
    // The clock changes at midnight: the day starts at one in the morning.
    expect(lengths('2026-04-23T12:00:00Z', '2026-04-25T12:00:00Z', 'DAY', 'Africa/Cairo')).toEqual([24, 23, 24]);
  });

  it('have weeks from Monday and months of correct length', () => {
    const weeks = bucketsOf(
      { start: Date.parse('2026-11-18T00:00:00Z'), end: Date.parse('2026-11-24T00:00:00Z') },
      'WEEK',
      'UTC',
    );
    expect(weeks.map(({ start }) => iso(start))).toEqual(['2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z']);
    expect(
      lengths('2024-01-31T10:00:00Z', '2024-04-01T00:00:00Z', 'MONTH', 'UTC').map((length) => length / 24),
    ).toEqual([31, 29, 31]);
  });

  it('leave out the day that a zone skipped when it moved across the date line', () => {
    expect(lengths('2011-12-28T12:00:00Z', '2012-01-01T00:00:00Z', 'DAY', 'Pacific/Apia')).toEqual([24, 24, 24, 24]);
  });

  it("have hours that start at the zone's offset", () => {
    const [first] = bucketsOf(
      { start: Date.parse('2026-11-18T10:10:00Z'), end: Date.parse('2026-11-18T11:00:00Z') },
      'HOUR',
      'Asia/Kolkata',
    );
    expect(iso(first!.start)).toBe('2026-11-18T09:30:00.000Z');
  });

  it('are contiguous and cover exactly the time range', () => {
    const zones = [
      'UTC',
      'Europe/Berlin',
      'America/St_Johns',
      'Asia/Kolkata',
      'Africa/Cairo',
      'Pacific/Apia',
      'Australia/Lord_Howe',
    ];
    const time = fc.integer({ min: Date.parse('2010-01-01'), max: Date.parse('2030-01-01') });
    const granularity = fc.constantFrom('MINUTE', 'HOUR', 'DAY', 'WEEK', 'MONTH');
    fc.assert(
      fc.property(
        time,
        fc.integer({ min: 1, max: 10 * dayMs }),
        granularity,
        fc.constantFrom(...zones),
        (start, length, unit, zone) => {
          const buckets = bucketsOf({ start, end: start + length }, unit, zone);
          expect(buckets[0]!.start).toBeLessThanOrEqual(start);
          expect(buckets[0]!.end).toBeGreaterThan(start);
          expect(buckets.at(-1)!.end).toBeGreaterThanOrEqual(start + length);
          expect(buckets.at(-1)!.start).toBeLessThan(start + length);
          for (const [i, bucket] of buckets.entries()) {
            expect(bucket.end).toBeGreaterThan(bucket.start);
            if (i > 0) expect(bucket.start).toBe(buckets[i - 1]!.end);
          }
        },
      ),
    );
  });

  it('have a maximum number', () => {
    expect(() => bucketsOf({ start: 0, end: 365 * dayMs }, 'MINUTE', 'UTC')).toThrow(
      'more than 20000 buckets: use a shorter time range or a coarser granularity',
    );
  });
});
