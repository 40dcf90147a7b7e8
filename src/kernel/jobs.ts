import { backoffMs } from './backoff.ts';
import type { Clock } from './clock.ts';
import { publicText } from './errors.ts';
import type { Log } from './log.ts';
import type { Random } from './rng.ts';

/** One periodic job. Services own no timers: every job is registered here. */
export type Job = {
  name: string;
  intervalMs: number;
  /** The run's signal aborts after this time. */
  timeoutMs: number;
  /** Delay from start to the first run; 0 = immediately. */
  firstAfterMs: number;
  step: (signal: AbortSignal) => Promise<unknown>;
};

export type JobState = {
  name: string;
  status: 'waiting' | 'running' | 'succeeded' | 'failed';
  runs: number;
  failures: number;
  lastStartedAt: number | null;
  lastFinishedAt: number | null;
  lastDurationMs: number | null;
  lastError: string | null;
  nextRunAt: number | null;
};

type JobsDeps = {
  clock: Clock;
  random: Random;
  log: Log;
  /** Called after every run, for metrics and the job table. */
  onRun?: (state: JobState) => void;
};

export type Jobs = {
  states(): JobState[];
  /** Moves the next run forward to at most the first retry delay, because new information arrived. */
  nudge(name: string): void;
  /** Runs a job now, and once more if it is running. */
  wake(name: string): void;
  stop(): Promise<void>;
};

const firstRetryMs = 5_000;

/**
 * Runs each job in its own loop: never overlapping itself, intervals jittered by 10 %, after a failure with back-off
 * (from 5 s, doubling, at most the interval).
 */
export function startJobs(jobs: Job[], deps: JobsDeps): Jobs {
  const stopping = new AbortController();
  const loops = jobs.map((job) => {
    const state = freshState(job.name);
    const waiting: Waiting = { wake: null, isRunRequested: false, isNudged: false };
    return { state, waiting, done: runLoop(job, state, waiting, deps, stopping.signal) };
  });
  return {
    states: () => loops.map((loop) => ({ ...loop.state })),
    nudge: (name) => {
      const waiting = loops.find((loop) => loop.state.name === name)?.waiting;
      if (waiting?.wake) waiting.wake.abort();
      else if (waiting) waiting.isNudged = true;
    },
    wake: (name) => {
      const loop = loops.find(({ state }) => state.name === name);
      if (!loop) return;
      loop.waiting.isRunRequested = true;
      loop.waiting.wake?.abort();
    },
    stop: async () => {
      stopping.abort(new Error('stopping'));
      await Promise.all(loops.map((loop) => loop.done));
    },
  };
}

/** Time until the next run: the interval with jitter; after a failure, a back-off if that is shorter. */
export function nextDelayMs({ intervalMs }: Job, failuresInARow: number, random: Random): number {
  const regularMs = intervalMs * (0.9 + 0.2 * random());
  const retryMs = backoffMs({ firstMs: firstRetryMs, maxMs: Number.POSITIVE_INFINITY }, failuresInARow, random);
  return Math.round(failuresInARow > 0 ? Math.min(retryMs, regularMs) : regularMs);
}

/** `isRunRequested`: a run was requested that starts after now; `isNudged`: a nudge arrived during the run. */
type Waiting = { wake: AbortController | null; isRunRequested: boolean; isNudged: boolean };

async function runLoop(
  job: Job,
  state: JobState,
  waiting: Waiting,
  deps: JobsDeps,
  stopping: AbortSignal,
): Promise<void> {
  let failuresInARow = 0;
  let delayMs = job.firstAfterMs;
  while (!stopping.aborted) {
    const nudged = await wait(waiting.isRunRequested ? 0 : delayMs, state, waiting, deps, stopping);
    if (stopping.aborted) break;
    if (nudged && !waiting.isRunRequested && delayMs > firstRetryMs) {
      delayMs = nextDelayMs(job, 1, deps.random);
      continue;
    }
    waiting.isRunRequested = false;
    waiting.isNudged = false;
    failuresInARow = (await runOnce(job, state, deps, stopping)) ? 0 : failuresInARow + 1;
    delayMs = nextDelayMs(job, waiting.isNudged ? Math.max(1, failuresInARow) : failuresInARow, deps.random);
  }
  state.nextRunAt = null;
}

/** @returns whether a nudge ended the wait */
async function wait(
  delayMs: number,
  state: JobState,
  waiting: Waiting,
  deps: JobsDeps,
  stopping: AbortSignal,
): Promise<boolean> {
  state.nextRunAt = deps.clock.now() + delayMs;
  if (delayMs === 0) return false;
  waiting.wake = new AbortController();
  const { signal } = waiting.wake;
  const stop = () => waiting.wake?.abort();
  stopping.addEventListener('abort', stop, { once: true });
  await deps.clock.sleep(delayMs, signal).catch(() => undefined);
  stopping.removeEventListener('abort', stop);
  waiting.wake = null;
  return signal.aborted;
}

async function runOnce(job: Job, state: JobState, deps: JobsDeps, stopping: AbortSignal): Promise<boolean> {
  state.status = 'running';
  state.nextRunAt = null;
  state.lastStartedAt = deps.clock.now();
  try {
    await job.step(AbortSignal.any([stopping, AbortSignal.timeout(job.timeoutMs)]));
    state.status = 'succeeded';
    state.lastError = null;
  } catch (error) {
    state.status = 'failed';
    state.failures += 1;
    state.lastError = publicText(error);
    if (!stopping.aborted) deps.log.warn({ job: job.name, err: error }, 'background job failed; it will be retried');
  }
  state.runs += 1;
  state.lastFinishedAt = deps.clock.now();
  state.lastDurationMs = state.lastFinishedAt - state.lastStartedAt;
  if (!stopping.aborted) deps.onRun?.({ ...state });
  return state.status === 'succeeded';
}

const freshState = (name: string): JobState => ({
  name,
  status: 'waiting',
  runs: 0,
  failures: 0,
  lastStartedAt: null,
  lastFinishedAt: null,
  lastDurationMs: null,
  lastError: null,
  nextRunAt: null,
});
