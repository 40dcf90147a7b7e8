import { unavailable } from '#kernel/errors.ts';
import { invalidParameter } from '#kernel/query.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { eventInfo, type StreamQuery } from './event-schemas.ts';
import { type EventFilter, type Events, parseFilter, passes } from './events.ts';
import type { RegistryEvent } from './journal-events.ts';

/** The journal as server-sent events: missed events first, then live ones. */
export type EventStream = {
  /**
   * Frames for one client, of one registry or of all (null), until `signal` aborts or the instance stops. A slow client
   * is served from the journal at its own pace: nothing is buffered without bound, nothing is skipped.
   * @throws `invalid` for a query that breaks a rule, `unavailable` if there are too many clients
   */
  open(
    query: StreamQuery,
    registry: string | null,
    lastEventId: string | undefined,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<string>>;
  publish(events: RegistryEvent[]): void;
  /** Announces events that another instance over the same store recorded. */
  catchUp(): Promise<void>;
  clients(): number;
  stop(): void;
};

type Options = { events: Events; maxClients: number };

const batch = 500;
/** Newest events, cached so that a thousand clients do not query the journal a thousand times. */
const recentEvents = 2000;

type Framed = { event: RegistryEvent; text: string };

export function createEventStream({ events, maxClients }: Options): EventStream {
  const stopping = new AbortController();
  const newest = createRecent(events);
  const seats = createClientLimit(maxClients);
  let published = 0;
  const waiting = new Set<() => void>();
  const wakeAll = () => {
    for (const wake of waiting) wake();
  };

  const send = (made: RegistryEvent[], isNext: boolean) => {
    published += 1;
    newest.add(made, isNext);
    wakeAll();
  };

  async function* frames(
    filter: EventFilter,
    resumeAt: number | null,
    signal: AbortSignal,
    release: () => void,
  ): AsyncGenerator<string> {
    const over = AbortSignal.any([signal, stopping.signal]);
    try {
      const start = await beginning(events, resumeAt);
      let { cursor } = start;
      yield start.text;
      const yielder = createYielder();
      while (!over.aborted) {
        const before = published;
        const found = await newest.after(cursor);
        const text = found.flatMap((item) => (passes(filter, item.event) ? item.text : [])).join('');
        cursor = found.at(-1)?.event.id ?? cursor;
        if (text !== '') yield text;
        if (yielder.due()) await yielder.yieldNow();
        if (found.length > 0 || published !== before) continue;
        await nextNotification(waiting, over);
      }
    } finally {
      release();
    }
  }

  return {
    open: async (query, registry, lastEventId, signal) => {
      const filter = { ...parseFilter(query), registry };
      const resumeAt = parseEventId(lastEventId ?? query.last_event_id);
      return frames(filter, resumeAt, signal, seats.take(signal));
    },
    publish: (made) => send(made, false),
    catchUp: async () => {
      if (waiting.size > 0) send(await newest.missed(), true);
    },
    clients: seats.taken,
    stop: () => {
      stopping.abort(new Error('stopping'));
      wakeAll();
    },
  };
}

/** Limits the number of clients. */
function createClientLimit(most: number) {
  let taken = 0;
  return {
    taken: () => taken,
    /**
     * @returns a function that releases the slot; it is also released if the client disconnects before its first frame
     */
    take: (signal: AbortSignal): (() => void) => {
      if (taken >= most) throw unavailable(`the maximum of ${most} stream clients is reached (STREAM_MAX_CLIENTS)`);
      taken += 1;
      let isAcquired = true;
      const release = () => {
        if (isAcquired) taken -= 1;
        isAcquired = false;
      };
      signal.addEventListener('abort', release, { once: true });
      return release;
    },
  };
}

/** The first frame: reports expired events and the resume id to a reconnecting client. */
async function beginning(events: Events, resumeAt: number | null): Promise<{ text: string; cursor: number }> {
  const { first, last } = await events.bounds();
  const hello = 'retry: 3000\n\n';
  if (resumeAt === null) return { text: hello, cursor: last };
  // An id beyond the last one comes from another journal.
  if (resumeAt > last) return { text: hello + gap(resumeAt, last + 1), cursor: last };
  const isLate = first !== null && resumeAt > 0 && resumeAt + 1 < first;
  return { text: isLate ? hello + gap(resumeAt, first) : hello, cursor: resumeAt };
}

/** Newest events with their serialized text: all events after `since`. */
function createRecent(events: Events) {
  let recent: Framed[] = [];
  let since: number | null = null;
  const last = () => recent.at(-1)?.event.id ?? since;
  return {
    /**
     * `isNext`: they directly follow the newest cached event. Otherwise another instance may have recorded some in
     * between.
     */
    add: (made: RegistryEvent[], isNext: boolean): void => {
      const newest = last();
      const fresh = made.filter(({ id }) => newest === null || id > newest);
      const [first] = fresh;
      if (!first) return;
      if (newest === null || !(isNext || first.id === newest + 1)) {
        recent = [];
        since = first.id - 1;
      }
      recent = [...recent, ...fresh.map(framed)];
      if (recent.length <= recentEvents) return;
      since = recent.at(-recentEvents - 1)?.event.id ?? since;
      recent = recent.slice(-recentEvents);
    },
    /** Events after the newest cached one; none while the cache is empty. */
    missed: async (): Promise<RegistryEvent[]> => {
      const newest = last();
      return newest === null ? [] : events.after(newest, recentEvents);
    },
    /** Events after `cursor`, from the cache if it reaches back that far. */
    after: async (cursor: number): Promise<Framed[]> => {
      if (since === null || cursor < since) return (await events.after(cursor, batch)).map(framed);
      const from = recent.findIndex((item) => item.event.id > cursor);
      return from < 0 ? [] : recent.slice(from, from + batch);
    },
  };
}

/** Resolves at the next notification, or when the stream is over. */
async function nextNotification(waiting: Set<() => void>, over: AbortSignal): Promise<void> {
  if (over.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = () => resolve();
  waiting.add(wake);
  over.addEventListener('abort', wake, { once: true });
  await promise;
  waiting.delete(wake);
  over.removeEventListener('abort', wake);
}

const framed = (event: RegistryEvent): Framed => ({
  event,
  text: `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(eventInfo(event))}\n\n`,
});

/** Sent to a client that returns after the events it missed were pruned. */
const gap = (after: number, before: number): string =>
  `event: gap\ndata: ${JSON.stringify({ after_id: after, before_id: before, reason: 'the missed events have expired' })}\n\n`;

function parseEventId(text: string | undefined): number | null {
  if (text === undefined || text === '') return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidParameter('Last-Event-ID', 'must be an event id, an integer', text);
}
