import { createWorkerPool } from '#kernel/worker-pool.ts';
import { createForecast, forecastWorker } from '#services/forecast/forecast.ts';
import { calibrationError, type Outcome } from '#services/rightsizing/backtest/replay.ts';
import { dayByForecast, type Forecaster } from '#services/rightsizing/capacity/forecast-demand.ts';
import { confidenceOf } from '#services/rightsizing/sizers/coverage.ts';
import { day, partOf, type Usage } from '#services/rightsizing/usage.ts';
import type { Trace } from './series.ts';

/** Calibration of day-ahead forecasts: real series as traffic, day by day by the forecast engine. */

const stepMs = 300_000;

export type DayAheadScore = { days: number; above: number; error: number };

/** Each day from the two weeks before it, as in a recommendation. */
export async function scoreDayAhead(traces: readonly Trace[], violation: number): Promise<DayAheadScore> {
  const pool = createWorkerPool(forecastWorker, { threads: 1, queue: 64 });
  const forecaster = remembering(createForecast({ pool, timeoutMs: 60_000, build: 'simd' }));
  const stated: Outcome['stated'] = [];
  let [above, samples] = [0, 0];
  for (const { usage } of traces) {
    const rate = inSteps(usage);
    const perDay = day / stepMs;
    for (let end = 8 * perDay; end + perDay <= rate.values.length; end += perDay) {
      const ahead = await dayByForecast(forecaster, partOf(rate, end - 14 * perDay, end), violation);
      const came = rate.values.subarray(end, end + perDay).filter((value) => !Number.isNaN(value));
      if (!ahead || came.length === 0) continue;
      const over = came.filter((value) => value > ahead.level).length;
      [above, samples] = [above + over, samples + came.length];
      stated.push({ confidence: confidenceOf(ahead.confidences), kept: over <= violation * came.length });
    }
  }
  await pool.close();
  return { days: stated.length, above: above / samples, error: calibrationError(stated) };
}

/** Caches forecasts: the correction repeats those of earlier days. */
function remembering(forecaster: Forecaster): Forecaster {
  const known = new Map<string, ReturnType<Forecaster['forecast']>>();
  return {
    forecast: (question) => {
      const key = JSON.stringify(question);
      const answer = known.get(key) ?? forecaster.forecast(question);
      known.set(key, answer);
      return answer;
    },
  };
}

/** 5-minute means. */
function inSteps({ startMs, stepMs: own, values }: Usage): Usage {
  const per = Math.max(1, Math.round(stepMs / own));
  const means = Float64Array.from({ length: Math.floor(values.length / per) }, (_, i) => {
    const part = values.subarray(i * per, (i + 1) * per).filter((value) => !Number.isNaN(value));
    return part.length === 0 ? Number.NaN : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  return { startMs, stepMs, values: means };
}
