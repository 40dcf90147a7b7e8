import { afterAll, afterEach, onTestFinished } from 'vitest';

const leftovers: (() => unknown)[] = [];
afterEach(async () => {
  for (let next = leftovers.pop(); next; next = leftovers.pop()) await next();
});

/** Of what several tests share. */
const shared: (() => unknown)[] = [];
let isShared = false;
afterAll(async () => {
  for (let next = shared.pop(); next; next = shared.pop()) await next();
});

/** What is made so, one after the other, is undone when all tests of the file are over. */
export async function forAllTests<Made>(make: () => Promise<Made>): Promise<Made> {
  isShared = true;
  return make().finally(() => {
    isShared = false;
  });
}

/** Undoes something when the running test is over, wherever it was asked for: in the test itself or before it. */
export function whenTestIsOver(undo: () => unknown): void {
  if (isShared) {
    shared.push(undo);
    return;
  }
  try {
    onTestFinished(async () => {
      await undo();
    });
  } catch {
    leftovers.push(undo);
  }
}
