import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#kernel/clock.ts';
import { createLog } from '#kernel/log.ts';
import { configOf } from '#services/acquisition/experiments/experiment-config.ts';
import { createExperimentJobs } from '#services/acquisition/experiments/experiment-jobs.ts';
import type { ExperimentJob } from '#services/acquisition/experiments/job-schemas.ts';
import { createEvaluation, type Sample } from '#services/acquisition/load/results.ts';
import type { Queue } from '#store/queue.ts';
import type { QueuedJob, Work } from '#store/queue-job.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { shopClient } from './small-cluster.ts';
import { temporaryDirectory } from './tower.ts';

/** A clock that advances at once when something sleeps for less than the time limits. */
export function fastClock({ real }: { real?: number } = {}) {
  let now = Date.parse('2026-11-20T10:00:00Z');
  return {
    now: () => now,
    sleep: async (ms: number, signal?: AbortSignal) => {
      // A real wait for an external event, shortened.
      if (ms === real) return systemClock.sleep(50, signal);
      // Time limits and renewals never expire.
      if (ms > 10_000 && ms !== 30_000)
        return new Promise<void>((_, reject) => {
          const end = () => reject(signal!.reason as Error);
          if (signal?.aborted) end();
          else signal?.addEventListener('abort', end);
        });
      now += ms;
      return Promise.resolve();
    },
  };
}

const config = (change: object = {}) =>
  configOf({
    training: {
      steady_state_config: {
        experiment_duration_minutes: 4,
        replica_counts: [1, 3],
        load_levels_users: [5, 20],
        test_scenarios: ['browsing'],
      },
    },
    target_url: 'http://shop',
    jmeter_thread_ramp_up: 0,
    jmeter_thread_ramp_down: 0,
    ...change,
  });

type Options = { change?: object; services?: string[]; failing?: (id: string) => number };

/** One job in a small cluster, with a queue of one job; the simulated CPU is a function of load and replicas. */
export async function experimentWorld({ change = {}, services = ['web', 'cart'], failing = () => 0 }: Options = {}) {
  const fake = await fakeKubernetes();
  for (const name of ['web', 'cart']) fake.workload('Deployment', name, 2, [{ name: 'server' }]);
  fake.workload('Deployment', 'loadgenerator', 1, [{ name: 'main' }]);
  const directory = temporaryDirectory();
  let attempts = 0;
  const loads: { at: string; replicas: (number | undefined)[] }[] = [];
  const events: string[] = [];
  /** An instance whose memory is lost when it crashes. `life`: number of outside calls until the crash. */
  const tower = (life = Number.POSITIVE_INFINITY, during?: (call: number, what: string) => void) => {
    let [left, calls] = [life, 0];
    const died = new AbortController();
    const step = async (what: string) => {
      calls += 1;
      during?.(calls, what);
      left -= 1;
      if (left < 0) {
        died.abort();
        // A crashed instance neither continues nor cleans up.
        await new Promise(() => undefined);
      }
    };
    const clock = fastClock();
    const real = shopClient(fake.file, clock);
    const client: typeof real = {
      call: async (call, signal) => {
        await step('Kubernetes');
        return real.call(call, signal);
      },
      watch: real.watch,
      requireWritable: real.requireWritable,
    };
    let work: Work | undefined;
    const queue = { handle: (_: string, each: Work) => (work = each) } as unknown as Queue;
    const said: ExperimentJob['progress'][] = [];
    createExperimentJobs({
      client,
      queue,
      jmeter: null,
      audit: async () => undefined,
      directory,
      clock,
      scrapeMs: 0,
      targets: ['http://shop', 'http://cart'],
      log: createLog('ERROR', 'json', { write: () => undefined }),
      onExperiment: (event) => void events.push(event),
      load: async ({ run, name }) => {
        await step('load');
        loads.push({ at: run.target, replicas: ['web', 'cart', 'loadgenerator'].map((name) => fake.replicasOf(name)) });
        clock.sleep(run.durationSeconds * 1000).catch(() => undefined);
        const rate = failing(String(loads.length));
        return {
          ...evaluated(
            Array.from({ length: 200 }, (_, i) => ({
              startMs: i * 1200,
              elapsedMs: 20 + (name.length % 7),
              label: 'home',
              ok: i >= 200 * rate,
              error: 'connect ECONNREFUSED 10.2.3.4:8080',
            })),
          ),
          users: 50,
          rounds: 50,
          turned_away: 0,
        };
      },
      answering: async () => during?.(calls, 'answering'),
      collect: async ({ service }, { startMs, endMs, stepMs }) => {
        await step('Prometheus');
        const size = Math.round((endMs - startMs) / stepMs) + 1;
        const replicas = fake.replicasOf(service) ?? 0;
        const column = (name: string, level: number) => ({
          name,
          unit: '',
          formula: null,
          query: null,
          values: Float64Array.from({ length: size }, (_, i) => level * (1 + 0.01 * Math.sin(i))),
          known: 1,
          trouble: null,
          unanswered: false,
        });
        return {
          startMs,
          endMs,
          stepMs,
          size,
          columns: [
            column('cpu_cores', 0.1 * replicas),
            column('mem_bytes', 1e8),
            { ...column('replica_count', 0), values: new Float64Array(size).fill(replicas) },
          ],
          warnings: [],
        };
      },
    });
    const run = (signal = new AbortController().signal) => {
      const job = {
        id: 'job-1',
        attempts: (attempts += 1),
        payload: JSON.stringify({ namespace: 'shop', services, config: config(change) }),
      };
      const done = work!(job as QueuedJob, {
        signal,
        progress: (now) => void said.push(now as ExperimentJob['progress']),
        isStopping: () => false,
      });
      return Promise.race([
        done as Promise<NonNullable<ExperimentJob['result']>>,
        new Promise<null>((resolve) => {
          died.signal.addEventListener('abort', () => resolve(null));
        }),
      ]);
    };
    return { run, said, calls: () => calls };
  };
  const files = () =>
    Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
  return { fake, tower, loads, events, files };
}

function evaluated(samples: Sample[]) {
  const evaluation = createEvaluation();
  for (const sample of samples) evaluation.add(sample);
  return evaluation.result();
}
