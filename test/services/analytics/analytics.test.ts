import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createReader, dayMs, hourMs, type Series } from '#services/analytics/storage/reader.ts';
import { createRecorder } from '#services/analytics/storage/recorder.ts';
import { analyticsIn, iso, never } from '../../support/analytics.ts';
import { temporaryDirectory } from '../../support/tower.ts';

const row = (at: number, value: number) => ({ metric: 'cpu', resource: 'node-1', value, timestamp: iso(at) });
const spans = (...edges: number[]) => edges.slice(0, -1).map((start, i) => ({ start, end: edges[i + 1]! }));

describe('recording', () => {
  it('validates each row independently and reports the reason', async () => {
    const { analytics, now } = analyticsIn();
    const answer = await analytics.record({
      metrics: [
        { metric_type: 'CPU_USAGE', resource_id: 'node-1', value: 45.5, tags: { host: 'a' } },
        { metric_name: 'loss', component: 'training', value: 'low' },
        { resource: 'x', value: 1 },
        { metric: 'a', metric_name: 'b', resource: 'x', value: 1 },
        row(now + 2 * hourMs, 1),
        row(now - 2000 * dayMs, 1),
        { ...row(now, 1), colour: 'red' },
        { ...row(now, 1), value: Number.POSITIVE_INFINITY },
        7,
        { metric: 'cpu', resource: '名前 🚀', value: -0.5, labels: { ünï: 'ço' } },
      ],
    });
    expect(answer).toMatchObject({ recorded: 2, refused: 8 });
    expect(answer.results.map(({ field, reason }) => [field, reason])).toEqual([
      [null, null],
      ['value', 'value must be a finite number'],
      ['metric', 'metric is missing'],
      ['metric_name', 'metric_name is an alias of metric and must have the same value (got "b")'],
      ['timestamp', 'timestamp must be at most an hour in the future'],
      ['timestamp', 'timestamp must be at most 1825 days ago, the maximum retention'],
      ['colour', 'colour is not a known field'],
      ['value', 'value must be a finite number'],
      ['', 'a point must be an object'],
      [null, null],
    ]);
    expect((await analytics.series({})).series).toEqual([
      { metric: 'CPU_USAGE', resource: 'node-1', labels: { host: 'a' } },
      { metric: 'cpu', resource: '名前 🚀', labels: { ünï: 'ço' } },
    ]);
  });

  it('keeps points across restarts, and the last of two with the same time', async () => {
    const directory = temporaryDirectory();
    const { analytics, store, now } = analyticsIn(directory);
    await analytics.record(row(now - 5, 1));
    await analytics.record({ metrics: [row(now - 5, 2), row(now - 9, 7), row(now - 5, 3)] });
    await store.close();
    const { points } = await analyticsIn(directory).analytics.points({});
    expect(points.map(({ timestamp, value }) => [timestamp, value])).toEqual([
      [iso(now - 5), 3],
      [iso(now - 9), 7],
    ]);
  });

  it('refuses series beyond the maximum without affecting concurrent posts', async () => {
    const { analytics } = analyticsIn(temporaryDirectory(), 1);
    const post = (resource: string) => analytics.record({ metric: 'cpu', resource, value: 1 });
    await post('a');
    const [refused, taken] = await Promise.all([post('b'), post('a')]);
    expect(refused).toMatchObject({
      recorded: 0,
      results: [
        {
          recorded: false,
          field: 'labels',
          reason: expect.stringMatching(/METRICS_MAX_SERIES/),
        },
      ],
    });
    expect(taken).toMatchObject({ recorded: 1, refused: 0 });
    const mixed = await analytics.record({
      metrics: [
        { metric: 'cpu', resource: 'c', value: 1 },
        { metric: 'cpu', resource: 'a', value: 2 },
      ],
    });
    expect(mixed.results.map(({ recorded }) => recorded)).toEqual([false, true]);
  });

  it('keeps the bits of a stale marker', async () => {
    const { store, now } = analyticsIn();
    const marker = new Float64Array(BigUint64Array.of(0x7ff0000000000002n).buffer);
    await createRecorder({ store, maxSeries: 9 }).record([
      { metric: 'up', resource: 'a', labels: {}, at: now, value: marker[0]! },
    ]);
    const reader = createReader(store);
    const [series] = await reader.find({});
    const { values } = await reader.points(series!.id, { start: now, end: now + 1 });
    expect(new BigUint64Array(values.slice().buffer)).toEqual(BigUint64Array.of(0x7ff0000000000002n));
  });
});

describe('sealed hours', () => {
  it('have the same aggregates as their points, with late and replaced points', async () => {
    const at = fc.integer({ min: 0, max: 6 * 3600 });
    const batch = fc.array(
      fc.tuple(
        at,
        fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((x) => x + 0),
      ),
      {
        minLength: 1,
        maxLength: 40,
      },
    );
    await fc.assert(
      fc.asyncProperty(
        batch,
        batch,
        fc.array(fc.integer({ min: 1, max: 6 * 3600 - 1 }), { maxLength: 5 }),
        async (first, late, cuts) => {
          const { analytics, store, clock, now } = analyticsIn();
          const origin = Math.floor(now / hourMs) * hourMs - 6 * hourMs;
          const post = (list: [number, number][]) =>
            analytics.record({ metrics: list.map(([second, value]) => row(origin + second * 1000, value)) });
          await post(first);
          await clock.advance(2 * hourMs);
          await analytics.seal(never);
          await post(late);
          const reader = createReader(store);
          const [{ id }] = (await reader.find({})) as [Series];
          const edges = [...new Set([0, ...cuts, 6 * 3600 + 1])]
            .sort((a, b) => a - b)
            .map((second) => origin + second * 1000);
          const truth = new Map([...first, ...late].map(([second, value]) => [origin + second * 1000, value]));
          const check = async () => {
            const { summaries, crossesBucketEdge } = await reader.summaries(id, spans(...edges));
            expect(crossesBucketEdge).toBe(false);
            for (const [i, { start, end }] of spans(...edges).entries()) {
              const within = [...truth].filter(([time]) => time >= start && time < end).map(([, value]) => value);
              expect(summaries[i]!.count).toBe(within.length);
              expect(summaries[i]!.sum).toBeCloseTo(
                within.reduce((a, b) => a + b, 0),
                6,
              );
              if (within.length > 0)
                expect(summaries[i]).toMatchObject({ min: Math.min(...within), max: Math.max(...within) });
            }
            const { times, values } = await reader.points(id, { start: origin, end: origin + 7 * hourMs });
            expect([...times].map((time, i) => [time, values[i]])).toEqual([...truth].sort(([a], [b]) => a - b));
          };
          await check();
          await analytics.seal(never);
          await check();
          expect(await (await store.db()).selectFrom('points').selectAll().execute()).toEqual([]);
        },
      ),
      { numRuns: process.env['SOAK'] === '1' ? 200 : 20 },
    );
  });

  it('are sealed by series: one that cannot be sealed does not block others', async () => {
    const { analytics, store, clock, now } = analyticsIn();
    const huge = (resource: string, value: number, at: number) => ({ metric: 'x', resource, labels: {}, at, value });
    await createRecorder({ store, maxSeries: 9 }).record([
      huge('a', 1e308, now - 5),
      huge('a', 1e308, now - 4),
      huge('a', 3, now - 3),
      huge('b', 7, now - 2),
    ]);
    await clock.advance(2 * hourMs);
    await analytics.seal(never);
    const { groups } = await analytics.aggregate({ metric: 'x', group_by: 'series', start: iso(now - hourMs) });
    expect(groups.map(({ buckets }) => buckets.map(({ count, sum, stddev }) => [count, sum, stddev]))).toEqual([
      [[1, 3, 0]],
      [[1, 7, 0]],
    ]);
    expect((await analytics.points({ metric: 'x', resource: 'a' })).points.map(({ value }) => value)).toEqual([
      3, 1e308, 1e308,
    ]);
  });

  it('return the latest points first, sealed or not', async () => {
    const { analytics, clock, now } = analyticsIn();
    const at = (k: number) => now - 5 * hourMs + k * 900_000;
    const rows = Array.from({ length: 20 }, (_, k) => ({ ...row(at(k), k), resource: k % 2 === 0 ? 'a' : 'b' }));
    await analytics.record({ metrics: rows.filter((_, k) => k !== 7) });
    await clock.advance(2 * hourMs);
    await analytics.seal(never);
    await analytics.record({
      metrics: [rows[7]!, { ...rows[4]!, value: 44 }, { ...row(now + hourMs, 99), resource: 'a' }],
    });
    const values = async (limit: string) => {
      const { points, truncated } = await analytics.points({ metric: 'cpu', limit });
      return [points.map(({ value }) => value), truncated];
    };
    expect(await values('3')).toEqual([[99, 19, 18], true]);
    expect(await values('21')).toEqual([
      [99, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 44, 3, 2, 1, 0],
      false,
    ]);
    expect((await values('17'))[0]).toEqual([99, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 44]);
  });

  it('become days, which expire; an hour across an edge is reported', async () => {
    const { analytics, store, clock, now } = analyticsIn();
    const day = Math.floor(now / dayMs) * dayMs;
    await analytics.record({ metrics: [row(day - dayMs + 1, 1), row(day - dayMs + hourMs * 5, 3), row(day - 1, 5)] });
    const reader = createReader(store);
    const within = async (...edges: number[]) => {
      const [{ id }] = (await reader.find({})) as [Series];
      const { summaries, crossesBucketEdge } = await reader.summaries(id, spans(...edges));
      return {
        counts: summaries.map(({ count }) => count),
        sums: summaries.map(({ sum }) => sum),
        torn: crossesBucketEdge,
      };
    };
    await clock.advance(40 * dayMs);
    await analytics.seal(never);
    await analytics.deleteExpired(never);
    const half = day - dayMs + hourMs * 5 + hourMs / 2;
    expect(await within(day - dayMs, half, day)).toEqual({ counts: [2, 1], sums: [4, 5], torn: true });
    expect((await analytics.points({ start: iso(day - dayMs), end: iso(day) })).points).toEqual([]);
    await clock.advance(400 * dayMs);
    await analytics.deleteExpired(never);
    expect(await within(day - dayMs, day)).toEqual({ counts: [3], sums: [9], torn: false });
    await clock.advance(1800 * dayMs);
    await analytics.deleteExpired(never);
    expect(await reader.find({})).toEqual([]);
    // A deleted series may return, and is not confused with one created meanwhile.
    await analytics.record({ metric: 'cpu', resource: 'other', value: 2 });
    await analytics.record({ metric: 'cpu', resource: 'node-1', value: 1 });
    const { points } = await analytics.points({});
    expect(Object.fromEntries(points.map(({ resource, value }) => [resource, value]))).toEqual({
      'node-1': 1,
      other: 2,
    });
  });
});

describe('aggregates', () => {
  it('combine all series, or are by resource, or by series', async () => {
    const { analytics, now } = analyticsIn();
    const start = Math.floor(now / hourMs) * hourMs - hourMs;
    const post = (resource: string, zone: string, value: number) => ({
      metric: 'cpu',
      resource,
      labels: { zone },
      value,
      timestamp: iso(start + value),
    });
    await analytics.record({ metrics: [post('a', 'x', 1), post('a', 'y', 3), post('b', 'x', 8)] });
    const ask = async (group_by: string) =>
      (await analytics.aggregate({ metric: 'cpu', group_by, start: iso(start), percentiles: '50' })).groups.map(
        ({ resource, labels, series, buckets }) => [
          resource,
          labels,
          series,
          buckets.map(({ count, sum }) => [count, sum]),
        ],
      );
    expect(await ask('none')).toEqual([[null, null, 3, [[3, 12]]]]);
    expect(await ask('resource')).toEqual([
      ['a', null, 2, [[2, 4]]],
      ['b', null, 1, [[1, 8]]],
    ]);
    expect((await ask('series')).length).toBe(3);
    const { groups } = await analytics.aggregate({
      metric: 'cpu',
      label: 'zone:x',
      start: iso(start),
      percentiles: '0,100',
    });
    expect(groups[0]!.buckets).toMatchObject([
      { count: 2, mean: 4.5, min: 1, max: 8, stddev: 3.5, percentiles: { p0: 1, p100: 8 }, start: iso(start) },
    ]);
  });
});
