import { publicText, TowerError, unavailable } from '../../src/kernel/errors.ts';
import type { Log } from '../../src/kernel/log.ts';
import { hashOf } from './anonymise.ts';
import { type Combination, combinationsOf, configOf } from './experiment-config.ts';
import { planOf } from './experiment-plan.ts';
import { type RunDeps, runExperiment, type Setting } from './experiment-run.ts';
import { tryExperiment } from './experiments.ts';
import type { ExperimentJob, ExperimentJobRequest, ExperimentProgress } from './job-schemas.ts';
import { restoreLeft } from './kubernetes/leases.ts';
import { type Grade, validateQuality } from './quality.ts';

/** All experiments of a job: those that may run side by side do, each is tried again where it fails, what is there stays. */

export type BatchDeps = RunDeps & {
  /** Origins that load tests may be sent to. */
  targets: string[];
  log: Log;
  /** For metrics. */
  onExperiment: (event: 'job' | 'begin' | 'succeeded' | 'failed') => void;
};

type Result = NonNullable<ExperimentJob['result']>;

/** @throws TowerError `invalid`, `unavailable`; the signal's reason, once all is as it was */
export async function runBatch(
  deps: BatchDeps,
  job: string,
  payload: ExperimentJobRequest,
  signal: AbortSignal,
  progress: (now: ExperimentProgress) => void,
): Promise<Result> {
  const { namespace, services } = payload;
  deps.onExperiment('job');
  const { config, groups, targets, workers, finished, notes } = await planOf(deps, {
    ...payload,
    config: configOf(payload.config),
  });
  // Where a tower died while this job was at it, also with the last of its experiments.
  await restoreLeft(deps.client, deps.clock, namespace, (holder) => holder === job, signal);
  const all = services.flatMap((service) => combinationsOf(service, config));
  const track = trackOf(all.length, deps.clock.now, progress);
  const grades: Grade[] = [];
  const failures: Result['failures'] = [];
  for (const id of finished) {
    const read = await tryExperiment(deps.folder, id);
    if (typeof read === 'string') continue;
    grades.push(validateQuality(read).grade);
    // What this very job made before it was begun again is not left out.
    track.settle(id, read.job === job || read.job === hashOf(job) ? 'succeeded' : 'skipped');
  }
  const lanes = [...groups];
  const work = async (): Promise<void> => {
    for (let group = lanes.shift(); group; group = lanes.shift())
      for (const combination of all) {
        if (!group.includes(combination.service) || finished.includes(combination.id)) continue;
        const setting = { job, namespace, target: targets[combination.service]!, config };
        const outcome = await runPatiently(deps, setting, combination, signal, track);
        if (typeof outcome === 'string') grades.push(outcome);
        else failures.push(outcome);
      }
  };
  // One that is cancelled is over when all are: each restores what it changed.
  const outcomes = await Promise.allSettled(Array.from({ length: workers }, work));
  signal.throwIfAborted();
  const broken = outcomes.find((outcome) => outcome.status === 'rejected');
  if (broken) throw unavailable('experiments could not be gone on with', broken.reason);
  const count = (grade: Grade) => grades.filter((each) => each === grade).length;
  const { succeeded, failed, skipped } = track.counts();
  return {
    status: failed === 0 ? 'completed' : 'completed_with_failures',
    total_experiments: all.length,
    successful_experiments: succeeded,
    failed_experiments: failed,
    skipped_experiments: skipped,
    data_quality: { high_quality: count('high'), medium_quality: count('medium'), low_quality: count('low') },
    failures,
    notes,
  };
}

/** Until it is done, or has failed too often. @throws the signal's reason */
async function runPatiently(
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
      const say = (phase: string, detail: string, share: number | null) => track.say(id, phase, detail, share);
      const { grade } = await runExperiment(deps, setting, combination, signal, say);
      deps.onExperiment('succeeded');
      track.settle(id, 'succeeded');
      return grade;
    } catch (error) {
      deps.onExperiment('failed');
      signal.throwIfAborted();
      deps.log.warn({ err: error, experiment: id, attempt }, 'an experiment failed');
      // What is wrong by rule is so the next time as well.
      const isLasting = error instanceof TowerError && (error.code === 'invalid' || error.code === 'not_found');
      if (attempt >= setting.config.max_retries || isLasting) {
        track.settle(id, 'failed');
        return { experiment_id: id, error: publicText(error), attempts: attempt + 1 };
      }
      track.say(id, 'waiting', `failed, and is tried again: ${publicText(error)}`, null);
      await deps.clock.sleep(Math.min(60_000, 5_000 * 2 ** attempt), signal);
    }
  }
}

type Track = ReturnType<typeof trackOf>;
type Settled = 'succeeded' | 'failed' | 'skipped';

/** How far a job is. */
function trackOf(total: number, now: () => number, tell: (progress: ExperimentProgress) => void) {
  const settled = new Map<string, Settled>();
  const running = new Map<string, ExperimentProgress['running'][number]>();
  const begunMs = now();
  let before = 0;
  const counts = () => {
    const count = (wanted: Settled) => [...settled.values()].filter((each) => each === wanted).length;
    return { succeeded: count('succeeded'), failed: count('failed'), skipped: count('skipped') };
  };
  const publish = () => {
    const done = settled.size - before;
    const each = done > 0 ? (now() - begunMs) / done : null;
    tell({
      total,
      finished: settled.size,
      ...counts(),
      running: [...running.values()],
      eta_seconds: each === null ? null : Math.round((each * (total - settled.size)) / 1000),
    });
  };
  return {
    counts,
    say: (id: string, phase: string, detail: string, share: number | null) => {
      running.set(id, { experiment_id: id, phase, detail, share });
      publish();
    },
    settle: (id: string, outcome: Settled) => {
      // What was there at the beginning says nothing of how long one takes.
      if (!running.delete(id)) before += 1;
      settled.set(id, outcome);
      publish();
    },
  };
}
