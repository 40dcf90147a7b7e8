import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { createForecast, forecastWorker } from '#services/forecast/forecast.ts';
import { ownAdviser } from '#services/rightsizing/backtest/backtest.ts';
import { type Outcome, replay } from '#services/rightsizing/backtest/replay.ts';
import { type DayAhead, dayByForecast } from '#services/rightsizing/capacity/forecast-demand.ts';
import { confidenceOf } from '#services/rightsizing/sizers/coverage.ts';
import { day, partOf, type Usage } from '#services/rightsizing/usage.ts';
import { directoryOf, filesOf } from '../support/data.ts';

/** Requests of web servers as demand: sized day by day by the sizer, and by the forecast engine. */

const minute = 60_000;
const stepMs = 5 * minute;

/** Requests per second from counts per minute, as 5-minute means; NaN in gaps. */
function rateOf(file: string): Usage {
  const lines = readFileSync(join(directoryOf('requests'), file), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  const counts = lines.map((line) => {
    const [time = '', count] = line.split(',');
    return { at: Date.parse(`${time.replace(' ', 'T')}Z`), count: Number(count) };
  });
  const startMs = counts[0]!.at;
  const size = Math.floor((counts.at(-1)!.at - startMs) / stepMs);
  const [sums, known] = [new Float64Array(size), new Float64Array(size)];
  for (const { at, count } of counts) {
    const i = Math.floor((at - startMs) / stepMs);
    if (i >= size) continue;
    sums[i]! += count / 60;
    known[i]! += 1;
  }
  return { startMs, stepMs, values: sums.map((sum, i) => (known[i] === 0 ? Number.NaN : sum / known[i]!)) };
}

/** Each series of requests in parts of two weeks, as a recommendation sees it; null: too short for a replay. */
export async function demandOfRequests(): Promise<Record<string, Outcome | null>> {
  const found: Record<string, Outcome | null> = {};
  for (const file of filesOf('requests', /\.csv$/))
    for (const [name, outcome] of Object.entries(await demandOf(rateOf(file)))) found[`${file}, ${name}`] = outcome;
  return found;
}

async function demandOf(usage: Usage): Promise<Record<string, Outcome | null>> {
  const settings = { horizonMs: day, warmUpMs: 8 * day, weight: 20, allowed: 0.05, least: 0.01 };
  const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 64 });
  const forecaster = createForecast({ pool, timeoutMs: 60_000, build: 'simd' });
  const perDay = day / stepMs;
  const levels = new Map<number, DayAhead | null>();
  for (let end = 8 * perDay; end <= usage.values.length; end += perDay)
    levels.set(end, await dayByForecast(forecaster, partOf(usage, end - 14 * perDay, end), 0.05));
  await pool.close();
  const engine = replay(
    usage,
    'cpu',
    ({ values }) => {
      const known = levels.get(values.length);
      return { request: known?.level ?? null, confidence: known ? confidenceOf(known.confidences) : null };
    },
    settings,
  );
  const sizer = replay(usage, 'cpu', ownAdviser('cpu', stepMs, day, 0.01), settings);
  return { 'forecast engine': engine, sizer };
}
