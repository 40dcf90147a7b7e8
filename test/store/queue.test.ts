import { describe, expect, it, vi } from 'vitest';
import { createQueue } from '#store/queue.ts';
import type { QueuedJob, Work } from '#store/queue-job.ts';
import type { Store } from '#store/store.ts';
import { handClock } from '../support/sources.ts';
import { openRawSql, storeIn } from '../support/stores.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';

const never = new AbortController().signal;

/** An instance's queue over a store, with a handler for jobs of the kind `work`. */
function tower(store: Store, name: string, work?: Work) {
  const clock = handClock();
  const { log, text } = keptLog();
  const queue = createQueue({ store, tower: name, clock, log });
  if (work) queue.handle('work', work);
  const until = async (id: string, state: QueuedJob['state']) => {
    await vi.waitFor(async () => expect((await queue.get('work', id))?.state).toBe(state), 5_000);
    return (await queue.get('work', id))!;
  };
  const add = async (subject = 's', key?: string) =>
    queue.add({ kind: 'work', subject, payload: { n: 1 }, ...(key === undefined ? {} : { key }) });
  return { queue, clock, text, until, add };
}

/** Work that ends when the test says so, or when it is aborted. */
function held() {
  const begun: QueuedJob[] = [];
  const done = Promise.withResolvers<unknown>();
  const work: Work = (job, { signal }) => {
    begun.push(job);
    return Promise.race([
      done.promise,
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    ]);
  };
  return { work, begun, end: done.resolve };
}

/** Simulates a worker that stopped renewing. */
const silence = async (directory: string) =>
  (await openRawSql(directory))(`update job_queue set leased_until = 1 where state = 'running'`);

describe('the job queue', () => {
  it('runs jobs, reports progress, and keeps the outcome', async () => {
    const { queue, add, until } = tower(storeIn(temporaryDirectory()), 'a', async (job, { progress }) => {
      progress({ half: true });
      await Promise.resolve();
      return { of: job.payload };
    });
    const { job, isNew } = await add();
    expect({ isNew, state: job.state }).toEqual({ isNew: true, state: 'queued' });
    const seen: string[] = [];
    for await (const { state } of queue.follow('work', job.id, never)) seen.push(state);
    expect(seen.at(-1)).toBe('succeeded');
    expect(await until(job.id, 'succeeded')).toMatchObject({
      attempts: 1,
      worker: 'a',
      progress: '{"half":true}',
      result: '{"of":"{\\"n\\":1}"}',
      error: null,
      finished_at: expect.stringMatching(/Z$/),
    });
    expect(await queue.list('work', 10)).toHaveLength(1);
    expect(await queue.list('other', 10)).toEqual([]);
  });

  it('reports the last progress even right after another', async () => {
    const { work, end } = held();
    let say: (now: unknown) => void = () => undefined;
    const { queue, add, until, clock } = tower(storeIn(temporaryDirectory()), 'a', (job, run) => {
      for (const step of [1, 2]) run.progress({ step });
      say = run.progress;
      return work(job, run);
    });
    const { job } = await add();
    const told = async () => (await queue.get('work', job.id))?.progress;
    await expect.poll(told).toBe('{"step":1}');
    await expect.poll(async () => clock.advance(250).then(told)).toBe('{"step":2}');
    // A repeated message does not suppress the next ones.
    await clock.advance(250);
    for (const step of [2, 3]) say({ step });
    await expect.poll(async () => clock.advance(250).then(told)).toBe('{"step":3}');
    end(1);
    await until(job.id, 'succeeded');
  });

  it('has one open job per subject, and one per key forever', async () => {
    const { work, end } = held();
    const { add, until, queue } = tower(storeIn(temporaryDirectory()), 'a', work);
    const first = await add('cart', 'cart@noon');
    expect(await add('cart')).toMatchObject({ isNew: false, job: { id: first.job.id } });
    end(1);
    await until(first.job.id, 'succeeded');
    expect(await add('cart', 'cart@noon')).toMatchObject({
      isNew: false,
      job: { id: first.job.id, state: 'succeeded' },
    });
    expect(await add('cart', 'cart@one')).toMatchObject({ isNew: true });
    expect(await Promise.all(Array.from({ length: 9 }, async () => (await add('x', 'k')).isNew))).toEqual(
      expect.arrayContaining([true]),
    );
    expect((await queue.list('work', 99)).filter(({ key }) => key === 'k')).toHaveLength(1);
  });

  it('keeps the reason of a failure', async () => {
    const { add, until, text } = tower(storeIn(temporaryDirectory()), 'a', async () => {
      throw new Error('secret detail');
    });
    const { job } = await add();
    expect((await until(job.id, 'failed')).error).toBe('unexpected error; the log has details');
    expect(text()).toContain('secret detail');
  });

  it('cancels queued and running jobs', async () => {
    const { work, begun } = held();
    const { add, queue, until } = tower(storeIn(temporaryDirectory()), 'a', work);
    const ids = [(await add('one')).job.id, (await add('two')).job.id];
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    // Both were added in one millisecond, so either may run first.
    const running = begun[0]!.id;
    const queued = ids.find((id) => id !== running)!;
    await queue.cancel('work', queued);
    await queue.cancel('work', running);
    expect(await until(running, 'cancelled')).toMatchObject({ result: null });
    await until(queued, 'cancelled');
    expect(begun).toHaveLength(1);
    await queue.cancel('work', running);
  });

  it('keeps the result of a cancelled job, but not of a restarted one', async () => {
    const asked: boolean[] = [];
    const work: Work = async (_job, { signal, isStopping }) => {
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      asked.push(isStopping());
      if (isStopping()) throw signal.reason;
      return { undone: true };
    };
    const directory = temporaryDirectory();
    const { add, queue, until } = tower(storeIn(directory), 'a', work);
    const { job } = await add('one');
    await until(job.id, 'running');
    await queue.cancel('work', job.id);
    expect(await until(job.id, 'cancelled')).toMatchObject({ state: 'cancelled', result: '{"undone":true}' });
    const { job: next } = await add('two');
    await until(next.id, 'running');
    await queue.stop();
    expect(await queue.get('work', next.id)).toMatchObject({ state: 'queued', result: null });
    expect(asked).toEqual([false, true]);
  });

  it('runs a job on one of several instances, and cancels it there', async () => {
    const directory = temporaryDirectory();
    const store = storeIn(directory);
    const [first, second] = [held(), held()];
    const [a, b] = [tower(store, 'a', first.work), tower(store, 'b', second.work)];
    const jobs = await Promise.all(['p', 'q'].map(async (subject) => (await a.add(subject)).job));
    await vi.waitFor(() => expect([first.begun.length, second.begun.length]).toEqual([1, 1]));
    expect(new Set([first.begun[0]!.id, second.begun[0]!.id]).size).toBe(2);
    const [theirs] = jobs.filter(({ id }) => id === first.begun[0]!.id);
    await b.queue.cancel('work', theirs!.id);
    await a.until(theirs!.id, 'cancelled');
    await vi.waitFor(async () => expect((await a.add('r')).isNew).toBe(true));
    await vi.waitFor(() => expect(first.begun).toHaveLength(2));
  });

  it('gives a job that is not renewed to another instance, and keeps only its outcome', async () => {
    const directory = temporaryDirectory();
    const store = storeIn(directory);
    const lost = held();
    const a = tower(store, 'a', lost.work);
    const { job } = await a.add();
    await vi.waitFor(() => expect(lost.begun).toHaveLength(1));
    await silence(directory);
    const b = tower(store, 'b', async () => 'by b');
    await b.queue.step();
    expect(await b.until(job.id, 'succeeded')).toMatchObject({ worker: 'b', attempts: 2, result: '"by b"' });
    lost.end('by a, too late');
    await a.queue.stop();
    expect(await b.queue.get('work', job.id)).toMatchObject({ worker: 'b', result: '"by b"' });
  });

  it('fails a job whose workers died three times', async () => {
    const directory = temporaryDirectory();
    const store = storeIn(directory);
    const { job } = await tower(store, 'none').add();
    for (const name of ['a', 'b', 'c']) {
      const dying = held();
      await tower(store, name, dying.work).queue.step();
      await vi.waitFor(() => expect(dying.begun).toHaveLength(1));
      await silence(directory);
    }
    const last = tower(store, 'd', async () => 1);
    await last.queue.step();
    expect((await last.until(job.id, 'failed')).error).toMatch(/^worker died 3 times/);
  });

  it('requeues a running job at shutdown without counting a death', async () => {
    const store = storeIn(temporaryDirectory());
    const { work, begun } = held();
    const a = tower(store, 'a', work);
    const { job } = await a.add();
    await vi.waitFor(() => expect(begun).toHaveLength(1));
    await a.queue.stop();
    expect(await a.queue.get('work', job.id)).toMatchObject({ state: 'queued', attempts: 1, abandoned: 0 });
    const b = tower(store, 'b', async () => 2);
    await b.queue.step();
    expect(await b.until(job.id, 'succeeded')).toMatchObject({ attempts: 2, abandoned: 0 });
  });

  it('deletes finished jobs after their retention', async () => {
    const store = storeIn(temporaryDirectory());
    const a = tower(store, 'a', async () => 1);
    const { job } = await a.add('old');
    await a.until(job.id, 'succeeded');
    const waiting = await tower(store, 'b').queue.add({ kind: 'nobody', subject: 's', payload: null });
    await a.queue.prune(a.clock.now() + 1);
    expect(await a.queue.get('work', job.id)).toBeNull();
    expect(await a.queue.get('nobody', waiting.job.id)).not.toBeNull();
  });
});
