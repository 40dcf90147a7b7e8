/**
 * Settles at the latest when the signal aborts, whatever the work does: HTTP libraries have had calls that ignore their
 * signal and their timeouts.
 * @throws the signal's reason
 */
export async function inTime<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const end = () => reject(signal.reason as Error);
  if (signal.aborted) end();
  signal.addEventListener('abort', end);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
