import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Lets a long loop give the event loop its turn: `if (breath.due()) await breath.take()`.
 * A loop that asks after each small piece of work never holds the loop for much more than `budgetMs`.
 */
export type Yielder = { due(): boolean; yieldNow(): Promise<void> };

export function createYielder(budgetMs = 2): Yielder {
  let since = performance.now();
  return {
    due: () => performance.now() - since > budgetMs,
    yieldNow: async () => {
      await nextTurn();
      since = performance.now();
    },
  };
}

/** Calls `work` for every item, letting the event loop in between. */
export async function forEachYielding<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  const breath = createYielder();
  for (const item of items) {
    if (breath.due()) await breath.yieldNow();
    work(item);
  }
}
