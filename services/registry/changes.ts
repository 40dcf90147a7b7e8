import type { EventQuery, HistoryQuery, ModelHistory, StreamQuery } from './journal/event-schemas.ts';
import type { EventPage, Events } from './journal/events.ts';
import { historyOf } from './journal/history.ts';
import type { EventStream } from './journal/stream.ts';
import type { MirrorStatus } from './mirror/mirror.ts';
import type { MlflowWebhook } from './webhooks/mlflow-webhook.ts';
import type { Webhooks } from './webhooks/webhooks.ts';

/** Changes of the registry: events, history, stream, webhooks. */
export type Changes = {
  /** @throws `invalid` */
  events(query: EventQuery): Promise<EventPage>;
  /** Which version had a stage when. @throws `not_found`, `invalid` */
  history(name: string, query: HistoryQuery): Promise<ModelHistory>;
  /** Server-sent events. @throws `invalid`, `unavailable` */
  stream(query: StreamQuery, lastEventId: string | undefined, signal: AbortSignal): Promise<AsyncGenerator<string>>;
  /** The same two over all registries. */
  allEvents(query: EventQuery): Promise<EventPage>;
  allStream(query: StreamQuery, lastEventId: string | undefined, signal: AbortSignal): Promise<AsyncGenerator<string>>;
  /** Ends all streams: an open one would delay shutdown. */
  stopStreams(): void;
  webhooks: Webhooks;
  mlflowWebhook: MlflowWebhook;
};

type Deps = {
  /** Name under which its events are stored. */
  registry: () => string;
  /** The registry whose events are returned; null = all. */
  only: string | null;
  status: () => MirrorStatus;
  events: Events;
  stream: EventStream;
  webhooks: Webhooks;
  mlflowWebhook: MlflowWebhook;
};

export function createChanges({ registry, only, status, events, stream, webhooks, mlflowWebhook }: Deps): Changes {
  return {
    events: (query) => events.list(query, only),
    history: (name, query) => {
      const { snapshot } = status();
      const model = (wanted: string) => (snapshot ? (snapshot.models.get(wanted) ?? null) : undefined);
      return historyOf({ events, registry: registry(), model }, name, query);
    },
    stream: (query, lastEventId, signal) => stream.open(query, only, lastEventId, signal),
    allEvents: (query) => events.list(query, null),
    allStream: (query, lastEventId, signal) => stream.open(query, null, lastEventId, signal),
    stopStreams: () => stream.stop(),
    webhooks,
    mlflowWebhook,
  };
}
