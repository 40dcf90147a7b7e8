import { describe, expect, it } from 'vitest';
import { createOutbox, type Sender } from '#store/outbox.ts';
import { handClock, noSignal } from '../support/sources.ts';
import { storeIn } from '../support/stores.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';

/** An outbox with this sender, and messages in it. */
async function outboxWith(send: Sender, messages: { key: string; recipients: string[] }[]) {
  const store = storeIn(temporaryDirectory());
  const outbox = createOutbox({
    store,
    clock: handClock(),
    random: () => 0.5,
    log: keptLog().log,
    onAttempt: () => undefined,
  });
  outbox.handle('test', send, 3);
  const db = await store.db();
  await db.transaction().execute((transaction) =>
    outbox.enqueue(
      transaction,
      messages.map((message) => ({ kind: 'test', payload: '{}', ...message })),
    ),
  );
  return outbox;
}

describe('the outbox', () => {
  it('delivers a backlog of a thousand messages in one step, a few at once per recipient', async () => {
    const sent: string[] = [];
    let [active, maxActive] = [0, 0];
    const send: Sender = async ({ key }) => {
      active += 1;
      maxActive = Math.max(maxActive, active);
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      sent.push(key);
      return { ok: true, status: 204 };
    };
    const messages = Array.from({ length: 1000 }, (_, i) => ({ key: `message-${i}`, recipients: ['fast'] }));
    const outbox = await outboxWith(send, messages);
    await outbox.step(noSignal);
    expect(new Set(sent).size).toBe(1000);
    expect(sent).toHaveLength(1000);
    expect([maxActive > 1, maxActive <= 8]).toEqual([true, true]);
    expect(await outbox.counts()).toEqual({ due: 0, dead: 0 });
  });

  it('delivers the backlog of one recipient while another one does not answer', async () => {
    const hung = Promise.withResolvers<void>();
    const delivered: string[] = [];
    const send: Sender = async ({ key, recipient }) => {
      if (recipient === 'slow') await hung.promise;
      else delivered.push(key);
      if (delivered.length === 50) hung.resolve();
      return { ok: true, status: 204 };
    };
    const messages = Array.from({ length: 50 }, (_, i) => ({ key: `message-${i}`, recipients: ['slow', 'fast'] }));
    const outbox = await outboxWith(send, messages);
    await outbox.step(noSignal);
    expect(delivered).toHaveLength(50);
    expect(await outbox.counts()).toEqual({ due: 0, dead: 0 });
  });

  it('does not repeat a failed delivery before its back-off', async () => {
    let attempts = 0;
    const outbox = await outboxWith(async () => {
      attempts += 1;
      return { ok: false, status: 500, error: 'no' };
    }, [{ key: 'one', recipients: ['broken'] }]);
    await outbox.step(noSignal);
    expect(attempts).toBe(1);
    expect(await outbox.counts()).toEqual({ due: 1, dead: 0 });
  });
});
