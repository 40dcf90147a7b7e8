import type { Clock } from '#kernel/clock.ts';
import type { RegistrySource } from '../sources/source.ts';

/** Number of runs in the registry's active experiments; `total` is null until each was counted once. */
export type RunTotal = { total: number | null; status: 'counting' | 'complete'; countedAt: number | null };

/**
 * Counts runs slowly, experiment by experiment: MLflow cannot count, only list. The last total is kept, with its time,
 * during the next round.
 */
export function createRunCount(clock: Clock) {
  const counts = new Map<string, number>();
  let complete: RunTotal = { total: null, status: 'counting', countedAt: null };
  let origin: RegistrySource | null = null;
  return {
    total: (): RunTotal => complete,
    /** One round over all experiments. A failed round resumes where it stopped. */
    step: async (source: RegistrySource, experimentIds: string[], signal: AbortSignal): Promise<void> => {
      if (origin !== source) {
        origin = source;
        counts.clear();
        complete = { total: null, status: 'counting', countedAt: null };
      }
      for (const id of experimentIds) {
        signal.throwIfAborted();
        if (!counts.has(id)) counts.set(id, await source.countRuns(id, signal));
      }
      const total = experimentIds.reduce((sum, id) => sum + (counts.get(id) ?? 0), 0);
      complete = { total, status: 'complete', countedAt: clock.now() };
      counts.clear();
    },
  };
}
