import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { aggregate } from '../services/analytics/aggregate.ts';
import type { NewPoint } from '../services/analytics/keys.ts';
import { createReader, dayMs, hourMs } from '../services/analytics/reader.ts';
import { createRecorder } from '../services/analytics/recorder.ts';
import { sealHours } from '../services/analytics/seal.ts';
import { seededRandom } from '../src/kernel/rng.ts';
import { openMetricStore } from '../src/store/store.ts';
import { median, type Report } from './support/report.ts';

/** Metric points beside the plain SQL table they would otherwise stand in: in, out, and out while more come in. */
const start = Date.UTC(2026, 9, 5);
const [seriesCount, days, stepMs] = [100, 7, 30_000];
const never = new AbortController().signal;

export async function bench(report: Report, only?: string): Promise<void> {
  if (only !== undefined && only !== 'analytics') return;
  const folder = mkdtempSync(join(tmpdir(), 'tower-bench-'));
  try {
    await measure(report, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(report: Report, folder: string): Promise<void> {
  const store = await openMetricStore({ directory: folder });
  const recorder = createRecorder({ store, mostSeries: 1000 });
  const plain = plainTable(folder);
  const [ours, theirs] = await fill(recorder, plain, () => sealHours(store, start + (days + 1) * dayMs, never));
  const points = (seriesCount * days * dayMs) / stepMs;
  report.note(
    `analytics: ${points} points; in batches of 1,000: ${rate(points, ours.seconds)}, plain SQL ${rate(points, theirs.seconds)}; sealed in ${ours.sealSeconds.toFixed(1)} s`,
  );
  report.atMost('time to record in batches, in times of plain SQL', ours.seconds / theirs.seconds, 4);
  const single = await seconds(async () => {
    for (let i = 0; i < 2_000; i += 1) await recorder.record([pointAt(0, days * dayMs + i * 1000)]);
  });
  const together = await seconds(async () => {
    await Promise.all(Array.from({ length: 2_000 }, (_, i) => recorder.record([pointAt(1, days * dayMs + i * 1000)])));
  });
  report.note(`one point a call: ${rate(2_000, single)} one after another, ${rate(2_000, together)} at once`);
  const reader = createReader(store);
  const ask = (resource?: string) =>
    aggregate(reader, 0, {
      metric: 'cpu',
      ...(resource === undefined ? {} : { resource }),
      start: new Date(start).toISOString(),
      end: new Date(start + days * dayMs).toISOString(),
      percentiles: '95',
    });
  const one = await times(20, () => ask('r7'));
  const oneSql = await times(20, async () => plain.hourly(7));
  report.note(`one series by hours with p95: ${one.toFixed(1)} ms, plain SQL ${oneSql.toFixed(1)} ms`);
  report.atMost('one series over 7 days by hours with p95, in times of plain SQL', one / oneSql, 1);
  const all = await times(2, () => ask());
  const allSql = await times(2, async () => plain.hourly(null));
  report.note(`all ${seriesCount} series: ${all.toFixed(0)} ms, plain SQL ${allSql.toFixed(0)} ms`);
  report.atMost('all series over 7 days by hours with p95, in times of plain SQL', all / allSql, 1);
  const bytes = (name: string) => statSync(join(folder, name)).size;
  report.atMost('bytes on disk, in times of the plain table', bytes('metrics.db') / bytes('plain.db'), 1);
  await whileIngesting(report, recorder, () => ask('r7'));
  await store.close();
  plain.close();
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
  plain: ReturnType<typeof plainTable>,
  seal: () => Promise<void>,
) {
  const [ours, theirs] = [{ seconds: 0, sealSeconds: 0 }, { seconds: 0 }];
  for (let hour = 0; hour < days * dayMs; hour += hourMs) {
    const points = Array.from({ length: hourMs / stepMs }, (_, i) =>
      Array.from({ length: seriesCount }, (__, series) => pointAt(series, hour + i * stepMs)),
    ).flat();
    for (let from = 0; from < points.length; from += 1_000) {
      const batch = points.slice(from, from + 1_000);
      ours.seconds += await seconds(() => recorder.record(batch));
      theirs.seconds += await seconds(async () => plain.insert(batch));
    }
    if (hour % dayMs === 0) ours.sealSeconds += await seconds(seal);
  }
  ours.sealSeconds += await seconds(seal);
  return [ours, theirs] as const;
}

/** What anybody would write first: a row a point, an index, SQL. */
function plainTable(folder: string) {
  const file = new DatabaseSync(join(folder, 'plain.db'));
  file.exec('pragma journal_mode = wal; pragma synchronous = normal');
  file.exec('create table points (series text, at integer, value real, primary key (series, at)) without rowid');
  const statement = file.prepare(
    'insert into points values (?, ?, ?) on conflict do update set value = excluded.value',
  );
  const hourly = (where: string) => `
    select hour, count(*), avg(value), min(value), max(value),
      max(case when place <= 1 + 0.95 * (total - 1) then value end)
    from (select at / 3600000 as hour, value,
        row_number() over (partition by at / 3600000 order by value) as place, count(*) over (partition by at / 3600000) as total
      from points where ${where} at >= ? and at < ?)
    group by hour`;
  const [one, all] = [file.prepare(hourly('series = ? and')), file.prepare(hourly(''))];
  const span = [start, start + days * dayMs] as const;
  return {
    insert: (points: NewPoint[]) => {
      file.exec('begin');
      for (const { resource, at, value } of points) statement.run(resource, at, value);
      file.exec('commit');
    },
    hourly: (series: number | null) => (series === null ? all.all(...span) : one.all(`r${series}`, ...span)),
    close: () => file.close(),
  };
}

/** How long a question takes, and how long the event loop is held, while 5,000 points a second come in. */
async function whileIngesting(
  report: Report,
  recorder: ReturnType<typeof createRecorder>,
  ask: () => Promise<unknown>,
) {
  const quiet = await times(20, ask);
  let going = true;
  let at = (days + 1) * dayMs;
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
    `the same question while 5,000 points a second come in: ${(busy - 20).toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms`,
  );
  report.atMost('longest hold of the event loop meanwhile, ms', delay.max / 1e6, 50);
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
