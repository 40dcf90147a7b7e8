import { describe, expect, it } from 'vitest';
import { notFound, unavailable } from '#kernel/errors.ts';
import { createReadCache } from '#services/registry/mirror/read-cache.ts';
import { createRunCount } from '#services/registry/mirror/run-count.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import { handClock, noSignal } from '../../../support/sources.ts';

describe('on-demand reads', () => {
  it('are cached, refreshed, and served with their age while the source is down', async () => {
    const clock = handClock();
    let known = false;
    const reads = createReadCache<number>({ freshMs: 1000, maxItems: 10, clock, isDown: () => known });
    let calls = 0;
    const read = async () => [++calls];
    expect(await reads('a', read)).toEqual({ value: [1], ageMs: 0, stale: false });
    await clock.advance(999);
    expect(await reads('a', read)).toEqual({ value: [1], ageMs: 999, stale: false });
    await clock.advance(1);
    expect(await reads('a', read)).toEqual({ value: [2], ageMs: 0, stale: false });
    await clock.advance(5000);
    const down = async () => {
      throw unavailable('down');
    };
    expect(await reads('a', down)).toEqual({ value: [2], ageMs: 5000, stale: true });
    known = true;
    const neverAsked = async () => {
      throw new Error('a source known to be down was asked');
    };
    expect(await reads('a', neverAsked)).toMatchObject({ value: [2], stale: true });
    known = false;
    await expect(reads('never read', down)).rejects.toThrow('down');
    await expect(
      reads('a', async () => {
        throw notFound('gone');
      }),
    ).rejects.toThrow('gone');
  });

  it('of one key are merged, and the cache has a maximum size', async () => {
    const clock = handClock();
    const reads = createReadCache<string>({ freshMs: 1000, maxItems: 5, clock, isDown: () => false });
    let calls = 0;
    const read = (key: string) => async () => {
      calls += 1;
      return [key, key];
    };
    await Promise.all([reads('a', read('a')), reads('a', read('a'))]);
    expect(calls).toBe(1);
    await reads('b', read('b'));
    await reads('c', read('c'));
    await reads('a', read('a'));
    expect(calls).toBe(4);
  });
});

describe('the run count', () => {
  const counts: Record<string, number> = { a: 3, b: 4 };
  const sourceThat = (fails: () => boolean) =>
    ({
      countRuns: async (id: string) => {
        if (id === 'b' && fails()) throw unavailable('down');
        return counts[id] ?? 0;
      },
    }) as unknown as RegistrySource;

  it('is null until every experiment was counted, and resumes', async () => {
    const count = createRunCount(handClock());
    let failing = true;
    const source = sourceThat(() => failing);
    expect(count.total()).toMatchObject({ total: null, status: 'counting' });
    await expect(count.step(source, ['a', 'b'], noSignal)).rejects.toThrow('down');
    expect(count.total().total).toBeNull();
    failing = false;
    await count.step(source, ['a', 'b'], noSignal);
    expect(count.total()).toMatchObject({ total: 7, status: 'complete' });
  });

  it('keeps the old total during a new count, and is reset with the source', async () => {
    const count = createRunCount(handClock());
    const source = sourceThat(() => false);
    await count.step(source, ['a'], noSignal);
    expect(count.total().total).toBe(3);
    const other = sourceThat(() => true);
    await count.step(other, ['a', 'b'], noSignal).catch(() => undefined);
    expect(count.total()).toMatchObject({ total: null, status: 'counting' });
  });
});
