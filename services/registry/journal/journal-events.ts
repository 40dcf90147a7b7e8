import { isoTime } from '#kernel/clock.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Transaction } from '#store/store.ts';
import type { Change, EventType } from './diff.ts';
/** Converts changes to rows of the journal. */

export type JournalWrite = {
  at: string;
  readAt: string;
  notBefore: string;
  revision: number;
  missed: ReadonlyMap<string, string>;
};

const eventsAtOnce = 200;

export async function insertEvents(
  transaction: Transaction,
  registry: string,
  changes: Change[],
  poll: JournalWrite,
): Promise<RegistryEvent[]> {
  const events: RegistryEvent[] = [];
  const yielder = createYielder();
  for (let from = 0; from < changes.length; from += eventsAtOnce) {
    if (yielder.due()) await yielder.yieldNow();
    const some = changes.slice(from, from + eventsAtOnce).map((change) => ({
      ...change,
      registry,
      changedAt: isoTime(change.changedAt),
      notBefore: lastSeenAt(change, poll.missed) ?? poll.notBefore,
      observedAt: poll.at,
    }));
    const inserted = await transaction
      .insertInto('registry_events')
      .values(some.map(eventRow))
      .returning('id')
      .execute();
    const ids = inserted.map((row) => row.id).sort((a, b) => a - b);
    for (const [index, event] of some.entries()) events.push({ ...event, id: ids[index] ?? 0 });
  }
  return events;
}

/** A deletion is noticed one poll late: the item was last seen two polls ago. */
function lastSeenAt({ type, name, version }: Change, missed: ReadonlyMap<string, string>): string | undefined {
  if (!type.endsWith('.deleted')) return undefined;
  return (version === null ? undefined : missed.get(`${version}\n${name}`)) ?? missed.get(name);
}

const eventRow = (event: Omit<RegistryEvent, 'id'>) => ({
  registry: event.registry,
  type: event.type,
  name: event.name,
  version: event.version,
  alias: event.alias,
  before: event.before === null ? null : JSON.stringify(event.before),
  after: event.after === null ? null : JSON.stringify(event.after),
  changed_at: event.changedAt,
  not_before: event.notBefore,
  observed_at: event.observedAt,
});

/** A change as recorded. It happened after `notBefore` and was seen at `observedAt` (ISO 8601). */
export type RegistryEvent = {
  id: number;
  registry: string;
  type: EventType;
  name: string;
  version: string | null;
  alias: string | null;
  before: unknown;
  after: unknown;
  changedAt: string | null;
  notBefore: string;
  observedAt: string;
};
