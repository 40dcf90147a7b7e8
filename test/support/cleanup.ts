import { afterAll, afterEach, onTestFinished } from 'vitest';

const leftovers: (() => unknown)[] = [];
afterEach(async () => {
  for (let next = leftovers.pop(); next; next = leftovers.pop()) await next();
});

/** Cleanups of resources shared by several tests. */
const shared: (() => unknown)[] = [];
let isShared = false;
afterAll(async () => {
  for (let next = shared.pop(); next; next = shared.pop()) await next();
});

/** Creates a resource once; it is removed after all tests of the file. */
export async function forAllTests<Made>(make: () => Promise<Made>): Promise<Made> {
  isShared = true;
  return make().finally(() => {
    isShared = false;
  });
}

/** Runs a cleanup after the running test, or after the file when called outside of a test. */
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
