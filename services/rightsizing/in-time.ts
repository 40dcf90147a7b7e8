import { unavailable } from '#kernel/errors.ts';

/** Runs work with a time limit, and ends it when the client disconnects. @throws TowerError `unavailable` on timeout */
export async function withTimeout<Result>(
  timeoutMs: number,
  disconnected: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limit = AbortSignal.timeout(timeoutMs);
  return work(disconnected ? AbortSignal.any([limit, disconnected]) : limit).catch((error: unknown) => {
    if ((error as Error).name !== 'TimeoutError') throw error;
    throw unavailable(
      `timed out after ${timeoutMs / 1000} s (FORECAST_TIMEOUT_SECONDS); request less history or fewer strategies, or retry later`,
      error,
    );
  });
}
