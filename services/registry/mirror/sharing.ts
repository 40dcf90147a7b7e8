import type { Log } from '#kernel/log.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { RegistrySource } from '../sources/source.ts';
import type { MirrorState } from './mirror-state.ts';
import type { Reader } from './reader.ts';
import type { Head, SharedSnapshots } from './shared-snapshots.ts';

/**
 * Instances over one store share what they read, by optimistic concurrency on one row that holds the newest snapshot (its
 * revision, and the models read by name since the whole was read).
 *
 *   leader                 store               follower
 *   read, swap
 *   merge head if newer <- head
 *   put after head      -> revision n + 1
 *                          notify           -> follow: take revision n + 1, swap
 *
 * A put after a revision that is not the newest fails; the instance merges the newest one and puts again. Merging keeps, of
 * each part, what was read last: the later whole, and models that were read by name after it.
 */

type Options = {
  shared: SharedSnapshots;
  /** The configured registry. */
  source: RegistrySource;
  state: MirrorState;
  reader: Reader;
  stopping: AbortSignal;
  log: Log;
};

/** Retries of a put that lost to another instance, until the next read. */
const maxPuts = 10;

export function createSharing(options: Options) {
  const { shared, source, state, log } = options;
  /** Unpublished reads of this instance: models by name with the time, and whether there was a full read. */
  const unpublished: Unpublished = { models: new Map(), hasFullRead: false };
  let last: Promise<unknown> = Promise.resolve();
  /** Serialized: publishing and following must not interleave. */
  const serialised = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
  return {
    /** Subscriber, before all others: notes what is to be published, at the moment of the swap. */
    mark: (swap: Parameters<Parameters<MirrorState['subscribe']>[0]>[0]): void => {
      if (swap.cause === 'read') unpublished.hasFullRead = swap.origin === 'mlflow';
      if (swap.cause === 'models') for (const name of swap.names) unpublished.models.set(name, swap.from);
      if (swap.cause === 'shared') unpublished.hasFullRead = false;
    },
    /**
     * Subscriber, after all others: publishes what this instance has read. A failure is logged and does not fail the
     * read.
     */
    publish: async ({ cause, origin }: { cause: string; origin: string }): Promise<void> => {
      if (origin === 'sample' || (cause !== 'read' && cause !== 'models')) return;
      await serialised(() => publish(options, unpublished)).catch((error: unknown) =>
        log.warn({ err: error }, 'failed to publish the snapshot'),
      );
    },
    /** Takes over a snapshot of another instance, which also journaled it. @returns whether there is a snapshot */
    follow: (): Promise<boolean> =>
      serialised(async () => {
        const head = await shared.head(source.fingerprint);
        const { snapshot, revision } = state.content();
        if (!head || head.revision === revision) return snapshot !== null;
        // This instance has a later full read, which it is about to publish.
        if (unpublished.hasFullRead && snapshot && snapshot.readAt >= head.readAt) return true;
        await take(options, unpublished);
        return state.content().snapshot !== null;
      }),
  };
}

type Unpublished = { models: Map<string, number>; hasFullRead: boolean };

async function publish(options: Options, unpublished: Unpublished): Promise<void> {
  const { shared, state, source } = options;
  for (let puts = 0; puts < maxPuts; puts += 1) {
    const head = await shared.head(source.fingerprint);
    if (head && head.revision !== state.content().revision && !(await merge(options, unpublished, head))) continue;
    const { snapshot } = state.content();
    if (!snapshot || (unpublished.models.size === 0 && !unpublished.hasFullRead)) return;
    const ownSnapshot = new Map(unpublished.models);
    const hasFullRead = unpublished.hasFullRead;
    // Models that others read by name, unless the whole is newer.
    const named = [...(head?.named ?? [])].filter(([, at]) => at >= snapshot.readAt);
    const about = {
      fingerprint: source.fingerprint,
      source: source.label,
      readAt: snapshot.readAt,
      rounds: state.rounds(),
    };
    const revision = await shared.put(
      snapshot.rows,
      about,
      new Map([...named, ...ownSnapshot]),
      head?.revision ?? null,
    );
    if (revision === null) continue;
    state.published(revision);
    for (const [name, at] of ownSnapshot) if (unpublished.models.get(name) === at) unpublished.models.delete(name);
    // A full read that arrived meanwhile is published by its own call.
    if (hasFullRead && state.content().snapshot === snapshot) unpublished.hasFullRead = false;
    return;
  }
}

/** Merges what another instance published since. @returns false if this instance swapped in between */
async function merge(options: Options, unpublished: Unpublished, head: Head): Promise<boolean> {
  const { state } = options;
  const { snapshot, origin } = state.content();
  const ownSnapshot = origin === 'mlflow' ? snapshot : null;
  if (!ownSnapshot || head.readAt > ownSnapshot.readAt || !unpublished.hasFullRead) return take(options, unpublished);
  // This instance's full read is later: only models that others read by name since it began are newer.
  const names = new Set([...head.named].filter(([, at]) => at >= ownSnapshot.readAt).map(([name]) => name));
  const merged = await reread(options, ownSnapshot, names);
  if (state.content().snapshot !== ownSnapshot) return false;
  if (merged === ownSnapshot) state.published(head.revision);
  else
    await state.swap({ ...state.content(), cause: 'reread', snapshot: merged, revision: head.revision }, ownSnapshot);
  return true;
}

/** Takes over the shared snapshot, with the models that this instance has read by name since and not published yet. */
async function take(options: Options, unpublished: Unpublished): Promise<boolean> {
  const { shared, source, state, reader } = options;
  const { snapshot: before, origin } = state.content();
  const ownSnapshot = origin === 'mlflow' ? before : null;
  const taken = await shared.read(source.fingerprint, ownSnapshot?.rows ?? null);
  if (!taken) return true;
  const { rows, head } = taken;
  const sharedSnapshot =
    ownSnapshot && rows === ownSnapshot.rows
      ? { ...ownSnapshot, readAt: head.readAt }
      : await reader.build(rows, head.readAt);
  const names = new Set(unpublished.models.keys());
  const snapshot = await reread(options, sharedSnapshot, names).catch((error: unknown) => {
    // An instance whose MLflow is down still follows the others.
    options.log.warn({ err: error, models: [...names] }, 'failed to reread models; merging by time of read');
    for (const [name, at] of unpublished.models) if (at < head.readAt) unpublished.models.delete(name);
    return ownSnapshot
      ? reader.copyModels(sharedSnapshot, new Set(unpublished.models.keys()), ownSnapshot)
      : sharedSnapshot;
  });
  const { revision } = head;
  return state.swap({ cause: 'shared', snapshot, source, origin: 'mlflow', revision }, before);
}

/** The snapshot with some models reread; unchanged if the source cannot read models by name. */
async function reread(
  { reader, source, stopping }: Options,
  snapshot: Snapshot,
  names: ReadonlySet<string>,
): Promise<Snapshot> {
  if (names.size === 0) return snapshot;
  return (await reader.readModels(source, snapshot, names, stopping)) ?? snapshot;
}
