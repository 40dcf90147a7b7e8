import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import { createYielder, forEachYielding } from '#kernel/yield-event-loop.ts';
import type { Store, Transaction } from '#store/store.ts';
import type { Poll } from '../mirror/mirror.ts';
import type { RegisteredModel, Snapshot } from '../snapshot/snapshot.ts';
import { type Change, diffModel, findRenames, type ModelState } from './diff.ts';
import { insertEvents, type RegistryEvent, type Writing } from './journal-events.ts';
import { loadState, rowsAtOnce, type StateRow, stateChanges, writeState } from './journal-state.ts';
import { modelAfterPoll } from './polled-model.ts';
export type Journal = {
  /**
   * Compares a snapshot with what was journaled last, and writes down what changed together with the new state, in one
   * transaction: an event is made once, whatever happens in between. The first snapshot ever is the beginning and
   * makes no events. Something that is missing counts as deleted when it is missing a second time. Never throws.
   */
  record(snapshot: Snapshot, look: Poll): Promise<void>;
  /** True while something was missed once, or could be two things, and another look should decide. */
  isUncertain(): boolean;
  /** What kept the last snapshot from being journaled; it is tried again with the next. */
  lastError(): string | null;
};

export type JournalOptions = {
  store: Store;
  registry: string;
  /** Names where the registry is read from: events are changes of one source, never the difference of two. */
  source: () => string;
  clock: Clock;
  log: Log;
  /** Writes what the events promise to others, in the same transaction. */
  enqueue: (transaction: Transaction, events: RegistryEvent[]) => Promise<void>;
  /** Told of events once they are kept for good. */
  onEvents: (events: RegistryEvent[]) => void;
};

/** What is known of a registry from one look to the next. */
type Known = {
  models: Map<string, ModelState>;
  /** When the look was made that this was learned from; null = never looked. */
  readAt: string | null;
  /** Models and versions that were not there at the last look, and the look at which they were. */
  missed: Map<string, string>;
  /** The last look left something for a whole one to decide. */
  isDoubtful: boolean;
  /** How often the journal was written: another tower on the same folder may have been faster. */
  revision: number;
};

type Step = { name: string; before: ModelState | null; after: ModelState | null; changes: Change[] };

class Overtaken extends Error {}

export function createJournal(options: JournalOptions): Journal {
  let known: Known | null = null;
  let lastError: string | null = null;
  let turn: Promise<void> = Promise.resolve();
  const record = async (snapshot: Snapshot, look: Poll): Promise<void> => {
    try {
      const isJustLoaded = known === null;
      known ??= await loadKnown(options);
      // A look at a few models cannot be the beginning: nothing is known of the others.
      if (look.names && known.readAt === null) return;
      const recording = (isJustLoaded ? recordBeside : recordSnapshot)(options, known, snapshot, look);
      known = await recording.catch(async (error: unknown) => {
        // What the other has told is not told again: the comparison is made anew, with what it left.
        if (error instanceof Overtaken) return recordBeside(options, await loadKnown(options), snapshot, look);
        throw error;
      });
      lastError = null;
    } catch (error) {
      // What was not written is in the next comparison again: the stored state is older by one look.
      known = null;
      lastError = error instanceof Error ? error.message : String(error);
      options.log.error(
        { err: error },
        'what changed in the registry could not be journaled; it will be with the next look',
      );
    }
  };
  return {
    record: (snapshot, look) => {
      turn = turn.then(() => record(snapshot, look));
      return turn;
    },
    isUncertain: () => known !== null && (known.missed.size > 0 || known.isDoubtful),
    lastError: () => lastError,
  };
}

async function loadKnown({ store, registry, source, log }: JournalOptions): Promise<Known> {
  const db = await store.db();
  const row = await db
    .selectFrom('registry_journals')
    .select(['read_at', 'source', 'revision'])
    .where('registry', '=', registry)
    .executeTakeFirst();
  const nothingYet = {
    models: new Map(),
    readAt: null,
    missed: new Map<string, string>(),
    isDoubtful: false,
    revision: 0,
  };
  if (!row) return nothingYet;
  if (row.source !== source()) {
    log.warn({ registry }, 'the journal was written over another source: recording begins anew, with no events');
    return nothingYet;
  }
  const models = await loadState(store, registry);
  return { ...nothingYet, models, readAt: row.read_at, revision: row.revision };
}

/**
 * Compares with a state another tower may have written while this look was made. What that one saw of a model since the look
 * began must not be told backwards: such models are left to the next look.
 */
async function recordBeside(options: JournalOptions, known: Known, snapshot: Snapshot, look: Poll): Promise<Known> {
  const db = await options.store.db();
  const rows = await db
    .selectFrom('registry_events')
    .select('name')
    .distinct()
    .where('registry', '=', options.registry)
    .where('observed_at', '>=', new Date(look.from).toISOString())
    .execute();
  const changed = new Set(rows.map(({ name }) => name));
  if (changed.size === 0) return recordSnapshot(options, known, snapshot, look);
  const all = look.names ?? new Set([...snapshot.models.keys(), ...known.models.keys()]);
  const names = new Set([...all].filter((name) => !changed.has(name)));
  const after = names.size > 0 ? await recordSnapshot(options, known, snapshot, { ...look, names }) : known;
  return { ...after, isDoubtful: true };
}

async function recordSnapshot(options: JournalOptions, known: Known, snapshot: Snapshot, look: Poll): Promise<Known> {
  if (known.readAt === null) return begin(options, snapshot, look);
  const notBefore = known.readAt;
  const { models, missed } = look.names ? others(known, look.names) : nothing();
  const steps: Step[] = [];
  const take = (before: ModelState | null, seen: RegisteredModel | null) => {
    const after = modelAfterPoll(before, seen, known.missed, missed, notBefore);
    if (before) models.delete(before.name);
    if (after) models.set(after.name, after);
    const changes = diffModel(before, after);
    if (changes.length > 0) steps.push({ name: (after ?? before)?.name ?? '', before, after, changes });
  };
  const { seen, renames, isDoubtful, vanished } = compareNames(known, snapshot, look.names);
  await forEachYielding(seen, (model) => {
    take(known.models.get(renames.get(model.name) ?? model.name) ?? null, model);
  });
  await forEachYielding(vanished, (model) => take(model, null));
  const at = new Date(look.at).toISOString();
  // The other models were not looked at now: what is known of them is as old as it was.
  const readAt = look.names ? known.readAt : new Date(look.from).toISOString();
  const { revision } = known;
  const events = await write(options, steps, { at, readAt, notBefore, revision, missed: known.missed });
  if (events.length > 0) options.onEvents(events);
  return { models, readAt, missed, isDoubtful, revision: revision + 1 };
}

/**
 * The first look makes no events, so nothing has to be kept together: the state is written piece by piece, and that it
 * is whole comes last. A beginning that was cut short is begun again.
 */
async function begin({ store, registry, source }: JournalOptions, snapshot: Snapshot, look: Poll): Promise<Known> {
  const db = await store.db();
  await db.deleteFrom('registry_state').where('registry', '=', registry).execute();
  const models = new Map<string, ModelState>();
  let put: StateRow[] = [];
  const breath = createYielder();
  for (const model of snapshot.models.values()) {
    if (breath.due()) await breath.yieldNow();
    models.set(model.name, model);
    put.push(...stateChanges(registry, model.name, null, model).put);
    if (put.length < rowsAtOnce) continue;
    await writeState(db, registry, put, []);
    put = [];
  }
  await writeState(db, registry, put, []);
  const [from, at] = [new Date(look.from).toISOString(), new Date(look.at).toISOString()];
  const head = { recorded_since: at, read_at: from, source: source(), revision: 1 };
  await db
    .insertInto('registry_journals')
    .values({ registry, ...head })
    .onConflict((on) => on.column('registry').doUpdateSet(head))
    .execute();
  return { models, readAt: from, missed: new Map(), isDoubtful: false, revision: 1 };
}

/** What a look at a few models leaves as it was. */
const others = ({ models, missed }: Known, names: ReadonlySet<string>) => ({
  models: new Map(models),
  missed: new Map([...missed].filter(([key]) => !names.has(key.slice(key.indexOf('\n') + 1)))),
});

const nothing = () => ({ models: new Map<string, ModelState>(), missed: new Map<string, string>() });

/** Of the models looked at: which are there, which bear a new name, and which are nowhere to be seen. */
function compareNames(known: Known, snapshot: Snapshot, names: ReadonlySet<string> | null) {
  const isMeant = ({ name }: { name: string }) => names === null || names.has(name);
  const looked = [...snapshot.models.values()].filter(isMeant);
  // Of a few models nobody can tell a new one from one that has a new name; the next whole look can.
  const couldBeRenamed = (model: RegisteredModel) =>
    names !== null && !known.models.has(model.name) && createdAt(known).has(model.createdAt);
  const seen = looked.filter((model) => !couldBeRenamed(model));
  const gone = [...known.models.values()].filter((model) => isMeant(model) && !snapshot.models.has(model.name));
  const appeared =
    gone.length === 0 ? [] : [...snapshot.models.values()].filter((model) => !known.models.has(model.name));
  const renames = findRenames(gone, appeared);
  const renamed = new Set(renames.values());
  return {
    seen,
    renames,
    isDoubtful: seen.length < looked.length,
    vanished: gone.filter((model) => !renamed.has(model.name)),
  };
}

const createdAt = (known: Known): Set<number | null> =>
  new Set([...known.models.values()].map((model) => model.createdAt).filter((time) => time !== null));

/** One transaction: the events, what they promise, the state they lead to. */
async function write(options: JournalOptions, steps: Step[], look: Writing): Promise<RegistryEvent[]> {
  const { store, registry } = options;
  const db = await store.db();
  return db.transaction().execute(async (transaction) => {
    const { numUpdatedRows } = await transaction
      .updateTable('registry_journals')
      .set({ read_at: look.readAt, revision: look.revision + 1 })
      .where('registry', '=', registry)
      .where('revision', '=', look.revision)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw new Overtaken('another tower has written this journal');
    const changes = steps.flatMap((step) => step.changes);
    // Whoever follows the journal goes by its numbers, which must not appear out of their order.
    if (changes.length > 0) await store.inTurn(transaction, 'registry events');
    const events = await insertEvents(transaction, registry, changes, look);
    if (events.length > 0) await options.enqueue(transaction, events);
    const breath = createYielder();
    const [put, drop]: [Parameters<typeof writeState>[2], Parameters<typeof writeState>[3]] = [[], []];
    for (const { name, before, after } of steps) {
      const rows = stateChanges(registry, name, before, after);
      put.push(...rows.put);
      drop.push(...rows.drop);
      if (breath.due()) await breath.yieldNow();
    }
    await writeState(transaction, registry, put, drop);
    return events;
  });
}
