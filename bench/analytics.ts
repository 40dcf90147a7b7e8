import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { seededRandom } from '#kernel/rng.ts';
import { aggregate } from '#services/analytics/query/aggregate.ts';
import type { NewPoint } from '#services/analytics/storage/keys.ts';
import { createReader, dayMs, hourMs } from '#services/analytics/storage/reader.ts';
import { createRecorder } from '#services/analytics/storage/recorder.ts';
import { sealHours } from '#services/analytics/storage/seal.ts';
import { openMetricStore } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import { startPostgres } from '../test/support/postgres-server.ts';
import { type PlainTable, plainPostgres, plainSqlite } from './analytics/plain.ts';
import { median, type Report } from './support/report.ts';

/** Metric points compared with a plain SQL table: writes, reads, and reads during writes. */
const start = Date.UTC(2026, 9, 5);
const [seriesCount, stepMs] = [100, 30_000];
/** Time range of queries, in days. */
const askedDays = 7;
const never = new AbortController().signal;

/**
 * Days of 100 series every 30 s: 2,016,000 points, and ten times as many. The larger stores take long and run only if
 * named.
 */
const sizes = { sqlite: 7, postgres: 7, 'sqlite-20m': 70, 'postgres-20m': 70 };

export async function bench(report: Report, only?: string): Promise<void> {
  for (const [name, days] of Object.entries(sizes)) {
    if (only === undefined ? name.endsWith('20m') : only !== name && only !== 'analytics') continue;
    const directory = mkdtempSync(join(tmpdir(), 'tower-bench-'));
    try {
      if (name.startsWith('sqlite'))
        await measure(report, name, days, { directory }, plainSqlite(join(directory, 'plain.db')));
      else await overPostgres(report, name, days);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

async function overPostgres(report: Report, name: string, days: number): Promise<void> {
  const server = await startPostgres();
  if (!server) return report.note(`${name}: NOT MEASURED, there is no PostgreSQL here`);
  try {
    const plain = await plainPostgres(server.url);
    await measure(report, name, days, { directory: '', databaseUrl: server.url }, plain);
  } finally {
    await server.stop();
  }
}

async function measure(report: Report, name: string, days: number, place: Place, plain: PlainTable): Promise<void> {
  const store = await openMetricStore(place);
  const recorder = createRecorder({ store, maxSeries: 1000 });
  const [ours, theirs] = await fill(recorder, plain, days, (until) => sealHours(store, until, never));
  const points = (seriesCount * days * dayMs) / stepMs;
  report.note(
    `${name}: ${points} points; in batches of 1,000: ${rate(points, ours.seconds)}, plain SQL ${rate(points, theirs.seconds)}; sealed in ${ours.sealSeconds.toFixed(1)} s`,
  );
  report.atMost(`${name}: time to record in batches, relative to plain SQL`, ours.seconds / theirs.seconds, 4);
  const single = await seconds(async () => {
    for (let i = 0; i < 2_000; i += 1) await recorder.record([pointAt(0, days * dayMs + i * 1000)]);
  });
  const together = await seconds(async () => {
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => recorder.record([pointAt(1, days * dayMs + i * 1000)])));
  });
  report.note(`one point a call: ${rate(2_000, single)} one after another, ${rate(2_000, together)} at once`);
  const reader = createReader(store);
  const from = start + (days - askedDays) * dayMs;
  const ask = (resource?: string) =>
    aggregate(reader, 0, {
      metric: 'cpu',
      ...(resource === undefined ? {} : { resource }),
      start: new Date(from).toISOString(),
      end: new Date(from + askedDays * dayMs).toISOString(),
      percentiles: '95',
    });
  const one = await times(20, () => ask('r7'));
  const oneSql = await times(20, () => plain.hourly('r7', from, from + askedDays * dayMs));
  report.note(`one series by hours with p95: ${one.toFixed(1)} ms, plain SQL ${oneSql.toFixed(1)} ms`);
  report.atMost(`${name}: one series over 7 days by hours with p95, relative to plain SQL`, one / oneSql, 1);
  const all = await times(2, () => ask());
  const allSql = await times(2, () => plain.hourly(null, from, from + askedDays * dayMs));
  report.note(`all ${seriesCount} series: ${all.toFixed(0)} ms, plain SQL ${allSql.toFixed(0)} ms`);
  report.atMost(`${name}: all series over 7 days by hours with p95, relative to plain SQL`, all / allSql, 1);
  const ourBytes =
    place.databaseUrl === undefined
      ? statSync(join(place.directory, 'metrics.db')).size
      : await plain.sizeOf('series', 'points', 'rollups');
  report.atMost(`${name}: bytes on disk, relative to the plain table`, ourBytes / (await plain.bytes()), 1);
  await whileIngesting(report, name, recorder, start + (days + 1) * dayMs, () => ask('r7'));
  await store.close();
  await plain.close();
}

const pointAt = (series: number, ms: number): NewPoint => ({
  metric: 'cpu',
  resource: `r${series}`,
  labels: {},
  at: start + ms,
  value: Math.round(1000 * (50 + 20 * Math.sin(ms / 3e7 + series) + 5 * noise())) / 1000,
});
const noise = seededRandom(3);

/** Both get the same points, hour by hour, in batches of 1,000. */
async function fill(
  recorder: ReturnType<typeof createRecorder>,
  plain: PlainTable,
  days: number,
  seal: (until: number) => Promise<void>,
) {
  const [ours, theirs] = [{ seconds: 0, sealSeconds: 0 }, { seconds: 0 }];
  for (let hour = 0; hour < days * dayMs; hour += hourMs) {
    const points = Array.from({ length: hourMs / stepMs }, (_, i) =>
      Array.from({ length: seriesCount }, (__, series) => pointAt(series, hour + i * stepMs)),
    ).flat();
    for (let from = 0; from < points.length; from += 1_000) {
      const batch = points.slice(from, from + 1_000);
      ours.seconds += await seconds(() => recorder.record(batch));
      theirs.seconds += await seconds(() => plain.insert(batch));
    }
    if (hour % dayMs === 0) ours.sealSeconds += await seconds(() => seal(start + hour));
  }
  ours.sealSeconds += await seconds(() => seal(start + (days + 1) * dayMs));
  return [ours, theirs] as const;
}

/** Query latency and event loop delay while 5,000 points per second arrive. */
async function whileIngesting(
  report: Report,
  name: string,
  recorder: ReturnType<typeof createRecorder>,
  first: number,
  ask: () => Promise<unknown>,
) {
  const quiet = await times(20, ask);
  let going = true;
  let at = first - start;
  const ingest = (async () => {
    while (going) {
      const begun = performance.now();
      at += 1000;
      await recorder.record(
        Array.from({ length: 500 }, (_, i) => pointAt(i % seriesCount, at + Math.floor(i / seriesCount))),
      );
      await setTimeout(Math.max(0, 100 - (performance.now() - begun)));
    }
  })();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const busy = await times(40, async () => {
    await setTimeout(20);
    await ask();
  });
  delay.disable();
  going = false;
  await ingest;
  report.note(
    `${name}: the same question while 5,000 points a second come in: ${(busy - 20).toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms`,
  );
  report.atMost(`${name}: longest hold of the event loop meanwhile, ms`, delay.max / 1e6, 50);
}

const rate = (count: number, spent: number): string => `${Math.round(count / spent)} points/s`;

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** Median milliseconds. */
async function times(count: number, work: () => Promise<unknown>): Promise<number> {
  const all: number[] = [];
  for (let i = 0; i < count; i += 1) all.push(1000 * (await seconds(work)));
  return median(all);
}
