import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFairQueue } from '#kernel/fair-queue.ts';

/** Work that ends when its test says so. */
function manualWork() {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => () =>
    new Promise<string>((resolve) => {
      started.push(name);
      ends.set(name, () => resolve(name));
    });
  const end = async (name: string) => {
    ends.get(name)!();
    await new Promise((next) => setImmediate(next));
  };
  return { started, work, end };
}

describe('a fair queue', () => {
  it('lets clients take turns, and keeps one slot free of a client with much work', async () => {
    const queue = createFairQueue({ slots: 2, waiting: 100, perClient: 10 });
    const { started, work, end } = manualWork();
    for (const name of ['a1', 'a2', 'a3']) void queue.run('a', work(name));
    void queue.run('b', work('b1'));
    void queue.run('c', work('c1'));
    await new Promise((next) => setImmediate(next));
    expect(started).toEqual(['a1', 'b1']);
    await end('a1');
    expect(started).toEqual(['a1', 'b1', 'c1']);
    await end('b1');
    expect(started.at(-1)).toBe('a2');
    await end('c1');
    expect(started).toHaveLength(4);
    await end('a2');
    expect(started.at(-1)).toBe('a3');
  });

  it('refuses unfinished work of one client above its limit, not that of others or of the service', async () => {
    const queue = createFairQueue({ slots: 1, waiting: 3, perClient: 2 });
    const { work } = manualWork();
    void queue.run('a', work('a1'));
    void queue.run('a', work('a2'));
    await expect(queue.run('a', work('a3'))).rejects.toMatchObject({ code: 'limited', retryAfterSeconds: 2 });
    void queue.run('b', work('b1'));
    void queue.run(undefined, work('own'));
    await expect(queue.run('c', work('c1'))).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('forgets work whose client disconnects, waiting or not', async () => {
    const queue = createFairQueue({ slots: 1, waiting: 10, perClient: 2 });
    const { started, work, end } = manualWork();
    void queue.run('a', work('a1'));
    const gone = new AbortController();
    const waiting = queue.run('b', work('b1'), gone.signal);
    gone.abort(new Error('client disconnected'));
    await expect(waiting).rejects.toThrow('client disconnected');
    await expect(queue.run('b', work('b2'), gone.signal)).rejects.toThrow('client disconnected');
    void queue.run('b', work('b3'));
    void queue.run('b', work('b4'));
    await end('a1');
    expect(started).toEqual(['a1', 'b3']);
  });

  it('runs everything once, never more at once than slots, whatever fails', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.record({ client: fc.constantFrom('a', 'b', 'c', undefined), fails: fc.boolean() }), {
          maxLength: 40,
        }),
        async (slots, tasks) => {
          const queue = createFairQueue({ slots, waiting: 100, perClient: 100 });
          let [running, most] = [0, 0];
          const results = await Promise.allSettled(
            tasks.map(({ client, fails }, i) =>
              queue.run(client, async () => {
                running += 1;
                most = Math.max(most, running);
                await new Promise((next) => setImmediate(next));
                running -= 1;
                if (fails) throw new Error(String(i));
                return i;
              }),
            ),
          );
          expect(most).toBeLessThanOrEqual(slots);
          expect(results.map(({ status }) => status)).toEqual(
            tasks.map(({ fails }) => (fails ? 'rejected' : 'fulfilled')),
          );
        },
      ),
    );
  });
});
