import { randomUUID } from 'node:crypto';
import { type Clock, isoTime } from '#kernel/clock.ts';
import { notFound } from '#kernel/errors.ts';
import type { Outbound } from '#kernel/outbound.ts';
import { countOr } from '#kernel/query.ts';
import type { DriftEvent } from '#services/drift/alerts.ts';
import type { DeriveKey } from '#store/master-key.ts';
import type { Delivery, Outbox } from '#store/outbox.ts';
import type { OutboxMessage } from '#store/outbox-enqueue.ts';
import type { Store, Transaction } from '#store/store.ts';
import type { Selectable, Tables } from '#store/tables.ts';
import { eventInfo } from '../journal/event-schemas.ts';
import { parseTypes } from '../journal/events.ts';
import type { RegistryEvent } from '../journal/journal-events.ts';
import {
  type DeliveryInfo,
  type DeliveryQuery,
  type WebhookCreated,
  type WebhookEventType,
  type WebhookInfo,
  type WebhookRequest,
  webhookEventTypes,
} from './webhook-schemas.ts';
import { webhookSecret } from './webhook-sender.ts';

/** Webhook subscriptions to registry events; `webhook-sender.ts` delivers. */
export type Webhooks = {
  /** The only answer that contains the secret. @throws `invalid` */
  create(request: WebhookRequest, by: string): Promise<WebhookCreated>;
  list(): Promise<WebhookInfo[]>;
  /** @throws `not_found` */
  get(id: string): Promise<WebhookInfo>;
  /** Deletes the webhook and cancels its pending deliveries. @throws `not_found` */
  remove(id: string): Promise<void>;
  /** Sends a message of type `webhook.test`, in the same way as an event. @throws `not_found` */
  test(id: string): Promise<void>;
  /** @throws `not_found`, `invalid` */
  deliveries(id: string, query: DeliveryQuery): Promise<DeliveryInfo[]>;
  /** Sends a delivery again. @throws `not_found`, `conflict` while it is pending */
  replay(id: string, deliveryId: string): Promise<void>;
  /** Enqueues deliveries of events, in the transaction that records the events. */
  enqueue(transaction: Transaction, events: RegistryEvent[]): Promise<void>;
  enqueueDrift(transaction: Transaction, events: DriftEvent[]): Promise<void>;
};

type Row = Selectable<Tables['webhooks']>;

const eventsAtOnce = 200;

type Deps = { store: Store; outbox: Outbox; outbound: Outbound; deriveKey: DeriveKey; clock: Clock };

export function createWebhooks(deps: Deps): Webhooks {
  const { store, outbox } = deps;
  return {
    create: (request, by) => create(deps, request, by),
    list: async () =>
      (await (await store.db()).selectFrom('webhooks').selectAll().orderBy('created_at').orderBy('id').execute()).map(
        infoOf,
      ),
    get: async (id) => infoOf(await rowOf(store, id)),
    remove: async (id) => {
      await rowOf(store, id);
      await outbox.cancelPending(id, 'the webhook was deleted');
      await (await store.db()).deleteFrom('webhooks').where('id', '=', id).execute();
    },
    test: async (id) => {
      await rowOf(store, id);
      const at = isoTime(deps.clock.now());
      const payload = JSON.stringify({ type: 'webhook.test', timestamp: at, data: { webhook_id: id } });
      const message = { kind: 'webhook', key: `test-${randomUUID()}`, payload, recipients: [id] };
      const db = await store.db();
      await db.transaction().execute((transaction) => outbox.enqueue(transaction, [message]));
      store.notifier.notify('outbox');
    },
    deliveries: async (id, query) => {
      const limit = countOr('limit', query.limit, 100, 1000);
      await rowOf(store, id);
      return (await outbox.deliveries(id, limit)).map(deliveryInfo);
    },
    replay: async (id, deliveryId) => {
      await rowOf(store, id);
      await outbox.replay(id, /^\d{1,15}$/.test(deliveryId) ? Number(deliveryId) : -1);
      store.notifier.notify('outbox');
    },
    enqueue: (transaction, events) => enqueueAll(outbox, transaction, events, messageOf),
    enqueueDrift: (transaction, events) => enqueueAll(outbox, transaction, events, driftMessageOf),
  };
}

/** Payload of a webhook; `key` is its idempotency key. */
type Message = { key: string; type: WebhookEventType; name: string; timestamp: string; data: object };

const messageOf = (event: RegistryEvent): Message => ({
  key: `event-${event.id}`,
  type: event.type,
  name: event.name,
  timestamp: event.observedAt,
  data: eventInfo(event),
});

const driftMessageOf = ({ type, at, ...data }: DriftEvent): Message => ({
  key: `drift-${randomUUID()}`,
  type,
  name: data.name,
  timestamp: at,
  data,
});

async function enqueueAll<Event>(
  outbox: Outbox,
  transaction: Transaction,
  events: Event[],
  toMessage: (event: Event) => Message,
): Promise<void> {
  const rows = await transaction.selectFrom('webhooks').selectAll().where('state', '=', 'active').execute();
  if (rows.length === 0) return;
  for (let from = 0; from < events.length; from += eventsAtOnce)
    await outbox.enqueue(transaction, messagesFor(rows, events.slice(from, from + eventsAtOnce).map(toMessage)));
}

async function create(
  { store, outbound, deriveKey, clock }: Deps,
  request: WebhookRequest,
  by: string,
): Promise<WebhookCreated> {
  outbound.check(request.url, 'url');
  const types = parseTypes(request.events ?? [], webhookEventTypes, 'events');
  const filter: Filter = { types, name: request.name ?? null };
  const row: Row = {
    id: randomUUID(),
    url: request.url,
    description: request.description ?? '',
    filter: JSON.stringify(filter),
    state: 'active',
    created_by: by,
    created_at: new Date(clock.now()).toISOString(),
  };
  await (await store.db()).insertInto('webhooks').values(row).execute();
  return { ...infoOf(row), secret: webhookSecret(deriveKey, row.id) };
}

async function rowOf(store: Store, id: string): Promise<Row> {
  const row = await (await store.db()).selectFrom('webhooks').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row) throw notFound('Webhook not found', { parameter: 'webhook_id', value: id });
  return row;
}

/** Filter of a webhook. An empty list of types = all types. */
type Filter = { types: WebhookEventType[]; name: string | null };

const passes = ({ types, name }: Filter, message: Message): boolean =>
  (types.length === 0 || types.includes(message.type)) && (name === null || message.name === name);

function messagesFor(rows: Row[], messages: Message[]): OutboxMessage[] {
  const filters = rows.map((row) => ({ id: row.id, filter: JSON.parse(row.filter) as Filter }));
  return messages.flatMap((message) => {
    const recipients = filters.filter(({ filter }) => passes(filter, message)).map(({ id }) => id);
    const { key, type, timestamp, data } = message;
    const payload = () => JSON.stringify({ type, timestamp, data });
    return recipients.length > 0 ? [{ kind: 'webhook', key, payload: payload(), recipients }] : [];
  });
}

const infoOf = (row: Row): WebhookInfo => {
  const { types, name } = JSON.parse(row.filter) as Filter;
  return {
    id: row.id,
    url: shownUrl(row.url),
    description: row.description,
    events: types,
    name,
    state: row.state,
    created_by: row.created_by,
    created_at: row.created_at,
  };
};

/** The URL of a chat channel is a secret that allows writing to it: only the host is shown. */
const shownUrl = (url: string): string => `${new URL(url).origin}/…`;

const deliveryInfo = (delivery: Delivery): DeliveryInfo => {
  const { type, data } = JSON.parse(delivery.payload) as { type: string; data: { id?: number } };
  return {
    id: delivery.id,
    webhook_message_id: delivery.key,
    type,
    event_id: data.id ?? null,
    state: delivery.state,
    attempts: delivery.attempts,
    uncertain_attempts: delivery.uncertain,
    last_status: delivery.last_status,
    last_error: delivery.last_error,
    last_attempt_at: delivery.last_attempt_at,
    next_attempt_at: delivery.state === 'due' ? delivery.due_at : null,
  };
};
