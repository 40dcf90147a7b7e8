import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Lets a long loop give the event loop its turn: `if (breath.due()) await breath.take()`.
 * A loop that asks after each small piece of work never holds the loop for much more than `budgetMs`.
 */
export type Breath = { due(): boolean; take(): Promise<void> };

export function createBreath(budgetMs = 2): Breath {
  let since = performance.now();
  return {
    due: () => performance.now() - since > budgetMs,
    take: async () => {
      await nextTurn();
      since = performance.now();
    },
  };
}

/** Calls `work` for every item, letting the event loop in between. */
export async function forEachBreathing<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  const breath = createBreath();
  for (const item of items) {
    if (breath.due()) await breath.take();
    work(item);
  }
}
