import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Lets a long loop yield to the event loop: `if (yielder.due()) await yielder.yieldNow()`. A loop that checks after
 * each small piece of work blocks the event loop for little more than `budgetMs`.
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

/** Items between two clock reads, each of which costs as much as a small piece of work. */
const itemsPerCheck = 16;

/** Calls `work` for every item and yields to the event loop in between. */
export async function forEachYielding<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  const yielder = createYielder();
  let sinceCheck = 0;
  for (const item of items) {
    sinceCheck += 1;
    if (sinceCheck === itemsPerCheck) {
      sinceCheck = 0;
      if (yielder.due()) await yielder.yieldNow();
    }
    work(item);
  }
}
