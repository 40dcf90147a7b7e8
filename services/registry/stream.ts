import type { Clock } from '../../src/kernel/clock.ts';
import { invalid, unavailable } from '../../src/kernel/errors.ts';
import { eventInfo, type StreamQuery } from './event-schemas.ts';
import { type EventFilter, type Events, parseFilter, passes } from './events.ts';
import type { RegistryEvent } from './journal.ts';

/** The journal as server-sent events: what was missed first, then what happens. */
export type EventStream = {
  /**
   * Frames of one client, of one registry or of all (null), until `signal` aborts or the tower stops. A client that reads slowly is waited for and
   * then served from the journal: nothing piles up, nothing is skipped.
   * @throws `invalid` for a query that breaks a rule, `unavailable` when there are too many clients
   */
  open(
    query: StreamQuery,
    registry: string | null,
    lastEventId: string | undefined,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<string>>;
  publish(events: RegistryEvent[]): void;
  clients(): number;
  stop(): void;
};

type Options = { events: Events; clock: Clock; maxClients: number; heartbeatMs?: number };

const batch = 500;
/** Newest events, kept so that a thousand clients do not ask the journal a thousand times. */
const recentEvents = 2000;

type Framed = { event: RegistryEvent; text: string };

export function createEventStream({ events, clock, maxClients, heartbeatMs = 15_000 }: Options): EventStream {
  const stopping = new AbortController();
  let recent: Framed[] = [];
  let clients = 0;
  let news = Promise.withResolvers<void>();

  /** Events after `cursor`, from memory where it reaches back that far. */
  const after = async (cursor: number): Promise<Framed[]> => {
    const oldest = recent[0]?.event.id;
    if (oldest !== undefined && oldest <= cursor + 1) {
      const from = recent.findIndex((item) => item.event.id > cursor);
      return from < 0 ? [] : recent.slice(from, from + batch);
    }
    return (await events.after(cursor, batch)).map(framed);
  };

  async function* frames(filter: EventFilter, resumeAt: number | null, signal: AbortSignal): AsyncGenerator<string> {
    // Counted from here on: a client that is gone before its first frame was never one.
    clients += 1;
    const over = AbortSignal.any([signal, stopping.signal]);
    try {
      const { first, last } = await events.bounds();
      let cursor = resumeAt ?? last;
      yield 'retry: 3000\n\n';
      if (first !== null && resumeAt !== null && resumeAt > 0 && resumeAt + 1 < first) yield gap(resumeAt, first);
      while (!over.aborted) {
        const happened = news.promise;
        const found = await after(cursor);
        const text = found.flatMap((item) => (passes(filter, item.event) ? item.text : [])).join('');
        cursor = found.at(-1)?.event.id ?? cursor;
        if (text !== '') yield text;
        if (found.length > 0) continue;
        if (!(await waitFor(happened, clock, heartbeatMs, over))) yield ': still here\n\n';
      }
    } finally {
      clients -= 1;
    }
  }

  return {
    open: async (query, registry, lastEventId, signal) => {
      const filter = { ...parseFilter(query), registry };
      const resumeAt = parseEventId(lastEventId ?? query.last_event_id);
      if (clients >= maxClients)
        throw unavailable(`${maxClients} clients follow the stream already (STREAM_MAX_CLIENTS)`);
      return frames(filter, resumeAt, signal);
    },
    publish: (published) => {
      recent = [...recent, ...published.map(framed)].slice(-recentEvents);
      news.resolve();
      news = Promise.withResolvers();
    },
    clients: () => clients,
    stop: () => {
      stopping.abort(new Error('stopping'));
      news.resolve();
    },
  };
}

/** @returns whether something happened, rather than the time being up */
async function waitFor(happened: Promise<void>, clock: Clock, ms: number, over: AbortSignal): Promise<boolean> {
  const enough = new AbortController();
  const sleeping = clock.sleep(ms, AbortSignal.any([enough.signal, over])).then(
    () => false,
    () => true,
  );
  const outcome = await Promise.race([happened.then(() => true), sleeping]);
  enough.abort();
  return outcome;
}

const framed = (event: RegistryEvent): Framed => ({
  event,
  text: `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(eventInfo(event))}\n\n`,
});

/** Said to a client that comes back after what it missed was forgotten. */
const gap = (after: number, before: number): string =>
  `event: gap\ndata: ${JSON.stringify({ after_id: after, before_id: before, reason: 'older events are not kept any more' })}\n\n`;

function parseEventId(text: string | undefined): number | null {
  if (text === undefined || text === '') return null;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const constraint = 'must be the id of an event, a whole number';
  throw invalid(`Last-Event-ID ${constraint}, not ${JSON.stringify(text)}`, {
    parameter: 'Last-Event-ID',
    constraint,
    value: text,
  });
}
