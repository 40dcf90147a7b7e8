import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Transaction } from './store.ts';

/** A message to deliver. `key` is an idempotency key: enqueued twice, it is stored once. */
export type OutboxMessage = { kind: string; key: string; payload: string; recipients: string[] };

const rowsAtOnce = 200;

/** Stores messages and their recipients; skips messages whose key is stored already. */
export async function enqueueMessages(transaction: Transaction, messages: OutboxMessage[], now: number): Promise<void> {
  const at = new Date(now).toISOString();
  const yielder = createYielder();
  for (let from = 0; from < messages.length; from += rowsAtOnce) {
    if (yielder.due()) await yielder.yieldNow();
    const some = messages.slice(from, from + rowsAtOnce);
    const made = await transaction
      .insertInto('outbox')
      .values(some.map(({ kind, key, payload }) => ({ kind, key, payload, created_at: at })))
      .onConflict((on) => on.column('key').doNothing())
      .returning(['id', 'key'])
      .execute();
    const ids = new Map(made.map((row) => [row.key, row.id]));
    const fresh = { state: 'due' as const, due_at: at, attempts: 0, uncertain: 0, ...untried };
    const rows = some.flatMap(({ key, recipients }) => {
      const id = ids.get(key);
      return id === undefined ? [] : recipients.map((recipient) => ({ message_id: id, recipient, ...fresh }));
    });
    for (let start = 0; start < rows.length; start += rowsAtOnce)
      await transaction
        .insertInto('outbox_deliveries')
        .values(rows.slice(start, start + rowsAtOnce))
        .execute();
  }
}

const untried = { last_status: null, last_error: null, last_attempt_at: null };
