import { createJournal, type JournalOptions } from '#services/registry/journal/journal.ts';
import type { RegistryEvent } from '#services/registry/journal/journal-events.ts';
import { buildSnapshot, type RegistryRows, type Snapshot } from '#services/registry/snapshot/snapshot.ts';
import { aliasTable, handClock } from './sources.ts';
import { storeIn } from './stores.ts';
import { keptLog } from './tower.ts';

/** Time of the last poll by directory: time continues from one process to the next. */
const clocks = new Map<string, number>();

/** A journal over a store in this directory, and the events it has made so far. */
export function journalIn(directory: string, more: Partial<JournalOptions> = {}) {
  const store = storeIn(directory);
  const made: RegistryEvent[] = [];
  const { log, text } = keptLog();
  const journal = createJournal({
    store,
    registry: 'default',
    source: () => 'toy',
    clock: handClock(),
    log,
    enqueue: async () => undefined,
    move: async () => undefined,
    onEvents: (events) => made.push(...events),
    ...more,
  });
  /** Processes these rows, one minute later each time. */
  const poll = async (rows: RegistryRows, names: ReadonlySet<string> | null = null): Promise<RegistryEvent[]> => {
    const at = (clocks.get(directory) ?? Date.UTC(2026, 10, 20)) + 60_000;
    clocks.set(directory, at);
    const before = made.length;
    await journal.record(await snapshotFrom(rows, at), { from: at, at, names });
    return made.slice(before);
  };
  return { journal, store, made, look: poll, logText: text };
}

export const snapshotFrom = (rows: RegistryRows, at: number): Promise<Snapshot> => buildSnapshot(rows, at, aliasTable);

/** One-line summary of an event: `model_version_alias.moved DNA v2 @champion "1" -> "2"`. */
export function eventSummary({
  type,
  name,
  version,
  alias,
  before,
  after,
}: Pick<RegistryEvent, 'type' | 'name' | 'version' | 'alias' | 'before' | 'after'>): string {
  const where = [name, version === null ? '' : `v${version}`, alias === null ? '' : `@${alias}`]
    .filter(Boolean)
    .join(' ');
  const isLife = /^(registered_model|model_version)\.(created|deleted)$/.test(type);
  return isLife ? `${type} ${where}` : `${type} ${where} ${JSON.stringify(before)} -> ${JSON.stringify(after)}`;
}
