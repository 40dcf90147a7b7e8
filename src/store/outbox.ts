import { backoffMs } from '#kernel/backoff.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import type { Random } from '#kernel/rng.ts';
import { enqueueMessages, type OutboxMessage } from './outbox-enqueue.ts';
import { replay } from './outbox-replay.ts';
import { storableText } from './storable.ts';
import type { Store, Transaction } from './store.ts';
import type { Selectable, Tables } from './tables.ts';

/** Outcome of one attempt. `retryAfterMs`: the receiver's Retry-After; `final`: a retry cannot succeed. */
export type Attempt =
  | { ok: true; status: number }
  | { ok: false; status: number | null; error: string; retryAfterMs?: number; final?: boolean };

/** Sends one message to one recipient. Must not throw for what the receiver does. */
export type Sender = (
  message: { key: string; payload: string; recipient: string; attempt: number },
  signal: AbortSignal,
) => Promise<Attempt>;

export type Delivery = Selectable<Tables['outbox_deliveries']> & { key: string; payload: string };

/**
 * Transactional outbox. Messages are written in the transaction of the change that caused them, and sent by one loop:
 * at least once, under a stable key, with back-off, until delivered or dead.
 */
export type Outbox = {
  /**
   * Registers the sender for a kind of message.
   * @param maxAttempts - a delivery is dead after this many failures
   */
  handle(kind: string, sender: Sender, maxAttempts: number): void;
  /** Enqueues messages. Notify the store's topic `outbox` when the transaction is committed. */
  enqueue(transaction: Transaction, messages: OutboxMessage[]): Promise<void>;
  /**
   * Called when this instance becomes leader: retries the deliveries that the previous leader left in the state
   * `sending`.
   */
  begin(): void;
  /**
   * Background step: sends due deliveries. Deliveries interrupted by the end of a process are sent again and counted.
   */
  step(signal: AbortSignal, mayClaim?: () => boolean): Promise<void>;
  /** Newest first. */
  deliveries(recipient: string, limit: number): Promise<Delivery[]>;
  /** Sends a delivery again, unchanged. @throws `not_found`, `conflict` while it is still due */
  replay(recipient: string, id: number): Promise<void>;
  /** Cancels the pending deliveries of one recipient. */
  cancelPending(recipient: string, reason: string): Promise<void>;
  counts(): Promise<{ due: number; dead: number }>;
  /** Deletes messages that were delivered or dead before this time. */
  prune(before: number): Promise<void>;
};

type Options = {
  store: Store;
  clock: Clock;
  random: Random;
  log: Log;
  onAttempt: (outcome: 'delivered' | 'failed' | 'dead' | 'uncertain') => void;
};

/** Deliveries read per step, and deliveries sent to one recipient at once. */
const considered = 200;
const atOnceToOne = 4;
/** A delivery that is `sending` for longer than any attempt can take has lost its sender. */
const lostMs = 600_000;
const backoff = { firstMs: 5_000, maxMs: 3_600_000 };

type Senders = Map<string, { send: Sender; maxAttempts: number }>;

export function createOutbox(options: Options): Outbox {
  const { store, clock } = options;
  const senders: Senders = new Map();
  let recovered = false;
  return {
    handle: (kind, send, maxAttempts) => void senders.set(kind, { send, maxAttempts }),
    enqueue: (transaction, messages) => enqueueMessages(transaction, messages, clock.now()),
    begin: () => {
      recovered = false;
    },
    step: async (signal, mayClaim = () => true) => {
      await recover(options, recovered ? clock.now() - lostMs : clock.now() + lostMs);
      recovered = true;
      try {
        await deliver(options, senders, signal, mayClaim);
      } catch (error) {
        // An attempt whose outcome could not be written is recovered as uncertain.
        recovered = false;
        throw error;
      }
    },
    deliveries: async (recipient, limit) =>
      (await wholeDeliveries(store))
        .where('recipient', '=', recipient)
        .orderBy('outbox_deliveries.id', 'desc')
        .limit(limit)
        .execute(),
    replay: (recipient, id) => replay(store, clock, recipient, id),
    cancelPending: async (recipient, reason) => {
      const db = await store.db();
      await db
        .updateTable('outbox_deliveries')
        .set({ state: 'dead', last_error: reason })
        .where('recipient', '=', recipient)
        .where('state', '=', 'due')
        .execute();
    },
    counts: async () => {
      const db = await store.db();
      const count = async (state: 'due' | 'dead') =>
        (
          await db
            .selectFrom('outbox_deliveries')
            .select((at) => at.fn.countAll<number>().as('count'))
            .where('state', '=', state)
            .executeTakeFirstOrThrow()
        ).count;
      return { due: await count('due'), dead: await count('dead') };
    },
    prune: async (before) => {
      const db = await store.db();
      const open = db.selectFrom('outbox_deliveries').select('message_id').where('state', 'in', ['due', 'sending']);
      await db
        .deleteFrom('outbox')
        .where('created_at', '<', new Date(before).toISOString())
        .where('id', 'not in', open)
        .execute();
    },
  };
}

/** One lane per recipient, so that a recipient that hangs delays only its own deliveries. */
async function deliver(
  options: Options,
  senders: Senders,
  signal: AbortSignal,
  mayClaim: () => boolean,
): Promise<void> {
  const lanes = new Map<string, Promise<void>>();
  let failure: { error: unknown } | null = null;
  while (!signal.aborted && !failure && mayClaim()) {
    const { notified, stop } = nextNotification(options.store);
    const busy = [...lanes.keys()];
    const claimed = await claim(options.store, options.clock.now(), busy).catch((error: unknown) => {
      failure = { error };
      return [];
    });
    for (const [recipient, list] of Map.groupBy(claimed, (delivery) => delivery.recipient)) {
      const lane = Promise.all(list.map((delivery) => attempt(options, senders.get(delivery.kind), delivery, signal)))
        .then(() => undefined)
        .catch((error: unknown) => {
          failure = { error };
        })
        .finally(() => lanes.delete(recipient));
      lanes.set(recipient, lane);
    }
    if (lanes.size > 0 && !failure) await Promise.race([...lanes.values(), notified]);
    stop();
    if (claimed.length === 0 && busy.length === 0) break;
  }
  await Promise.all(lanes.values());
  if (failure) throw (failure as { error: unknown }).error;
}

/** Resolves when further messages are enqueued. */
function nextNotification({ notifier }: Store): { notified: Promise<void>; stop: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { notified: promise, stop: notifier.on('outbox', () => resolve()) };
}

const wholeDeliveries = async (store: Store) =>
  (await store.db())
    .selectFrom('outbox_deliveries')
    .innerJoin('outbox', 'outbox.id', 'outbox_deliveries.message_id')
    .selectAll('outbox_deliveries')
    .select(['outbox.key', 'outbox.payload']);

/** A delivery that was `sending` when the process ended may have arrived: it is sent again and counted as uncertain. */
async function recover({ store, log, onAttempt }: Options, before: number): Promise<void> {
  const db = await store.db();
  const { numUpdatedRows } = await db
    .updateTable('outbox_deliveries')
    .set((at) => ({
      state: 'due',
      uncertain: at('uncertain', '+', 1),
      last_error: stopped,
    }))
    .where('state', '=', 'sending')
    .where('last_attempt_at', '<', new Date(before).toISOString())
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return;
  for (let i = 0n; i < numUpdatedRows; i += 1n) onAttempt('uncertain');
  log.warn({ count: Number(numUpdatedRows) }, 'deliveries in progress at the last shutdown are sent again');
}

type Claimed = Delivery & { kind: string };

/** Marks due deliveries as `sending`, committed before anything is sent. */
async function claim(store: Store, now: number, busy: string[]): Promise<Claimed[]> {
  const at = new Date(now).toISOString();
  const all = (await wholeDeliveries(store)).select('outbox.kind');
  const due = await (busy.length > 0 ? all.where('recipient', 'not in', busy) : all)
    .where('state', '=', 'due')
    // After a backward step of the clock, times that no back-off can have set are due too.
    .where((row) => row.or([row('due_at', '<=', at), row('due_at', '>', new Date(now + backoff.maxMs).toISOString())]))
    .orderBy('due_at')
    .orderBy('outbox_deliveries.id')
    .limit(considered)
    .execute();
  const taken = [...Map.groupBy(due, (delivery) => delivery.recipient).values()].flatMap((list) =>
    list.slice(0, atOnceToOne),
  );
  if (taken.length === 0) return [];
  const ids = taken.map((delivery) => delivery.id);
  const db = await store.db();
  // A former leader may still run this loop: each delivery is claimed by one of the two.
  const claimed = await db
    .updateTable('outbox_deliveries')
    .set((row) => ({ state: 'sending', attempts: row('attempts', '+', 1), last_attempt_at: at }))
    .where('id', 'in', ids)
    .where('state', '=', 'due')
    .returning('id')
    .execute();
  const got = new Set(claimed.map(({ id }) => id));
  return taken.flatMap((delivery) => (got.has(delivery.id) ? { ...delivery, attempts: delivery.attempts + 1 } : []));
}

async function attempt(
  options: Options,
  sender: { send: Sender; maxAttempts: number } | undefined,
  delivery: Claimed,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, onAttempt } = options;
  const { key, payload, recipient } = delivery;
  const outcome: Attempt = sender
    ? await sender.send({ key, payload, recipient, attempt: delivery.attempts }, signal).catch(asFailure)
    : { ok: false, status: null, error: `no sender for ${delivery.kind}`, final: true };
  const db = await store.db();
  // Interrupted by shutdown: whether the message arrived is unknown.
  if (!outcome.ok && signal.aborted) return requeue(options, delivery);
  const isDead = !outcome.ok && (outcome.final === true || delivery.attempts >= (sender?.maxAttempts ?? 1));
  const state = outcome.ok ? 'delivered' : isDead ? 'dead' : 'due';
  onAttempt(state === 'due' ? 'failed' : state);
  await db
    .updateTable('outbox_deliveries')
    .set({
      state,
      last_status: outcome.status,
      last_error: outcome.ok ? null : storableText(outcome.error),
      due_at: new Date(
        clock.now() + (outcome.ok ? 0 : waitMs(outcome, delivery.attempts, options.random)),
      ).toISOString(),
    })
    .where('id', '=', delivery.id)
    .where('state', '=', 'sending')
    .where('attempts', '=', delivery.attempts)
    .execute();
}

async function requeue({ store, onAttempt }: Options, { id, attempts }: Claimed): Promise<void> {
  const db = await store.db();
  onAttempt('uncertain');
  await db
    .updateTable('outbox_deliveries')
    .set((at) => ({ state: 'due', uncertain: at('uncertain', '+', 1), last_error: stopped }))
    .where('id', '=', id)
    .where('state', '=', 'sending')
    .where('attempts', '=', attempts)
    .execute();
}

const stopped = 'the server stopped during this delivery';
const asFailure = (error: unknown): Attempt => ({
  ok: false,
  status: null,
  error: error instanceof Error ? error.message : String(error),
});

/** The back-off, or the receiver's Retry-After if that is longer. */
function waitMs(outcome: { retryAfterMs?: number }, attempts: number, random: Random): number {
  return Math.max(backoffMs(backoff, attempts, random), Math.min(outcome.retryAfterMs ?? 0, backoff.maxMs));
}
