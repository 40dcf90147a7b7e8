import { afterEach, onTestFinished } from 'vitest';

const leftovers: (() => unknown)[] = [];
afterEach(async () => {
  for (let next = leftovers.pop(); next; next = leftovers.pop()) await next();
});

/** Undoes something when the running test is over, wherever it was asked for: in the test itself or before it. */
export function whenTestIsOver(undo: () => unknown): void {
  try {
    onTestFinished(async () => {
      await undo();
    });
  } catch {
    leftovers.push(undo);
  }
}
