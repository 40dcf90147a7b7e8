import { invalid } from '#kernel/errors.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import { withTimeout } from '../in-time.ts';
import { day, horizonMsOf, hour, strideOf, type Usage } from '../usage.ts';
import type { BacktestAnswer, BacktestRequest } from './backtest-schemas.ts';

/** Backtests of all strategies on one series, computed in a worker thread. */

export type Deps = { pool: WorkerPool; timeoutMs: number };

/** @throws TowerError `invalid` for a series too short, `unavailable` */
export const backtestSeries = (
  deps: Deps,
  { values, step_seconds, start, ...request }: BacktestRequest,
  disconnected?: AbortSignal,
): Promise<BacktestAnswer> => backtestUsage(deps, usageOf(values, step_seconds * 1000, start), request, disconnected);

/** @throws as `backtestSeries` */
export async function backtestUsage(
  { pool, timeoutMs }: Deps,
  requested: Usage,
  request: Omit<BacktestRequest, 'values' | 'step_seconds'>,
  disconnected?: AbortSignal,
): Promise<BacktestAnswer> {
  const { resource, warm_up_days, own_floors, title } = request;
  const horizonMs = horizonMsOf[request.horizon];
  const usage = knownPart(requested);
  refuseShort(usage, horizonMs, warm_up_days * day);
  const settings = { resource, horizonMs, warmUpMs: warm_up_days * day, floors: own_floors };
  const task = { usage, settings, strategies: request.strategies ?? null, title };
  type Result = Pick<BacktestAnswer, 'summaries' | 'recommendation' | 'picture'>;
  const result = await withTimeout(timeoutMs, disconnected, (signal) =>
    pool.run<Result>('runBacktest', task, { signal }),
  );
  return {
    resource,
    horizon_seconds: horizonMs / 1000,
    step_seconds: usage.stepMs / 1000,
    samples: usage.values.filter((value) => !Number.isNaN(value)).length,
    windows: Math.floor((usage.values.length * usage.stepMs - warm_up_days * day) / horizonMs),
    ...result,
  };
}

const usageOf = (values: (number | null)[], stepMs: number, start: string | undefined): Usage => ({
  startMs: start === undefined ? 0 : Date.parse(start),
  stepMs,
  values: Float64Array.from(values, (value) => value ?? Number.NaN),
});

function refuseShort({ stepMs, values }: Usage, horizonMs: number, warmUpMs: number): void {
  const strideMs = strideOf(horizonMs);
  if (strideMs % stepMs !== 0)
    throw invalid(`step_seconds must divide ${strideMs / 1000}`, { parameter: 'step_seconds' });
  const needed = Math.ceil((warmUpMs + horizonMs) / stepMs);
  if (values.length < needed)
    throw invalid(
      `${values.length} values of ${stepMs / 1000} s are too few: ${warmUpMs / day} days of warm-up (warm_up_days) and one horizon require ${needed}`,
      {
        parameter: 'values',
      },
    );
  const known = values.filter((value) => !Number.isNaN(value)).length;
  if (known < values.length / 2)
    throw invalid(`only ${known} of ${values.length} values are known; at least half is required`, {
      parameter: 'values',
    });
}

/** Cuts unknown values at both ends; a few at the start stay, since rates begin with them. */
function knownPart({ startMs, stepMs, values }: Usage): Usage {
  const isKnown = (value: number) => !Number.isNaN(value);
  const first = values.findIndex(isKnown);
  const from = first * stepMs > hour ? first : 0;
  return { startMs: startMs + from * stepMs, stepMs, values: values.subarray(from, values.findLastIndex(isKnown) + 1) };
}
