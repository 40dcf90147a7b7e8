import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { unavailable } from '#kernel/errors.ts';
import type { MirrorOptions } from '#services/registry/mirror/mirror.ts';
import { createMirror, type Mirror } from '#services/registry/mirror/mirror.ts';
import { createSharedSnapshots } from '#services/registry/mirror/shared-snapshots.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import type { Store } from '#store/store.ts';
import { eventSummary, journalIn, snapshotFrom } from '../../../support/journal.ts';
import { versionRow } from '../../../support/rows.ts';
import { aliasTable, handClock } from '../../../support/sources.ts';
import { storeIn } from '../../../support/stores.ts';
import { keptLog, temporaryDirectory } from '../../../support/tower.ts';

/** A registry in which each model has one alias, which moves between versions. */
type World = Record<string, number>;

function rowsOf(world: World): RegistryRows {
  const names = Object.keys(world);
  return {
    experiments: [],
    models: names.map((name) => ({
      name,
      createdAt: 1,
      updatedAt: 1,
      description: '',
      tags: {},
      aliases: { champion: String(world[name]) },
    })) as unknown as RegistryRows['models'],
    versions: names.map((name) => versionRow({ name })),
    runs: [],
    loggedModels: [],
    serverVersion: null,
  };
}

type More = {
  fingerprint?: string;
  wholeTakes?: () => Promise<void>;
  /** Called before each read by name. */
  readsModels?: () => void;
  onSwap?: MirrorOptions['onSwap'];
};

/** An instance's mirror of this world, with a shared store. */
async function towerOver(store: Store, world: World, clock: ReturnType<typeof handClock>, more: More = {}) {
  const { log, text } = keptLog();
  const source = {
    fingerprint: more.fingerprint ?? 'f',
    label: 'toy',
    close: async () => undefined,
    ping: async () => undefined,
    readRegistry: async () => {
      const rows = rowsOf(world);
      await more.wholeTakes?.();
      return rows;
    },
    readModels: async (names: string[]) => {
      more.readsModels?.();
      const { models, versions } = rowsOf(world);
      const isMeant = ({ name }: { name: string }) => names.includes(name);
      return { models: models.filter(isMeant), versions: versions.filter(isMeant), runs: [], loggedModels: [] };
    },
  } as unknown as RegistrySource;
  const mirror = await createMirror({
    source,
    openSample: null,
    cachePath: null,
    shared: createSharedSnapshots(store, 'default', log),
    aliasTable,
    timeoutMs: 5_000,
    maxAgeMs: 1e9,
    rereadEvery: 100,
    massDeletionShare: 0.2,
    monitored: async () => new Set<string>(),
    clock,
    log,
    cacheEnabled: true,
    ...(more.onSwap ? { onSwap: more.onSwap } : {}),
  });
  return { ...mirror, logText: text };
}

const seen = (mirror: Mirror): World =>
  Object.fromEntries(
    [...(mirror.status().snapshot?.models.values() ?? [])].map(({ name, aliases }) => [
      name,
      Number(aliases['champion']),
    ]),
  );

describe('instances that share snapshots', () => {
  it('follow each other: whole snapshots and models by name', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1, y: 1 }, handClock()];
    const [a, b] = [await towerOver(store, world, clock), await towerOver(store, world, clock)];
    await a.refresh();
    await b.follow();
    expect(seen(b)).toEqual(world);
    expect(b.status()).toMatchObject({ connection: 'connected', stale: false });
    world.x = 2;
    await a.refreshModel('x');
    await b.follow();
    expect(seen(b)).toEqual(world);
    // Same content, but more recent.
    const before = b.status().snapshot;
    await clock.advance(60_000);
    await a.refresh();
    await b.follow();
    expect(b.status().snapshot?.readAt).toBe(a.status().snapshot?.readAt);
    expect(b.status().snapshot?.readAt).toBeGreaterThan(before?.readAt ?? 0);
  });

  it('keep both of two models that two of them read by name concurrently', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1, y: 1 }, handClock()];
    const [a, b] = [await towerOver(store, world, clock), await towerOver(store, world, clock)];
    await a.refresh();
    await b.follow();
    Object.assign(world, { x: 2, y: 2 });
    await a.refreshModel('x');
    await b.refreshModel('y');
    await a.follow();
    await b.follow();
    expect([seen(a), seen(b)]).toEqual([world, world]);
  });

  it('follow each other while one cannot reach the source', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1, y: 1 }, handClock()];
    let reads = 0;
    const readsModels = () => {
      reads += 1;
      if (reads > 1) throw unavailable('MLflow is down');
    };
    const a = await towerOver(store, world, clock);
    const b = await towerOver(store, world, clock, { readsModels });
    await a.refresh();
    await b.follow();
    world.y = 2;
    await clock.advance(1_000);
    await a.refresh();
    world.x = 2;
    await clock.advance(1_000);
    await b.refreshModel('x');
    expect([seen(b), reads]).toEqual([{ x: 2, y: 2 }, 2]);
    await a.follow();
    expect(seen(a)).toEqual({ x: 2, y: 2 });
    world.y = 3;
    await clock.advance(1_000);
    await a.refresh();
    await b.follow();
    expect([seen(b), reads]).toEqual([{ x: 2, y: 3 }, 2]);
  });

  it('never go back if a model is read by name during publication', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1, y: 1 }, handClock()];
    let hold: Promise<void> = Promise.resolve();
    const swapped = Promise.withResolvers<void>();
    const a = await towerOver(store, world, clock, {
      onSwap: async (_, look) => {
        if (look.names) return;
        swapped.resolve();
        await hold;
      },
    });
    const gate = Promise.withResolvers<void>();
    hold = gate.promise;
    const whole = a.refresh();
    await swapped.promise;
    world.x = 2;
    await a.refreshModel('x');
    gate.resolve();
    await whole;
    await a.follow();
    expect(seen(a)).toEqual(world);
  });

  it('keep models that another instance read by name during a full read', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1, y: 1 }, handClock()];
    const [gate, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let slow = false;
    const wholeTakes = async () => {
      if (!slow) return;
      begun.resolve();
      await gate.promise;
    };
    const [a, b] = [await towerOver(store, world, clock, { wholeTakes }), await towerOver(store, world, clock)];
    await a.refresh();
    await b.follow();
    slow = true;
    await clock.advance(1_000);
    const whole = a.refresh();
    await begun.promise;
    world.x = 2;
    await b.refreshModel('x');
    gate.resolve();
    await whole;
    await b.follow();
    expect([seen(a), seen(b)]).toEqual([world, world]);
  });

  it('read themselves if no usable snapshot arrives within 15 s', async () => {
    const [store, world, clock] = [storeIn(temporaryDirectory()), { x: 1 }, handClock()];
    const other = await towerOver(store, { z: 9 }, clock, { fingerprint: 'other' });
    await other.refresh();
    const a = await towerOver(store, world, clock);
    await a.follow();
    expect(a.status().snapshot).toBeNull();
    expect(a.logText()).toContain('another instance of this store has another MLFLOW_TRACKING_URI');
    await clock.advance(15_000);
    await a.follow();
    expect(seen(a)).toEqual(world);
  });

  it('never see an older model than before, and all see the newest', async () => {
    const op = fc.oneof(
      fc.record({ do: fc.constant('move' as const), model: fc.constantFrom('x', 'y', 'z') }),
      fc.record({ do: fc.constant('whole' as const), tower: fc.nat(2) }),
      fc.record({ do: fc.constant('follow' as const), tower: fc.nat(2) }),
      fc.record({ do: fc.constant('named' as const), tower: fc.nat(2), model: fc.constantFrom('x', 'y', 'z') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(op, { minLength: 1, maxLength: 3 }), { maxLength: 12 }), async (rounds) => {
        const [store, clock] = [storeIn(temporaryDirectory()), handClock()];
        const world: World = { x: 1, y: 1, z: 1 };
        const towers: Mirror[] = [];
        for (let i = 0; i < 3; i += 1) towers.push(await towerOver(store, world, clock));
        await towers[0]!.refresh();
        const last = towers.map(() => ({}) as World);
        const newest: World = { ...world };
        for (const round of rounds) {
          await clock.advance(1_000);
          // Reads of one round run concurrently.
          await Promise.all(
            round.map(async (each) => {
              if (each.do === 'move') world[each.model]! += 1;
              else if (each.do === 'follow') await towers[each.tower]!.follow();
              else if (each.do === 'whole') await towers[each.tower]!.refresh();
              else if (towers[each.tower]!.status().snapshot) await towers[each.tower]!.refreshModel(each.model);
            }),
          );
          for (const [i, tower] of towers.entries()) {
            for (const [name, value] of Object.entries(seen(tower))) {
              expect(value).toBeGreaterThanOrEqual(last[i]![name] ?? 0);
              newest[name] = Math.max(newest[name]!, value);
            }
            last[i] = seen(tower);
          }
        }
        for (const tower of towers) await tower.follow();
        for (const tower of towers) await tower.follow();
        for (const tower of towers) expect(seen(tower)).toEqual(newest);
        for (const tower of towers) await tower.stop();
        await store.close();
      }),
      { numRuns: process.env['SOAK'] === '1' ? 200 : 30 },
    );
  });
});

it('ignore a full read that started before another instance saw a change', async () => {
  const directory = temporaryDirectory();
  const [follower, leader] = [journalIn(directory), journalIn(directory)];
  const [one, two, three] = [rowsOf({ x: 1 }), rowsOf({ x: 2 }), rowsOf({ x: 3 })];
  const t0 = Date.UTC(2026, 10, 20);
  const record = async (
    { journal }: typeof leader,
    rows: typeof one,
    from: number,
    at: number,
    names: string[] | null,
  ) => journal.record(await snapshotFrom(rows, from), { from, at, names: names && new Set(names) });
  await record(follower, one, t0, t0, null);
  // The new leader still reads, for a minute, content from its start.
  await record(follower, two, t0 + 30_000, t0 + 31_000, ['x']);
  await record(leader, one, t0 + 1_000, t0 + 60_000, null);
  expect(leader.made).toEqual([]);
  expect(leader.journal.isUncertain()).toBe(true);
  await record(leader, three, t0 + 70_000, t0 + 71_000, null);
  const moves = [...follower.made, ...leader.made].filter(({ alias }) => alias !== null);
  expect(moves.map(eventSummary)).toEqual([
    'model_version_alias.moved x v2 @champion "1" -> "2"',
    'model_version_alias.moved x v3 @champion "2" -> "3"',
  ]);
});
