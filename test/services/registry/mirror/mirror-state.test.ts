import { describe, expect, it } from 'vitest';
import { unavailable } from '#kernel/errors.ts';
import { createDeletionGuard } from '#services/registry/mirror/mass-deletion.ts';
import { createMirrorState, type Swap } from '#services/registry/mirror/mirror-state.ts';
import { createRefresher, type RefreshOptions } from '#services/registry/mirror/refresh.ts';
import type { Snapshot } from '#services/registry/snapshot/snapshot.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';

const snapshotAt = (readAt: number) => ({ readAt, models: new Map() }) as unknown as Snapshot;

function sourceNamed(label: string) {
  const closed: string[] = [];
  const source = { label, close: async () => void closed.push(label) } as unknown as RegistrySource;
  return { source, closed };
}

function stateOver(origin: 'mlflow' | 'sample' = 'mlflow') {
  const configured = sourceNamed('mlflow');
  const state = createMirrorState(configured.source, origin, { now: () => 5_000 });
  const read = (readAt: number, more: Partial<Swap> = {}): Swap =>
    ({
      cause: 'read',
      from: readAt,
      snapshot: snapshotAt(readAt),
      source: configured.source,
      origin,
      revision: null,
      ...more,
    }) as Swap;
  return { state, read, ...configured };
}

describe('createMirrorState', () => {
  it('keeps its age when the system clock is set, and when models are read by name', async () => {
    const time = { now: 50_000, steady: 100 };
    const { source } = sourceNamed('mlflow');
    const state = createMirrorState(source, 'mlflow', { now: () => time.now, steady: () => time.steady });
    const swap = (cause: 'read' | 'shared', readAt: number) =>
      state.swap({
        cause,
        from: readAt,
        snapshot: snapshotAt(readAt),
        source,
        origin: 'mlflow',
        revision: null,
      } as Swap);
    await swap('read', 49_000);
    for (const now of [20_000, 900_000]) {
      Object.assign(time, { now, steady: time.steady + 500 });
      await swap('shared', 49_000);
    }
    expect(state.ageMs()).toBe(2_000);
    await swap('read', 1_000_000);
    expect(state.ageMs()).toBe(0);
  });

  it('notifies subscribers of a swap in order, the first before swap returns', async () => {
    const { state, read } = stateOver();
    const told: string[] = [];
    const gate = Promise.withResolvers<void>();
    state.subscribe(() => void told.push('first'));
    state.subscribe(async () => {
      await gate.promise;
      told.push('second');
    });
    state.subscribe(() => void told.push('third'));
    const swapped = state.swap(read(1_000));
    expect(told).toEqual(['first']);
    expect(state.content().snapshot?.readAt).toBe(1_000);
    gate.resolve();
    expect(await swapped).toBe(true);
    expect(told).toEqual(['first', 'second', 'third']);
    expect(state.ageMs()).toBe(4_000);
  });

  it('changes nothing if another snapshot replaced the expected one', async () => {
    const { state, read } = stateOver();
    await state.swap(read(1_000));
    const told: number[] = [];
    state.subscribe(({ snapshot }) => void told.push(snapshot.readAt));
    expect(await state.swap(read(3_000), snapshotAt(1_000))).toBe(false);
    expect(await state.swap(read(3_000), null)).toBe(false);
    expect([told, state.content().snapshot?.readAt, state.rounds()]).toEqual([[], 1_000, 1]);
    expect(await state.swap(read(3_000), state.content().snapshot)).toBe(true);
    expect(told).toEqual([3_000]);
  });

  it('is connected by a read, disconnected by a failure, and still answers', async () => {
    const { state, read } = stateOver();
    expect([state.connected(), state.lastError(), state.ageMs()]).toEqual([null, null, null]);
    await state.swap(read(1_000, { cause: 'shared' }));
    expect([state.connected(), state.rounds()]).toEqual([true, 0]);
    expect([state.failed(unavailable('down')), state.failed(unavailable('still down'))]).toEqual([true, false]);
    expect([state.connected(), state.lastError()]).toEqual([false, 'still down']);
    // What another instance read does not say that this one can reach the source.
    await state.swap(read(2_000, { cause: 'shared' }));
    expect(state.connected()).toBe(false);
    await state.swap(read(3_000));
    expect([state.connected(), state.lastError(), state.rounds()]).toEqual([true, null, 1]);
  });

  it('closes the sample when the registry replaces it, and never the configured source', async () => {
    const { state, read, source, closed } = stateOver();
    const sample = sourceNamed('sample');
    await state.swap(read(1_000, { cause: 'sample', source: sample.source, origin: 'sample' }));
    expect([closed, sample.closed, state.content().origin]).toEqual([[], [], 'sample']);
    await state.swap(read(2_000, { source }));
    expect([closed, sample.closed, state.content().origin]).toEqual([[], ['sample'], 'mlflow']);
  });
});

it('keeps the revision published during a read by name', async () => {
  const { state, read, source } = stateOver();
  await state.swap(read(1_000));
  const reader = {
    readModels: async () => {
      state.published(7);
      return snapshotAt(1_000);
    },
  };
  const refresher = createRefresher({
    state,
    reader,
    deletions: createDeletionGuard(0.2, { now: () => 0 }),
    source,
    timeoutMs: 1_000,
    stopping: new AbortController().signal,
    clock: { now: () => 2_000 },
  } as unknown as RefreshOptions);
  expect(await refresher.models(new Set(['x']))).toBe(true);
  expect(state.content().revision).toBe(7);
});
