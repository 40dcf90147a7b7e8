import { describe, expect, it } from 'vitest';
import { type Job, type JobState, nextDelayMs, startJobs } from '#kernel/jobs.ts';
import { handClock, settle } from '../support/sources.ts';
import { keptLog } from '../support/tower.ts';

const minute = 60_000;

function running(step: Job['step'], more: Partial<Job> = {}) {
  const clock = handClock();
  const { log, text } = keptLog();
  const seen: JobState[] = [];
  const job = { name: 'job', intervalMs: 10 * minute, timeoutMs: minute, firstAfterMs: 0, step, ...more };
  const jobs = startJobs([job], { clock, random: () => 0.5, log, onRun: (state) => seen.push(state) });
  return { clock, jobs, seen, logText: text, state: () => jobs.states()[0] };
}

describe('background jobs', () => {
  it('run at once and then at their interval', async () => {
    let runs = 0;
    const { clock, jobs, state } = running(async () => {
      runs += 1;
    });
    await settle();
    expect(runs).toBe(1);
    expect(state()).toMatchObject({ status: 'succeeded', runs: 1, failures: 0, nextRunAt: clock.now() + 10 * minute });
    await clock.advance(10 * minute - 1);
    expect(runs).toBe(1);
    await clock.advance(1);
    expect(runs).toBe(2);
    await jobs.stop();
  });

  it('never overlap themselves', async () => {
    let atOnce = 0;
    let most = 0;
    let finish = () => {};
    const { clock, jobs } = running(async () => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      atOnce -= 1;
    });
    await settle();
    for (let i = 0; i < 5; i += 1) await clock.advance(10 * minute);
    finish();
    await settle();
    expect(most).toBe(1);
    const stopped = jobs.stop();
    finish();
    await stopped;
  });

  it('are retried sooner after a failure, which is logged and counted', async () => {
    let failing = true;
    const { clock, jobs, seen, state, logText } = running(async () => {
      if (failing) throw new Error('no luck');
    });
    await settle();
    expect(state()).toMatchObject({
      status: 'failed',
      failures: 1,
      lastError: 'unexpected error; the log has details',
    });
    expect(logText()).toContain('background job failed; it will be retried');
    await clock.advance(5_000);
    await clock.advance(10_000);
    expect(seen.map((run) => run.status)).toEqual(['failed', 'failed', 'failed']);
    failing = false;
    await clock.advance(20_000);
    expect(state()).toMatchObject({ status: 'succeeded', lastError: null, nextRunAt: clock.now() + 10 * minute });
    await jobs.stop();
  });

  it('are aborted and awaited by stop, and never start again', async () => {
    const events: string[] = [];
    const { clock, jobs } = running(async (signal) => {
      events.push('start');
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => setImmediate(resolve), { once: true });
      });
      events.push('end');
    });
    await settle();
    await jobs.stop();
    expect(events).toEqual(['start', 'end']);
    await clock.advance(100 * minute);
    expect(events).toEqual(['start', 'end']);
  });

  it('have delays with 10 % jitter, and backoff up to their interval', () => {
    const job = { name: 'j', intervalMs: 60_000, timeoutMs: 1, firstAfterMs: 0, step: async () => undefined };
    expect([0, 1].map((random) => nextDelayMs(job, 0, () => random))).toEqual([54_000, 66_000]);
    expect([1, 2, 3, 4, 5, 50].map((failures) => nextDelayMs(job, failures, () => 0.5))).toEqual([
      3_750, 7_500, 15_000, 30_000, 60_000, 60_000,
    ]);
  });

  it('run soon when nudged while running, and at once when woken', async () => {
    let runs = 0;
    let during: () => void = () => undefined;
    const { clock, jobs, state } = running(async () => {
      runs += 1;
      during();
    });
    await settle();
    during = () => jobs.nudge('job');
    await clock.advance(10 * minute);
    expect(runs).toBe(2);
    expect((state()?.nextRunAt ?? 0) - clock.now()).toBe(3_750);
    during = () => undefined;
    await clock.advance(5_000);
    expect((state()?.nextRunAt ?? 0) - clock.now()).toBe(10 * minute);
    jobs.wake('job');
    await settle();
    expect(runs).toBe(4);
    during = () => {
      during = () => undefined;
      jobs.wake('job');
    };
    jobs.wake('job');
    await settle();
    expect(runs).toBe(6);
    await jobs.stop();
  });
});
