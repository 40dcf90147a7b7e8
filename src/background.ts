import type { Acquisition } from '../services/acquisition/acquisition.ts';
import type { Analytics } from '../services/analytics/analytics.ts';
import { jobOf, prune, type RegistryParts, type SharedParts, type Tools } from './compose-registry.ts';
import type { Config } from './config.ts';
import { unavailable } from './kernel/errors.ts';
import { type Job, type JobState, type Jobs, startJobs } from './kernel/jobs.ts';
import { createLeadership, type Leadership, renewalMs } from './store/leader.ts';
import type { Queue } from './store/queue.ts';
import { queueOccurrences, type Scheduled } from './store/schedule.ts';
import type { Store } from './store/store.ts';
import type { Cluster } from './system.ts';

/** Every background job there is: those of each tower, those of the leader alone, and those done once in a while by any. */
export type Background = {
  states(): JobState[];
  cluster(): Omit<Cluster, 'tower' | 'store'>;
  stop(): Promise<void>;
};

type Parts = {
  config: Config;
  store: Store;
  /** How this tower is called among those over one store. */
  tower: string;
  queue: Queue;
  registries: RegistryParts[];
  shared: SharedParts;
  analytics: Analytics;
  acquisition: Acquisition;
  tools: Tools;
};

const minute = 60_000;

export function createBackground(parts: Parts): Background {
  const { store, tower, tools } = parts;
  const { clock, log } = tools;
  const onRun = (state: JobState) => recordRun(parts, state);
  let leading: Jobs | null = null;
  let stepping: Promise<void> = Promise.resolve();
  const leadership = createLeadership({
    store,
    tower,
    clock,
    onChange: (leads) => {
      log.info({ tower }, leads ? 'this tower leads now' : 'this tower does not lead any more');
      // One after the other: what ends is over before it begins again.
      stepping = stepping.then(async () => {
        // What takes no signal is left to end by itself: the leader's other work must not wait for it.
        await Promise.race([leading?.stop(), clock.sleep(5_000)]);
        leading = leads ? startJobs(leaderJobs(parts, leadership), { ...tools, onRun }) : null;
      });
    },
  });
  handleScheduled(parts);
  const everywhere = startJobs(towerJobs(parts, leadership), { ...tools, onRun });
  if (leadership.leads()) leading = startJobs(leaderJobs(parts, leadership), { ...tools, onRun });
  const wake = (name: string) => {
    everywhere.wake(name);
    leading?.wake(name);
  };
  const listening = [
    store.bell.on('outbox', () => wake('outbox')),
    store.bell.on('leader', () => wake('leadership')),
    store.bell.on('snapshots', (name) => wake(jobOf('registry-follow', name))),
    store.bell.on('events', () => wake('events')),
    store.bell.on('refresh', (name) => leading?.nudge(name)),
  ];
  return {
    cluster: () => {
      const { leads, leader } = leadership.status();
      // Nothing asks the store more often.
      const asking = everywhere.states().find(({ name }) => name === 'leadership');
      return { leads, leader, store_error: asking?.lastError ?? null };
    },
    states: () => [...everywhere.states(), ...(leading?.states() ?? [])],
    stop: async () => {
      for (const stopListening of listening) stopListening();
      await everywhere.stop();
      await stepping;
      await leading?.stop();
      await leadership.resign().catch((error: unknown) => log.warn({ err: error }, 'the next leader has to wait'));
    },
  };
}

/** What every tower does for itself. */
function towerJobs({ config, store, queue, registries, shared, tools }: Parts, leadership: Leadership): Job[] {
  const every = Math.max(config.CACHE_REFRESH_INTERVAL_MINUTES, 1) * minute;
  const jobs: Job[] = registries.flatMap(({ name, registry, drift }) => [
    {
      name: jobOf('registry-ping', name),
      intervalMs: minute,
      timeoutMs: 10_000,
      firstAfterMs: minute,
      step: (signal) => registry.ping(signal),
    },
    {
      name: jobOf('run-count', name),
      intervalMs: every,
      timeoutMs: 30 * minute,
      firstAfterMs: 2_000,
      step: (signal) => registry.countRuns(signal),
    },
    {
      name: jobOf('drift', name),
      intervalMs: every,
      timeoutMs: 10 * minute,
      firstAfterMs: 5_000,
      step: (signal) => drift.sweep(signal),
    },
  ]);
  jobs.push(
    { name: 'queue', intervalMs: 5_000, timeoutMs: minute, firstAfterMs: 1_000, step: () => queue.step() },
    {
      name: 'schedule',
      intervalMs: 10 * minute,
      timeoutMs: minute,
      firstAfterMs: 10 * minute,
      step: () => queueOccurrences(queue, scheduled, tools.clock.now()),
    },
    {
      name: 'events',
      intervalMs: 10_000,
      timeoutMs: minute,
      firstAfterMs: 10_000,
      step: () => shared.stream.catchUp(),
    },
  );
  return store.engine === 'sqlite' ? jobs : [...jobs, ...sharingJobs(registries, leadership)];
}

/** What it takes to share a store with other towers. */
function sharingJobs(registries: RegistryParts[], leadership: Leadership): Job[] {
  const jobs: Job[] = [];
  for (const { name, registry } of registries)
    jobs.push({
      name: jobOf('registry-follow', name),
      intervalMs: 10_000,
      timeoutMs: minute,
      firstAfterMs: 0,
      step: () => registry.follow(),
    });
  jobs.push({
    name: 'leadership',
    intervalMs: renewalMs,
    timeoutMs: renewalMs * 2,
    firstAfterMs: 0,
    step: () => leadership.step(),
  });
  return jobs;
}

/** What one tower does for all. */
function leaderJobs({ config, registries, shared, analytics, acquisition }: Parts, { leads }: Leadership): Job[] {
  shared.outbox.begin();
  const jobs: Job[] = [
    ...registries.map(({ name, registry }) => ({
      name: jobOf('registry-refresh', name),
      intervalMs: config.CACHE_REFRESH_INTERVAL_MINUTES * minute,
      timeoutMs: config.CACHE_TIMEOUT_SECONDS * 1000 + 10_000,
      // With a snapshot at hand there is no hurry: the first requests come first.
      firstAfterMs: registry.status().snapshot ? 1_000 : 0,
      step: () => registry.refresh(),
    })),
    {
      // Woken by every promise; by itself for what is to be tried again.
      name: 'outbox',
      intervalMs: 10_000,
      timeoutMs: 10 * minute,
      firstAfterMs: 1_000,
      step: (signal) => shared.outbox.step(signal, leads),
    },
    {
      name: 'metrics-seal',
      intervalMs: 5 * minute,
      timeoutMs: 30 * minute,
      firstAfterMs: minute,
      step: (signal) => analytics.seal(signal),
    },
    {
      name: 'replicas-restore',
      intervalMs: minute,
      timeoutMs: minute,
      firstAfterMs: 15_000,
      step: (signal) => acquisition.jobs.restore(signal),
    },
  ];
  // A tower that stood still learns at the next renewal that another one leads; until then it does nothing either.
  const whileLeading = (step: Job['step']) => async (signal: AbortSignal) => {
    if (!leads()) throw unavailable('this tower does not lead now');
    return step(signal);
  };
  return jobs.map((job) => ({ ...job, step: whileLeading(job.step) }));
}

/** On whichever tower takes it up first. */
const scheduled: Scheduled = { 'metrics-retention': 360 * minute, prune: 360 * minute };

function handleScheduled({ config, queue, registries, shared, analytics, tools }: Parts): void {
  // An occurrence has one outcome: what fails is tried again before it counts as failed.
  const handle = (kind: string, work: (signal: AbortSignal) => Promise<void>) =>
    queue.handle(kind, async (_, { signal }) => {
      for (const waitMs of [5_000, 30_000, 300_000]) {
        try {
          return await work(signal);
        } catch (error) {
          signal.throwIfAborted();
          tools.log.warn({ err: error, kind }, 'a scheduled job failed and is tried again');
        }
        await tools.clock.sleep(waitMs, signal);
      }
      return work(signal);
    });
  handle('metrics-retention', (signal) => analytics.letGo(signal));
  handle('prune', async () => {
    // All registries share what is pruned, so one of them does it for all.
    const [first] = registries;
    if (first) await prune(config, tools.clock.now(), shared, first);
    await queue.prune(tools.clock.now() - 30 * 24 * 60 * minute);
  });
}

/** Steps that come every few seconds and leave nothing to be told. */
const unrecorded = ['leadership', 'queue', 'events'];

function recordRun({ store, tools: { metrics, log } }: Parts, state: JobState): void {
  const outcome = state.status === 'succeeded' ? 'succeeded' : 'failed';
  metrics.jobRuns.inc({ job: state.name, outcome });
  if (unrecorded.includes(state.name) || state.name.startsWith('registry-follow')) return;
  const row = {
    name: state.name,
    last_status: outcome,
    last_started_at: new Date(state.lastStartedAt ?? 0).toISOString(),
    last_finished_at: new Date(state.lastFinishedAt ?? 0).toISOString(),
    last_error: state.lastError,
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
    .catch((error: unknown) => log.warn({ err: error, job: state.name }, 'the run of a job could not be recorded'));
}
