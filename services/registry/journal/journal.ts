import type { Clock } from '#kernel/clock.ts';
import type { Log } from '#kernel/log.ts';
import { createYielder, forEachYielding } from '#kernel/yield-event-loop.ts';
import type { Store, Transaction } from '#store/store.ts';
import type { VersionMove } from '#store/version-rows.ts';
import type { Poll } from '../mirror/mirror.ts';
import type { RegisteredModel, Snapshot } from '../snapshot/snapshot.ts';
import { type Change, diffModel, findRenames, type ModelState } from './diff.ts';
import { movesOf } from './identity.ts';
import { insertEvents, type JournalWrite, type RegistryEvent } from './journal-events.ts';
import { loadState, rowsAtOnce, type StateRow, stateChanges, writeState } from './journal-state.ts';
import { modelAfterPoll } from './polled-model.ts';
import { setAsideText, storableModels } from './storable-models.ts';

export type Journal = {
  /**
   * Compares a snapshot with the recorded state, and records the changes together with the new state in one transaction, so
   * that each event is recorded once. The first snapshot makes no events. Never throws.
   */
  record(snapshot: Snapshot, poll: Poll): Promise<void>;
  /** True while something was missed once or is ambiguous: another poll should follow soon. */
  isUncertain(): boolean;
  /** Why the last snapshot could not be journaled, or which of its models could not; retried with the next. */
  lastError(): string | null;
};

export type JournalOptions = {
  store: Store;
  registry: string;
  /** Fingerprint of the source: events are changes of one source, never the difference of two. */
  source: () => string;
  clock: Clock;
  log: Log;
  /** Enqueues outbox messages of the events, in the same transaction. */
  enqueue: (transaction: Transaction, events: RegistryEvent[]) => Promise<void>;
  /** Moves what users attached to versions, in the same transaction. */
  move: (transaction: Transaction, moves: VersionMove[]) => Promise<void>;
  /** Called with events once they are committed. */
  onEvents: (events: RegistryEvent[]) => void;
};

/**
 * How a poll of the registry becomes events.
 *
 *   poll ─▶ snapshot ─▶ compare with the recorded state ─▶ diff per model ─▶ one transaction:
 *                                                             revision + 1, only from the revision that was read
 *                                                             events, numbered in the order of their commits
 *                                                             outbox messages of the events
 *                                                             the new state
 *
 * A model or version that is missing once stays in the state, and is recorded as deleted when the next poll misses it too
 * (polled-model.ts). Where another instance has written the journal meanwhile, the transaction fails as a whole; the state is
 * loaded again and compared anew, without the models that the other instance has seen since this poll began.
 */

/** The recorded state of a registry, from one poll to the next. */
type JournalState = {
  models: Map<string, ModelState>;
  /** Start of the poll that was recorded last; null: none was. */
  readAt: string | null;
  /** Models and versions that the last poll missed, with the time they were last seen. */
  missed: Map<string, string>;
  /** The last poll left a decision to a whole poll. */
  needsFullPoll: boolean;
  /** Number of writes, for optimistic concurrency with other instances over the store. */
  revision: number;
};

type Step = { name: string; before: ModelState | null; after: ModelState | null; changes: Change[] };

class RevisionConflict extends Error {}

export function createJournal(options: JournalOptions): Journal {
  let known: JournalState | null = null;
  let lastError: string | null = null;
  let turn: Promise<void> = Promise.resolve();
  const record = async (snapshot: Snapshot, poll: Poll): Promise<void> => {
    try {
      const isJustLoaded = known === null;
      known ??= await loadJournalState(options);
      const { storable, setAside } = storableModels(snapshot);
      // A poll of some models cannot be the first: the other models are unknown.
      if (poll.names && known.readAt === null) return;
      const recording = (isJustLoaded ? recordAfterOtherInstance : recordSnapshot)(options, known, storable, poll);
      known = await recording.catch(async (error: unknown) => {
        // Events recorded by the other instance must not be recorded again: compare anew with its state.
        if (error instanceof RevisionConflict)
          return recordAfterOtherInstance(options, await loadJournalState(options), storable, poll);
        throw error;
      });
      lastError = setAside.length === 0 ? null : setAsideText(setAside);
    } catch (error) {
      // The recorded state stays one poll behind, so the next comparison finds the same changes.
      known = null;
      lastError = error instanceof Error ? error.message : String(error);
      options.log.error({ err: error }, 'failed to journal changes of the registry; retrying with the next poll');
    }
  };
  return {
    record: (snapshot, poll) => {
      turn = turn.then(() => record(snapshot, poll));
      return turn;
    },
    isUncertain: () => known !== null && (known.missed.size > 0 || known.needsFullPoll),
    lastError: () => lastError,
  };
}

async function loadJournalState({ store, registry, source, log }: JournalOptions): Promise<JournalState> {
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
    needsFullPoll: false,
    revision: 0,
  };
  if (!row) return nothingYet;
  if (row.source !== source()) {
    log.warn({ registry }, 'the journal belongs to another source: recording restarts without events');
    return nothingYet;
  }
  const models = await loadState(store, registry);
  return { ...nothingYet, models, readAt: row.read_at, revision: row.revision };
}

/**
 * Compares with a state that another instance may have recorded during this poll. Models recorded since the poll began
 * are left to the next poll: this poll may have read them before that.
 */
async function recordAfterOtherInstance(
  options: JournalOptions,
  known: JournalState,
  snapshot: Snapshot,
  poll: Poll,
): Promise<JournalState> {
  const db = await options.store.db();
  const rows = await db
    .selectFrom('registry_events')
    .select('name')
    .distinct()
    .where('registry', '=', options.registry)
    .where('observed_at', '>=', new Date(poll.from).toISOString())
    .execute();
  const changed = new Set(rows.map(({ name }) => name));
  if (changed.size === 0) return recordSnapshot(options, known, snapshot, poll);
  const all = poll.names ?? new Set([...snapshot.models.keys(), ...known.models.keys()]);
  const names = new Set([...all].filter((name) => !changed.has(name)));
  const after = names.size > 0 ? await recordSnapshot(options, known, snapshot, { ...poll, names }) : known;
  return { ...after, needsFullPoll: true };
}

async function recordSnapshot(
  options: JournalOptions,
  known: JournalState,
  snapshot: Snapshot,
  poll: Poll,
): Promise<JournalState> {
  if (known.readAt === null) return recordFirstSnapshot(options, snapshot, poll);
  const notBefore = known.readAt;
  const { models, missed } = poll.names ? stateOfOtherModels(known, poll.names) : emptyState();
  const steps: Step[] = [];
  const take = (before: ModelState | null, seen: RegisteredModel | null) => {
    const after = modelAfterPoll(before, seen, known.missed, missed, notBefore);
    if (before) models.delete(before.name);
    if (after) models.set(after.name, after);
    const changes = diffModel(before, after);
    if (changes.length > 0) steps.push({ name: (after ?? before)?.name ?? '', before, after, changes });
  };
  const { seen, renames, needsFullPoll, vanished } = compareNames(known, snapshot, poll.names);
  await forEachYielding(seen, (model) => {
    take(known.models.get(renames.get(model.name) ?? model.name) ?? null, model);
  });
  await forEachYielding(vanished, (model) => take(model, null));
  const at = new Date(poll.at).toISOString();
  // Models outside this poll keep their state.
  const readAt = poll.names ? known.readAt : new Date(poll.from).toISOString();
  const { revision } = known;
  const events = await write(options, steps, { at, readAt, notBefore, revision, missed: known.missed });
  if (events.length > 0) options.onEvents(events);
  return { models, readAt, missed, needsFullPoll, revision: revision + 1 };
}

/**
 * The first poll makes no events, so it needs no transaction: the state is written in batches, and the row that marks
 * it complete comes last. An interrupted first poll starts over.
 */
async function recordFirstSnapshot(
  { store, registry, source }: JournalOptions,
  snapshot: Snapshot,
  poll: Poll,
): Promise<JournalState> {
  const db = await store.db();
  await db.deleteFrom('registry_state').where('registry', '=', registry).execute();
  const models = new Map<string, ModelState>();
  let put: StateRow[] = [];
  const yielder = createYielder();
  for (const model of snapshot.models.values()) {
    if (yielder.due()) await yielder.yieldNow();
    models.set(model.name, model);
    put.push(...stateChanges(registry, model.name, null, model).put);
    if (put.length < rowsAtOnce) continue;
    await writeState(db, registry, put, []);
    put = [];
  }
  await writeState(db, registry, put, []);
  const [from, at] = [new Date(poll.from).toISOString(), new Date(poll.at).toISOString()];
  const head = { recorded_since: at, read_at: from, source: source(), revision: 1 };
  await db
    .insertInto('registry_journals')
    .values({ registry, ...head })
    .onConflict((on) => on.column('registry').doUpdateSet(head))
    .execute();
  return { models, readAt: from, missed: new Map(), needsFullPoll: false, revision: 1 };
}

/** The state of all models outside this poll. */
const stateOfOtherModels = ({ models, missed }: JournalState, names: ReadonlySet<string>) => ({
  models: new Map(models),
  missed: new Map([...missed].filter(([key]) => !names.has(key.slice(key.indexOf('\n') + 1)))),
});

const emptyState = () => ({ models: new Map<string, ModelState>(), missed: new Map<string, string>() });

/** Classifies the polled models: seen, renamed, missing. */
function compareNames(known: JournalState, snapshot: Snapshot, names: ReadonlySet<string> | null) {
  const isMeant = ({ name }: { name: string }) => names === null || names.has(name);
  const selected = [...snapshot.models.values()].filter(isMeant);
  // A poll of some models cannot distinguish a new model from a renamed one; the next whole poll can.
  const couldBeRenamed = (model: RegisteredModel) =>
    names !== null && !known.models.has(model.name) && createdAt(known).has(model.createdAt);
  const seen = selected.filter((model) => !couldBeRenamed(model));
  const removed = [...known.models.values()].filter((model) => isMeant(model) && !snapshot.models.has(model.name));
  const appeared =
    removed.length === 0 ? [] : [...snapshot.models.values()].filter((model) => !known.models.has(model.name));
  const renames = findRenames(removed, appeared);
  const renamed = new Set(renames.values());
  return {
    seen,
    renames,
    needsFullPoll: seen.length < selected.length,
    vanished: removed.filter((model) => !renamed.has(model.name)),
  };
}

const createdAt = (known: JournalState): Set<number | null> =>
  new Set([...known.models.values()].map((model) => model.createdAt).filter((time) => time !== null));

/** One transaction: events, their outbox messages, the new state. */
async function write(options: JournalOptions, steps: Step[], poll: JournalWrite): Promise<RegistryEvent[]> {
  const { store, registry } = options;
  const db = await store.db();
  return db.transaction().execute(async (transaction) => {
    const { numUpdatedRows } = await transaction
      .updateTable('registry_journals')
      .set({ read_at: poll.readAt, revision: poll.revision + 1 })
      .where('registry', '=', registry)
      .where('revision', '=', poll.revision)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw new RevisionConflict('another instance has written this journal');
    // Before the events of this poll: deletions recorded earlier tell which version was there.
    const moves = await movesOf(transaction, registry, steps, poll.at);
    if (moves.length > 0) await options.move(transaction, moves);
    const changes = steps.flatMap((step) => step.changes);
    // Followers read by id, so ids must be committed in order.
    if (changes.length > 0) await store.serialised(transaction, 'registry events');
    const events = await insertEvents(transaction, registry, changes, poll);
    if (events.length > 0) await options.enqueue(transaction, events);
    const yielder = createYielder();
    const [put, drop]: [Parameters<typeof writeState>[2], Parameters<typeof writeState>[3]] = [[], []];
    for (const { name, before, after } of steps) {
      const rows = stateChanges(registry, name, before, after);
      put.push(...rows.put);
      drop.push(...rows.drop);
      if (yielder.due()) await yielder.yieldNow();
    }
    await writeState(transaction, registry, put, drop);
    return events;
  });
}
