import { createHistogram } from 'node:perf_hooks';
import { invalid } from '#kernel/errors.ts';

/** Result of a load test, with the documented names; times in milliseconds. */
export type LoadResult = {
  total_requests: number;
  successful_requests: number;
  failed_requests: number;
  /** 0 to 1. */
  success_rate: number;
  avg_response_time: number;
  min_response_time: number;
  max_response_time: number;
  p50_response_time: number;
  p95_response_time: number;
  p99_response_time: number;
  /** Requests per second. */
  throughput: number;
  start_time: string;
  end_time: string;
  duration_seconds: number;
  /** Too few requests succeeded for the result to be used. */
  low_quality: boolean;
  requests: Record<
    string,
    { total: number; failed: number; p95_response_time: number; failures: Record<string, number> }
  >;
};

const minSuccessRate = 0.95;

export type Sample = { startMs: number; elapsedMs: number; label: string; ok: boolean; error: string };

/** @throws TowerError `invalid` if there are no samples */
export function evaluateSamples(samples: readonly Sample[]): LoadResult {
  if (samples.length === 0) throw invalid('the load test made no requests', { parameter: 'jtl' });
  const [failed, start, end] = [
    samples.filter(({ ok }) => !ok).length,
    samples.reduce((least, { startMs }) => Math.min(least, startMs), Number.POSITIVE_INFINITY),
    samples.reduce((most, { startMs, elapsedMs }) => Math.max(most, startMs + elapsedMs), 0),
  ];
  const all = timesOf(samples);
  const seconds = (end - start) / 1000;
  const success = 1 - failed / samples.length;
  return {
    total_requests: samples.length,
    successful_requests: samples.length - failed,
    failed_requests: failed,
    success_rate: success,
    avg_response_time: all.mean,
    min_response_time: all.min,
    max_response_time: all.max,
    p50_response_time: all.percentile(50),
    p95_response_time: all.percentile(95),
    p99_response_time: all.percentile(99),
    throughput: seconds > 0 ? samples.length / seconds : samples.length,
    start_time: new Date(start).toISOString(),
    end_time: new Date(end).toISOString(),
    duration_seconds: seconds,
    low_quality: success < minSuccessRate,
    requests: Object.fromEntries(
      [...Map.groupBy(samples, ({ label }) => label)].map(([label, own]) => {
        const failures = own.filter(({ ok }) => !ok);
        return [
          label,
          {
            total: own.length,
            failed: failures.length,
            p95_response_time: timesOf(own).percentile(95),
            failures: Object.fromEntries(
              [...Map.groupBy(failures, ({ error }) => error)].map(([error, each]) => [error, each.length]),
            ),
          },
        ];
      }),
    ),
  };
}

/** Node's HdrHistogram starts at 1, so 0 ms counts as 1 ms. */
function timesOf(samples: readonly Sample[]) {
  const histogram = createHistogram({ figures: 3 });
  for (const { elapsedMs } of samples) histogram.record(Math.max(1, Math.round(elapsedMs)));
  return histogram;
}
