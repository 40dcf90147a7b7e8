import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
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
  /** Of JMeter: transactions, which are no requests, and how many failed without a row for any of their requests. */
  transactions?: number;
  failed_transactions?: number;
  /** Of JMeter: the last row was left out, because it was cut off. */
  incomplete_last_row?: boolean;
};

/** Results with fewer successful requests are not usable. */
export const minSuccessRate = 0.95;

/** `count`: requests of the sample, default 1, of which `failed` failed; `elapsedMs` is then their sum. */
export type Sample = {
  startMs: number;
  elapsedMs: number;
  label: string;
  ok: boolean;
  error: string;
  count?: number;
  failed?: number;
};

/** Labels, and errors of a label, that are counted by themselves; a server can answer with any number of texts. */
const [maxLabels, maxErrors] = [200, 100];
const otherName = 'other';
/** A day in milliseconds: memory of a histogram grows with its range. */
const maxMs = 86_400_000;

type OfLabel = { total: number; failed: number; times: RecordableHistogram; failures: Map<string, number> };

export type Evaluation = ReturnType<typeof createEvaluation>;

/** Evaluates samples one at a time: memory does not grow with their number. */
export function createEvaluation() {
  const all = { ...emptyLabel(), start: Number.POSITIVE_INFINITY, end: 0 };
  const labels = new Map<string, OfLabel>();
  return {
    count: () => all.total,
    add: (sample: Sample): void => {
      all.start = Math.min(all.start, sample.startMs);
      all.end = Math.max(all.end, sample.startMs + sample.elapsedMs);
      const label = labels.has(sample.label) || labels.size < maxLabels ? sample.label : otherName;
      const one = labels.get(label) ?? emptyLabel();
      labels.set(label, one);
      for (const each of [all, one]) addTo(each, sample);
    },
    /** @throws TowerError `invalid` if there are no samples */
    result: (): LoadResult => {
      if (all.total === 0) throw invalid('the load test made no requests', { parameter: 'jtl' });
      const { total, failed, times, start, end } = all;
      const seconds = (end - start) / 1000;
      const success = 1 - failed / total;
      return {
        total_requests: total,
        successful_requests: total - failed,
        failed_requests: failed,
        success_rate: success,
        avg_response_time: times.mean,
        min_response_time: times.min,
        max_response_time: times.max,
        p50_response_time: times.percentile(50),
        p95_response_time: times.percentile(95),
        p99_response_time: times.percentile(99),
        throughput: seconds > 0 ? total / seconds : total,
        start_time: new Date(start).toISOString(),
        end_time: new Date(end).toISOString(),
        duration_seconds: seconds,
        low_quality: success < minSuccessRate,
        requests: Object.fromEntries(
          [...labels].map(([label, one]) => [
            label,
            {
              total: one.total,
              failed: one.failed,
              p95_response_time: one.times.percentile(95),
              failures: Object.fromEntries(one.failures),
            },
          ]),
        ),
      };
    },
  };
}

const emptyLabel = (): OfLabel => ({
  total: 0,
  failed: 0,
  times: createHistogram({ figures: 3, highest: maxMs }),
  failures: new Map(),
});

function addTo(one: OfLabel, { elapsedMs, ok, error, count = 1, failed = ok ? 0 : count }: Sample): void {
  one.total += count;
  // Node's HdrHistogram starts at 1, so 0 ms counts as 1 ms.
  const each = Math.min(maxMs, Math.max(1, Math.round(elapsedMs / count)));
  for (let i = 0; i < count; i += 1) one.times.record(each);
  if (failed === 0) return;
  one.failed += failed;
  const name = one.failures.has(error) || one.failures.size < maxErrors ? error : otherName;
  one.failures.set(name, (one.failures.get(name) ?? 0) + failed);
}
