import { buildSnapshot } from '../snapshot/snapshot.ts';
import { type MirrorOptions, persist, type State, splice } from './refresh.ts';
import type { Head } from './shared-snapshots.ts';

/**
 * How towers over one store share what they read of the registry. What a tower has is derived from a revision; it leaves its
 * own as the next one after that. Where another tower was faster, what that one read later is taken over or read again.
 */

/** One after the other: what is left and what is taken must not cross. */
function inTurn<T>(state: State, work: () => Promise<T>): Promise<T> {
  const done = state.sharing.then(work);
  state.sharing = done.then(
    () => undefined,
    () => undefined,
  );
  return done;
}

/** More towers than that are not faster than one in a row. */
const mostTries = 10;

/** Leaves what this tower has read for the others: the whole, or models by name. What cannot be left is no trouble to the reader. */
export async function share(options: MirrorOptions, state: State, signal: AbortSignal): Promise<void> {
  if (!options.shared || state.origin === 'sample') return;
  await inTurn(state, () => leave(options, state, signal)).catch((error: unknown) => {
    options.log.warn({ err: error }, 'what was read of the registry could not be left for the other towers');
  });
}

async function leave(options: MirrorOptions, state: State, signal: AbortSignal): Promise<void> {
  const { shared } = options;
  for (let tries = 0; shared && tries < mostTries; tries += 1) {
    const { source } = state;
    const head = await shared.head(source.fingerprint);
    if (head && head.revision !== state.revision) await catchUp(options, state, head, signal);
    const { snapshot, unshared } = state;
    if (!snapshot || (unshared.size === 0 && !state.isWholeUnshared)) return;
    const mine = new Map(unshared);
    const kept = [...(head?.named ?? [])].filter(([, at]) => at >= snapshot.readAt);
    const about = {
      fingerprint: source.fingerprint,
      source: source.label,
      readAt: snapshot.readAt,
      rounds: state.rounds,
    };
    const isWhole = state.isWholeUnshared;
    const revision = await shared.put(snapshot.rows, about, new Map([...kept, ...mine]), head?.revision ?? null);
    if (revision === null) continue;
    state.revision = revision;
    for (const [name, at] of mine) if (unshared.get(name) === at) unshared.delete(name);
    // A whole read that came meanwhile is left by its own call.
    if (isWhole && state.snapshot === snapshot) state.isWholeUnshared = false;
    return;
  }
}

/** Brings what this tower has up to what another has left since. */
async function catchUp(options: MirrorOptions, state: State, head: Head, signal: AbortSignal): Promise<void> {
  const mine = state.origin === 'mlflow' ? state.snapshot : null;
  if (!mine || head.readAt > mine.readAt || !state.isWholeUnshared) {
    await take(options, state, signal);
    return;
  }
  // This tower read the whole later: what others read by name since it began is newer still.
  const names = [...head.named].filter(([, at]) => at >= mine.readAt).map(([name]) => name);
  await readAgain(options, state, names, signal);
  state.revision = head.revision;
}

/** Takes over what is shared, but for what this tower itself has read since and not left yet. @returns whether there was anything */
async function take(options: MirrorOptions, state: State, signal: AbortSignal): Promise<boolean> {
  const { source, shared } = options;
  if (!source || !shared) return false;
  const before = state.snapshot;
  const mine = state.origin === 'mlflow' ? before : null;
  const taken = await shared.take(source.fingerprint, mine?.rows ?? null);
  if (!taken) return false;
  const { rows, head } = taken;
  const fresh =
    mine && rows === mine.rows
      ? { ...mine, readAt: head.readAt }
      : await buildSnapshot(rows, head.readAt, options.aliasTable);
  // Read by this tower meanwhile: whoever did so leaves it next, and comes by here again.
  if (state.snapshot !== before) return true;
  if (state.source !== source) await state.source.close();
  Object.assign(state, { source, origin: 'mlflow', snapshot: fresh, revision: head.revision, isWholeUnshared: false });
  if (state.connected === null) Object.assign(state, { connected: true, lastError: null });
  await readAgain(options, state, [...state.unshared.keys()], signal);
  await persist(options, state, state.snapshot ?? fresh);
  return true;
}

async function readAgain(options: MirrorOptions, state: State, names: string[], signal: AbortSignal): Promise<void> {
  for (;;) {
    const { snapshot, source } = state;
    if (!snapshot || names.length === 0 || !source.readModels) return;
    const parts = await source.readModels(names, snapshot.rows, signal);
    if (!parts) return;
    const fresh = await splice(options, snapshot, new Set(names), parts);
    if (state.snapshot !== snapshot) continue;
    state.snapshot = fresh;
    return;
  }
}

/**
 * Takes over what another tower has left. Its changes were journaled by that tower.
 * @returns whether there is anything to answer from
 */
export async function followOnce(options: MirrorOptions, state: State, signal: AbortSignal): Promise<boolean> {
  const { source, shared } = options;
  if (!source || !shared) return true;
  return inTurn(state, async () => {
    const head = await shared.head(source.fingerprint);
    if (!head || head.revision === state.revision) return state.snapshot !== null;
    // This tower has read the whole later and is about to leave it.
    if (state.isWholeUnshared && state.snapshot && state.snapshot.readAt >= head.readAt) return true;
    return (await take(options, state, signal)) || state.snapshot !== null;
  });
}
