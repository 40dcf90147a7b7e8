import { describe, expect, it } from 'vitest';
import { createMetrics } from '#kernel/metrics.ts';
import { createOutbox } from '#store/outbox.ts';
import { createQueue } from '#store/queue.ts';
import { clockWatch } from '../../src/clock-watch.ts';
import { storeIn } from '../support/stores.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';

const never = new AbortController().signal;

/** A clock whose wall time can be set, while its steady time goes on. */
function steppedClock() {
  let [wall, steady] = [Date.UTC(2026, 10, 20), 0];
  return {
    now: () => wall,
    steady: () => steady,
    sleep: async () => undefined,
    pass: (ms: number) => {
      wall += ms;
      steady += ms;
    },
    set: (ms: number) => {
      wall += ms;
    },
  };
}

describe('a step of the system clock', () => {
  it.each([7_200_000, -7_200_000, 86_400_000])('is logged and counted: %d ms', async (ms) => {
    const clock = steppedClock();
    const { log, lines } = keptLog();
    const metrics = createMetrics('0');
    const { step } = clockWatch({ clock, log, metrics });
    clock.pass(10_000);
    await step(never);
    expect(lines).toEqual([]);
    clock.set(ms);
    clock.pass(10_000);
    await step(never);
    await step(never);
    expect(lines).toMatchObject([{ step_seconds: ms / 1000 }]);
  });

  it('backwards does not delay a delivery by more than its back-off', async () => {
    const clock = steppedClock();
    const store = storeIn(temporaryDirectory());
    const { log } = keptLog();
    const outbox = createOutbox({ store, clock, random: () => 0.5, log, onAttempt: () => undefined });
    let attempts = 0;
    outbox.handle(
      'k',
      async () => {
        attempts += 1;
        return attempts === 1 ? { ok: false, status: 500, error: 'x' } : { ok: true, status: 200 };
      },
      5,
    );
    const message = { kind: 'k', key: 'a', payload: '{}', recipients: ['r'] };
    await (await store.db()).transaction().execute((transaction) => outbox.enqueue(transaction, [message]));
    await outbox.step(never);
    clock.set(-30 * 86_400_000);
    await outbox.step(never);
    expect(attempts).toBe(2);
  });

  it('backwards does not keep a job of a dead worker from being restarted', async () => {
    const store = storeIn(temporaryDirectory());
    const { log } = keptLog();
    const clock = steppedClock();
    const queue = createQueue({ store, tower: 'b', clock, log });
    const { job } = await queue.add({ kind: 'k', subject: 's', payload: '{}' });
    const later = (await store.now()) + 7_200_000;
    await (await store.db())
      .updateTable('job_queue')
      .set({ state: 'running', worker: 'a', leased_until: later })
      .where('id', '=', job.id)
      .execute();
    const done = new Promise<string>((resolve) => {
      queue.handle('k', async (claimed) => resolve(claimed.id));
    });
    await queue.step();
    expect(await done).toBe(job.id);
    await queue.stop();
  });
});
