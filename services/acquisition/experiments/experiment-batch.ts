import { publicText, TowerError } from '#kernel/errors.ts';
import type { Log } from '#kernel/log.ts';
import { restoreAbandoned } from '../kubernetes/leases.ts';
import { hashOf } from './anonymise.ts';
import { type Combination, combinationsOf, configOf } from './experiment-config.ts';
import { retryWhileUnavailable, withReplicas } from './experiment-lease.ts';
import { planOf } from './experiment-plan.ts';
import { type RunDeps, runExperiment, type Setting } from './experiment-run.ts';
import { experimentOrReason } from './experiments.ts';
import type { ExperimentJob, ExperimentJobRequest, ExperimentProgress } from './job-schemas.ts';
import { type Grade, validateQuality } from './quality.ts';

/** Runs all experiments of a job: isolated services concurrently, with retries; finished experiments are skipped. */

export type BatchDeps = RunDeps & {
  /** Allowed load test origins. */
  targets: string[];
  log: Log;
  /** Counts outcomes for metrics. */
  onExperiment: (event: 'job' | 'begin' | 'succeeded' | 'failed' | 'cancelled') => void;
};

type Result = NonNullable<ExperimentJob['result']>;

/** @throws TowerError `invalid`, `unavailable`; the signal's reason, after replicas are restored */
export async function runBatch(
  deps: BatchDeps,
  { id: job, attempts }: { id: string; attempts: number },
  payload: ExperimentJobRequest,
  signal: AbortSignal,
  progress: (now: ExperimentProgress) => void,
): Promise<Result> {
  const { namespace, services } = payload;
  deps.onExperiment('job');
  const { config, groups, targets, workers, finished, notes } = await planOf(deps, {
    ...payload,
    config: configOf(payload.config),
    job,
  });
  const { client, clock } = deps;
  // Restores what a crashed instance left, also if it crashed during the job's last experiment.
  await retryWhileUnavailable(clock, signal, () =>
    restoreAbandoned(client, namespace, (each) => each.startsWith(`${job}/`), signal),
  );
  const holder = `${job}/${attempts}`;
  const all = services.flatMap((service) => combinationsOf(service, config));
  const track = trackOf(all.length, deps.clock.now, progress);
  const grades: Grade[] = [];
  const failures: Result['failures'] = [];
  for (const id of finished) {
    const read = await experimentOrReason(deps.directory, id);
    if (typeof read === 'string') continue;
    grades.push(validateQuality(read).grade);
    // Experiments this job made before a restart count as its own, not as skipped.
    track.settle(id, read.job === job || read.job === hashOf(job) ? 'succeeded' : 'skipped');
  }
  const lanes = [...groups];
  const work = async (over: AbortSignal): Promise<void> => {
    for (let group = lanes.shift(); group; group = lanes.shift())
      for (const combination of all) {
        if (!group.includes(combination.service) || finished.includes(combination.id)) continue;
        const setting = { job, holder, namespace, target: targets[combination.service]!, config };
        const outcome = await runWithRetries(deps, setting, combination, over, track);
        if (typeof outcome === 'string') grades.push(outcome);
        else failures.push(outcome);
      }
  };
  const runLanes = async (over: AbortSignal): Promise<void> => {
    track.drop(quieting);
    // A cancelled job ends after every worker has restored its replicas.
    const outcomes = await Promise.allSettled(Array.from({ length: workers }, () => work(over)));
    const broken = outcomes.find((outcome) => outcome.status === 'rejected');
    if (broken) throw broken.reason;
  };
  const none = Object.fromEntries(config.scale_to_zero.map((name) => [name, 0]));
  const report = (phase: string, detail: string) => track.report(quieting, phase, detail, null);
  if (config.scale_to_zero.length === 0) await runLanes(signal);
  // Restored once for all workers: one worker's restore would disturb the experiments of the others.
  else
    await retryWhileUnavailable(clock, signal, () =>
      withReplicas(deps, { namespace, holder }, none, signal, report, async (_, held) => runLanes(held)),
    );
  track.drop(quieting);
  return resultOf(track, grades, failures, notes);
}

function resultOf(track: Track, grades: readonly Grade[], failures: Result['failures'], notes: string[]): Result {
  const count = (grade: Grade) => grades.filter((each) => each === grade).length;
  const { total, succeeded, failed, skipped } = track.counts();
  return {
    status: failed === 0 ? 'completed' : failed === total ? 'failed' : 'completed_with_failures',
    total_experiments: total,
    successful_experiments: succeeded,
    failed_experiments: failed,
    skipped_experiments: skipped,
    data_quality: { high_quality: count('high'), medium_quality: count('medium'), low_quality: count('low') },
    failures,
    notes,
  };
}

const quieting = 'scale_to_zero';

/** Retries an experiment up to the maximum number of attempts. @throws the signal's reason */
async function runWithRetries(
  deps: BatchDeps,
  setting: Setting,
  combination: Combination,
  signal: AbortSignal,
  track: Track,
): Promise<Grade | Result['failures'][number]> {
  const { id } = combination;
  for (let attempt = 0; ; attempt += 1) {
    deps.onExperiment('begin');
    try {
      const report = (phase: string, detail: string, share: number | null) => track.report(id, phase, detail, share);
      const { grade } = await retryWhileUnavailable(
        deps.clock,
        signal,
        () => runExperiment(deps, setting, combination, signal, report),
        (why) => report('waiting', why, null),
      );
      deps.onExperiment('succeeded');
      track.settle(id, 'succeeded');
      return grade;
    } catch (error) {
      deps.onExperiment(signal.aborted ? 'cancelled' : 'failed');
      signal.throwIfAborted();
      deps.log.warn({ err: error, experiment: id, attempt }, 'experiment failed');
      // Errors that a retry cannot fix.
      const isLasting = error instanceof TowerError && (error.code === 'invalid' || error.code === 'not_found');
      if (attempt >= setting.config.max_retries || isLasting) {
        track.settle(id, 'failed');
        return { experiment_id: id, error: publicText(error), attempts: attempt + 1 };
      }
      track.report(id, 'waiting', `failed, retrying: ${publicText(error)}`, null);
      // Three pauses exceed the lease duration of a crashed job.
      await deps.clock.sleep(30_000, signal);
    }
  }
}

type Track = ReturnType<typeof trackOf>;
type ExperimentOutcome = 'succeeded' | 'failed' | 'skipped';

/** Tracks the progress of a job. */
function trackOf(total: number, now: () => number, report: (progress: ExperimentProgress) => void) {
  const settled = new Map<string, ExperimentOutcome>();
  const running = new Map<string, ExperimentProgress['running'][number]>();
  const startedMs = now();
  let before = 0;
  const counts = () => {
    const count = (wanted: ExperimentOutcome) => [...settled.values()].filter((each) => each === wanted).length;
    return { total, succeeded: count('succeeded'), failed: count('failed'), skipped: count('skipped') };
  };
  const publish = () => {
    const done = settled.size - before;
    const each = done > 0 ? (now() - startedMs) / done : null;
    report({
      finished: settled.size,
      ...counts(),
      running: [...running.values()],
      eta_seconds: each === null ? null : Math.round((each * (total - settled.size)) / 1000),
    });
  };
  return {
    counts,
    report: (id: string, phase: string, detail: string, share: number | null) => {
      running.set(id, { experiment_id: id, phase, detail, share });
      publish();
    },
    drop: (id: string) => {
      if (running.delete(id)) publish();
    },
    settle: (id: string, outcome: ExperimentOutcome) => {
      // Skipped experiments must not distort the estimated duration.
      if (!running.delete(id)) before += 1;
      settled.set(id, outcome);
      publish();
    },
  };
}
