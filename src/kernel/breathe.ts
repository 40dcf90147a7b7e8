import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Lets a long loop give the event loop its turn: `if (breath.due()) await breath.take()`.
 * A loop that asks after each small piece of work never holds the loop for much more than `budgetMs`.
 */
export type Breath = { due(): boolean; take(): Promise<void> };

export function createBreath(budgetMs = 8): Breath {
  let since = performance.now();
  return {
    due: () => performance.now() - since > budgetMs,
    take: async () => {
      await nextTurn();
      since = performance.now();
    },
  };
}
