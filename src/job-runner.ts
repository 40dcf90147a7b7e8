import type { Area, AreaJob, Frame, ScheduledJob } from '#areas/area.ts';
import { unavailable } from '#kernel/errors.ts';
import { type Job, type JobState, type Jobs, startJobs } from '#kernel/jobs.ts';
import { createLeadership, renewalMs } from '#store/leader.ts';
import { queueOccurrences } from '#store/schedule.ts';
import { storableText } from '#store/storable.ts';
import { clockWatch } from './clock-watch.ts';
import { memoryRelease } from './memory-release.ts';

/** Runs the background jobs of all areas: those of every instance, those of the leader, and those once per occurrence. */
export type JobRunner = {
  states(): JobState[];
  cluster(): { leads: boolean; leader: string | null; store_error: string | null };
  stop(): Promise<void>;
};

const minute = 60_000;

export function startJobRunner(frame: Frame, areas: Area[]): JobRunner {
  const { store, instance, outbox, clock, log } = frame;
  const all: AreaJob[] = [];
  let leading: Jobs | null = null;
  let changing: Promise<void> = Promise.resolve();
  const start = (jobs: AreaJob[]): Jobs => {
    all.push(...jobs.filter(({ name }) => !all.some((job) => job.name === name)));
    return startJobs(jobs, { ...frame, onRun: (state) => recordRun(frame, all, state) });
  };
  const lead = (): Jobs => {
    outbox.begin();
    const jobs = [outboxJob(frame, () => leadership.leads()), ...areas.flatMap((area) => area.leaderJobs?.() ?? [])];
    return start(jobs.map((job) => ({ ...job, step: whileLeading(job.step, () => leadership.leads()) })));
  };
  const leadership = createLeadership({
    store,
    tower: instance,
    clock,
    onChange: (leads) => {
      log.info({ instance }, leads ? 'acquired leadership' : 'lost leadership');
      // Serialized: the jobs of the last term have ended before those of the next begin.
      changing = changing.then(async () => {
        // A job that ignores its signal must not delay the others.
        await Promise.race([leading?.stop(), clock.sleep(5_000)]);
        leading = leads ? lead() : null;
      });
    },
  });
  handleScheduled(frame, areas);
  const instanceJobs = start([
    ...areas.flatMap((area) => area.jobs ?? []),
    ...frameJobs(frame, areas),
    ...(store.engine === 'sqlite' ? [] : [leadershipJob(() => leadership.step())]),
  ]);
  if (leadership.leads()) leading = lead();
  const stopListening = listen(frame, () => all, {
    wake: (name) => {
      instanceJobs.wake(name);
      leading?.wake(name);
    },
    nudge: (name) => leading?.nudge(name),
  });
  return {
    cluster: () => {
      const { leads, leader } = leadership.status();
      // No other job uses the store more often.
      const job = instanceJobs.states().find(({ name }) => name === 'leadership');
      return { leads, leader, store_error: job?.lastError ?? null };
    },
    states: () => [...instanceJobs.states(), ...(leading?.states() ?? [])],
    stop: async () => {
      stopListening();
      await instanceJobs.stop();
      await changing;
      await leading?.stop();
      await leadership.resign().catch((error: unknown) => log.warn({ err: error }, 'failed to release leadership'));
    },
  };
}

/** Runs jobs on notifications of the store. @returns a function that ends it */
function listen(
  { store }: Frame,
  jobs: () => AreaJob[],
  run: { wake(name: string): void; nudge(name: string): void },
): () => void {
  const topics = ['outbox', 'leader', 'snapshots', 'events', 'refresh', 'drift'] as const;
  const stops = topics.map((topic) =>
    store.notifier.on(topic, (about) => {
      for (const { name, wakeOn, nudgeOn } of jobs()) {
        if (wakeOn?.topic === topic && (wakeOn.about ?? about) === about) run.wake(name);
        if (nudgeOn?.topic === topic && (nudgeOn.about ?? about) === about) run.nudge(name);
      }
    }),
  );
  return () => {
    for (const stop of stops) stop();
  };
}

/** Jobs of the process itself and of the store. */
const frameJobs = (frame: Frame, areas: Area[]): AreaJob[] => [
  clockWatch(frame),
  memoryRelease(),
  {
    name: 'queue',
    intervalMs: 5_000,
    timeoutMs: minute,
    firstAfterMs: 1_000,
    isRecorded: false,
    step: () => frame.queue.step(),
  },
  {
    name: 'schedule',
    intervalMs: 10 * minute,
    timeoutMs: minute,
    firstAfterMs: 10 * minute,
    step: () => {
      const scheduled = [pruneJob, ...areas.flatMap((area) => area.scheduledJobs ?? [])];
      const everyMs = Object.fromEntries(scheduled.map((job) => [job.kind, job.everyMs]));
      return queueOccurrences(frame.queue, everyMs, frame.clock.now());
    },
  },
];

const leadershipJob = (step: Job['step']): AreaJob => ({
  name: 'leadership',
  intervalMs: renewalMs,
  timeoutMs: renewalMs * 2,
  firstAfterMs: 0,
  isRecorded: false,
  wakeOn: { topic: 'leader' },
  step,
});

const outboxJob = ({ outbox }: Frame, leads: () => boolean): AreaJob => ({
  // A new message triggers a run at once; the interval is for retries.
  name: 'outbox',
  intervalMs: 10_000,
  timeoutMs: 10 * minute,
  firstAfterMs: 1_000,
  wakeOn: { topic: 'outbox' },
  step: (signal) => outbox.step(signal, leads),
});

/**
 * An instance that was suspended learns at its next renewal that another one leads; until then it runs no leader jobs.
 */
const whileLeading =
  (step: Job['step'], leads: () => boolean): Job['step'] =>
  async (signal) => {
    if (!leads()) throw unavailable('this instance does not lead');
    return step(signal);
  };

const pruneJob = { kind: 'prune', everyMs: 360 * minute };
const dayMs = 1440 * minute;

function handleScheduled(frame: Frame, areas: Area[]): void {
  const { queue, outbox, config, clock } = frame;
  const prune: ScheduledJob = {
    ...pruneJob,
    run: async () => {
      await outbox.prune(clock.now() - Math.min(config.EVENTS_RETENTION_DAYS, 30) * dayMs);
      await queue.prune(clock.now() - 30 * dayMs);
    },
  };
  for (const { kind, run } of [prune, ...areas.flatMap((area) => area.scheduledJobs ?? [])])
    queue.handle(kind, (_, { signal }) => withRetries(frame, kind, run, signal));
}

/** An occurrence has one outcome: it is retried before it counts as failed. */
async function withRetries(
  { log, clock }: Frame,
  kind: string,
  run: ScheduledJob['run'],
  signal: AbortSignal,
): Promise<void> {
  for (const waitMs of [5_000, 30_000, 300_000]) {
    try {
      return await run(signal);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error, kind }, 'scheduled job failed; it will be retried');
    }
    await clock.sleep(waitMs, signal);
  }
  return run(signal);
}

function recordRun({ store, metrics, log }: Frame, jobs: AreaJob[], state: JobState): void {
  const outcome = state.status === 'succeeded' ? 'succeeded' : 'failed';
  metrics.jobRuns.inc({ job: state.name, outcome });
  if (jobs.find(({ name }) => name === state.name)?.isRecorded === false) return;
  const row = {
    name: state.name,
    last_status: outcome,
    last_started_at: new Date(state.lastStartedAt ?? 0).toISOString(),
    last_finished_at: new Date(state.lastFinishedAt ?? 0).toISOString(),
    last_error: state.lastError === null ? null : storableText(state.lastError),
  } as const;
  store
    .db()
    .then((db) =>
      db
        .insertInto('jobs')
        .values(row)
        .onConflict((at) => at.column('name').doUpdateSet(row))
        .execute(),
    )
    .catch((error: unknown) => log.warn({ err: error, job: state.name }, 'failed to record the run of a job'));
}
