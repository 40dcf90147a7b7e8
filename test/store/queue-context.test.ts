import { expect, it } from 'vitest';
import { requester } from '#kernel/requester.ts';
import { createQueue } from '#store/queue.ts';
import { handClock } from '../support/sources.ts';
import { storeIn } from '../support/stores.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';

it('a job does not run as the client whose request queued it', async () => {
  const store = storeIn(temporaryDirectory());
  const queue = createQueue({ store, tower: 'a', clock: handClock(), log: keptLog().log });
  const seen: unknown[] = [];
  const ended = Promise.withResolvers<void>();
  queue.handle('k', async () => {
    seen.push(requester.getStore());
    if (seen.length === 2) ended.resolve();
  });
  await requester.run('client', async () => {
    await queue.add({ kind: 'k', subject: 'a', payload: '{}' });
    await queue.add({ kind: 'k', subject: 'b', payload: '{}' });
    await queue.step();
  });
  await ended.promise;
  expect(seen).toEqual([undefined, undefined]);
  await queue.stop();
});
