import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDeletionGuard } from '#services/registry/mirror/mass-deletion.ts';
import { buildSnapshot, type Snapshot } from '#services/registry/snapshot/snapshot.ts';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { versionRow } from '../../../support/rows.ts';
import { aliasTable, handClock } from '../../../support/sources.ts';
import { testTower } from '../../../support/tower.ts';

type Model = { name: string; createdAt: number; versions: number; isListed?: boolean };

const snapshotOf = (models: Model[]): Promise<Snapshot> =>
  buildSnapshot(
    {
      experiments: [],
      models: models.flatMap(({ name, createdAt, isListed = true }) =>
        isListed ? [{ name, createdAt, updatedAt: createdAt, description: '', tags: {}, aliases: {} }] : [],
      ),
      versions: models.flatMap(({ name, createdAt, versions }) =>
        Array.from({ length: versions }, (_, i) => versionRow({ name, version: String(i + 1), createdAt })),
      ),
      runs: [],
      loggedModels: [],
      serverVersion: null,
    },
    0,
    aliasTable,
  );

const models = (count: number): Model[] =>
  Array.from({ length: count }, (_, i) => ({ name: `m${i}`, createdAt: 1_000 + i, versions: 1 }));

function guardOf(share = 0.2) {
  const time = { steady: 0 };
  const guard = createDeletionGuard(share, { now: () => 0, steady: () => time.steady });
  return { time, guard };
}

describe('models missing from a read', () => {
  it.each([
    [10, 6, false],
    [10, 8, false],
    [10, 5, true],
    [20, 16, false],
    [20, 15, true],
    [30, 24, false],
    [30, 23, true],
    [4, 0, false],
    [5, 0, true],
  ])('of %i models, %i are left: doubted %s', async (before, after, isDoubted) => {
    const { guard } = guardOf();
    const reason = guard.check(await snapshotOf(models(before)), await snapshotOf(models(after)));
    expect(reason !== null).toBe(isDoubted);
  });

  it.each([
    ['without their versions', (all: Model[]) => all.map((model) => ({ ...model, versions: 0 })), true],
    [
      'without their entries, only versions',
      (all: Model[]) => all.map((model) => ({ ...model, isListed: false })),
      true,
    ],
    ['renamed', (all: Model[]) => all.map((model) => ({ ...model, name: `new-${model.name}` })), false],
    ['replaced by new ones', (all: Model[]) => all.map((m) => ({ ...m, name: `n-${m.name}`, createdAt: 9 })), true],
    ['and others appeared', (all: Model[]) => [...all, { name: 'x', createdAt: 1, versions: 2 }], false],
  ])('count as %s', async (_, change, isDoubted) => {
    const { guard } = guardOf();
    const reason = guard.check(await snapshotOf(models(8)), await snapshotOf(change(models(8))));
    expect(reason !== null).toBe(isDoubted);
  });

  it('are believed only if a read a minute later still misses them', async () => {
    const [before, less] = [await snapshotOf(models(10)), await snapshotOf(models(2))];
    const { guard, time } = guardOf();
    expect(guard.check(before, less)).not.toBeNull();
    time.steady = 59_999;
    expect(guard.check(before, less)).not.toBeNull();
    time.steady = 60_000;
    expect(guard.check(before, less)).toBeNull();
  });

  it('start anew when the models came back, and when others are missing', async () => {
    const [before, less] = [await snapshotOf(models(10)), await snapshotOf(models(2))];
    const { guard, time } = guardOf();
    guard.check(before, less);
    time.steady = 30_000;
    expect(guard.check(before, before)).toBeNull();
    time.steady = 70_000;
    expect(guard.check(before, less)).not.toBeNull();
    const { guard: second, time: later } = guardOf();
    second.check(before, await snapshotOf(models(10).slice(0, 5)));
    later.steady = 61_000;
    expect(second.check(before, await snapshotOf(models(10).slice(5)))).not.toBeNull();
    later.steady = 122_000;
    expect(second.check(before, await snapshotOf(models(10).slice(5)))).toBeNull();
  });

  it('are never swapped in from one read alone, whatever is missing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 25 }),
        fc.array(fc.nat(24), { maxLength: 25 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (count, missing, share) => {
          const gone = new Set(missing);
          const left = models(count).filter((_, i) => !gone.has(i));
          const lost = count - left.length;
          const reason = guardOf(share).guard.check(await snapshotOf(models(count)), await snapshotOf(left));
          expect(reason !== null).toBe(lost >= 5 && lost > share * count);
        },
      ),
    );
  });
});

describe('an instance over a server that loses its models', () => {
  it('serves the last state as stale, makes no events, and believes it after a minute', async () => {
    const registry = smallRegistry();
    for (let i = 0; i < 8; i += 1) {
      registry.models.push({ name: `more-${i}`, creation_timestamp: 5_000 + i });
      registry.versions.push({ name: `more-${i}`, version: '1', creation_timestamp: 6_000 + i });
    }
    const fake = await fakeMlflow(registry);
    const clock = handClock();
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: fake.url }, { clock });
    await services.registry.refresh();
    const count = async () => (await app.inject('/models/all')).json<unknown[]>().length;
    const events = async () => (await app.inject('/models/events')).json<{ type: string }[]>();
    const before = await count();
    for (const path of ['registered-models/search', 'model-versions/search'])
      fake.instead[path] = { status: 200, body: '{}' };
    await expect(services.registry.refresh()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await count()).toBe(before);
    expect((await app.inject('/health')).json()).toMatchObject({
      status: 'degraded',
      mlflow_connection: 'connected',
      stale: true,
      last_error: expect.stringContaining('models are missing') as string,
    });
    expect(await events()).toEqual([]);
    await clock.advance(61_000);
    await services.registry.refresh();
    expect(await count()).toBe(0);
    expect((await app.inject('/health')).json()).toMatchObject({ stale: false, last_error: null });
    await services.registry.refresh();
    expect((await events()).filter(({ type }) => type === 'registered_model.deleted')).toHaveLength(11);
  });
});
