import { createHash } from 'node:crypto';
import { type Clock, isoTime } from '../../src/kernel/clock.ts';
import { conflict, invalid, TowerError, unavailable } from '../../src/kernel/errors.ts';
import { anonymise } from './anonymise.ts';
import type { Collected, Stretch } from './collect.ts';
import { type Combination, type ExperimentConfig, scenarioOf } from './experiment-config.ts';
import { experimentOf, loadExperiment, saveExperiment } from './experiments.ts';
import type { KubernetesClient } from './kubernetes/client.ts';
import { type Held, hold, renew, renewalMs, restore } from './kubernetes/leases.ts';
import { waitForPods } from './kubernetes/pods.ts';
import { scaleOf, scaleWorkload, workloadsOf } from './kubernetes/workloads.ts';
import type { LoadProgress, LoadRun, RunResult } from './load/generator.ts';
import type { Scenario } from './load/scenario.ts';
import type { Workload } from './metric-queries.ts';
import { type Quality, validateQuality } from './quality.ts';

/** One experiment: so many replicas, under the load of so many users; what it showed, on disk; and all as it was before. */

export type RunDeps = {
  client: KubernetesClient;
  collect(workload: Workload, stretch: Stretch, signal: AbortSignal): Promise<Collected>;
  /** Null where no request was made. */
  load(
    task: { scenario: Scenario; run: LoadRun; seed: number; memoryMiB: number },
    signal: AbortSignal,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<RunResult | null>;
  /** Until what happened is in Prometheus. */
  scrapeMs: number;
  folder: string;
  clock: Clock;
};

export type Phase = 'scaling' | 'waiting' | 'load' | 'collecting' | 'restoring';
export type Say = (phase: Phase, detail: string, share: number | null) => void;

export type Setting = { job: string; namespace: string; target: string; config: ExperimentConfig };

/** Longest time until replicas are as they were, when everything else is to end. */
const restoringMs = 8_000;

/**
 * @throws TowerError `conflict` where an autoscaler or another job acts on the service, `not_found`, `unavailable` where pods
 * do not become ready or somebody does not answer, `invalid` where no request was made; the signal's reason. Whatever it
 * throws, replicas are what they were, or the lease says what they are to be.
 */
export async function runExperiment(
  deps: RunDeps,
  setting: Setting,
  combination: Combination,
  signal: AbortSignal,
  say: Say,
): Promise<Quality> {
  const { client, clock } = deps;
  const { namespace, config, job } = setting;
  const { service, replicas } = combination;
  await refuseAutoscaled(client, namespace, service, signal);
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const held: Held[] = [];
  const take = async (name: string, wanted: number) => {
    say('scaling', `${name} to ${wanted}`, null);
    const { scale } = await scaleOf(client, namespace, name, both);
    held.push(
      await hold(
        client,
        clock,
        { namespace, service: name, holder: job, formerReplicas: scale.spec.replicas ?? 0 },
        both,
      ),
    );
    return scaleWorkload(client, namespace, name, wanted, both);
  };
  const renewing = keepHold(deps, held, over);
  try {
    for (const name of config.scale_to_zero) await take(name, 0);
    const { selector } = await take(service, replicas);
    const timeoutMs = config.pods_ready_timeout * 1000;
    const onChange = (now: { pods: number; waiting: { pod: string; why: string }[] }) =>
      say('waiting', waitingText(now, replicas), null);
    const { ready, ...now } = await waitForPods(client, clock, {
      namespace,
      selector,
      wanted: replicas,
      timeoutMs,
      signal: both,
      onChange,
    });
    if (!ready)
      throw unavailable(`after ${config.pods_ready_timeout} s pods are not ready: ${waitingText(now, replicas)}`);
    return await measure(deps, setting, combination, both, say);
  } catch (error) {
    // Why it was ended says more than that it was.
    if (over.signal.aborted && !signal.aborted) throw over.signal.reason;
    throw error;
  } finally {
    over.abort();
    await renewing;
    say('restoring', held.map((each) => `${each.service} to ${each.formerReplicas}`).join(', '), null);
    await restoreAll(client, held);
  }
}

function waitingText({ pods, waiting }: { pods: number; waiting: { pod: string; why: string }[] }, wanted: number) {
  const shown = waiting.slice(0, 3).map(({ pod, why }) => `${pod} ${why}`);
  const more = waiting.length > 3 ? [`${waiting.length - 3} more`] : [];
  return [`${pods - waiting.length} of ${wanted} ready`, ...shown, ...more].join('; ');
}

/** It would undo what an experiment sets. */
async function refuseAutoscaled(client: KubernetesClient, namespace: string, service: string, signal: AbortSignal) {
  const workload = (await workloadsOf(client, namespace, signal)).find(({ name }) => name === service);
  const [hpa] = workload?.hpa ?? [];
  if (hpa !== undefined)
    throw conflict(
      `the HorizontalPodAutoscaler ${hpa} sets the replicas of ${service}; experiments do so themselves: take it away meanwhile`,
      { service, hpa },
    );
}

/** Says every few seconds that somebody is at it; ends the experiment where another job has it. */
async function keepHold({ client, clock }: RunDeps, held: readonly Held[], over: AbortController): Promise<void> {
  while (!over.signal.aborted) {
    await clock.sleep(renewalMs, over.signal).catch(() => undefined);
    for (const each of held) {
      if (over.signal.aborted) return;
      await renew(client, clock, each, over.signal).catch((error: unknown) => {
        // A server that is away for a moment takes nobody's hold; one that has lost the lease does.
        if (error instanceof TowerError && (error.code === 'conflict' || error.code === 'not_found')) over.abort(error);
      });
    }
  }
}

/** What cannot be restored now has its lease, by which it is restored later. */
async function restoreAll(client: KubernetesClient, held: readonly Held[]): Promise<void> {
  const limit = AbortSignal.timeout(restoringMs);
  const outcomes = await Promise.allSettled(held.map((each) => restore(client, each, limit)));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed)
    throw unavailable('the former replicas could not be restored yet; it is tried again every minute', failed.reason);
}

async function measure(
  deps: RunDeps,
  setting: Setting,
  combination: Combination,
  signal: AbortSignal,
  say: Say,
): Promise<Quality> {
  const { clock, folder } = deps;
  const { namespace, config } = setting;
  const minutes = config.training.steady_state_config.experiment_duration_minutes;
  const begunMs = clock.now();
  const result = await underLoad(deps, setting, combination, signal, say);
  say('collecting', 'until Prometheus has it', null);
  await clock.sleep(deps.scrapeMs, signal);
  const stepMs = config.metrics_collection_interval * 1000;
  // On whole steps, so that there are as many rows as the duration has, and one.
  const startMs = Math.ceil((begunMs + config.jmeter_thread_ramp_up * 1000) / stepMs) * stepMs;
  const stretch = {
    startMs,
    endMs: startMs + minutes * 60_000,
    stepMs,
    queryTimeoutMs: config.prometheus_query_timeout * 1000,
  };
  const collected = await deps.collect({ namespace, service: combination.service }, stretch, signal);
  await save(folder, setting, combination, result, collected);
  // Graded as everybody will read it.
  return validateQuality(await loadExperiment(folder, combination.id));
}

/** Both files, by the seed's names and more. */
async function save(
  folder: string,
  { namespace, config, target, job }: Setting,
  combination: Combination,
  result: RunResult,
  { startMs, endMs, stepMs, size, columns: all, warnings }: Collected,
): Promise<void> {
  // What the seed's files have is there, empty or not; of the rest what is known.
  const columns = all.filter(({ name, known }) => seedColumns.includes(name) || known > 0);
  const data = {
    ...combination,
    rows: size,
    columns: Object.fromEntries(columns.map(({ name, values }) => [`${name}_value`, values])),
  };
  const circumstances = {
    namespace,
    scenario: combination.scenario,
    job,
    target,
    duration_minutes: config.training.steady_state_config.experiment_duration_minutes,
    metrics_collection_interval: stepMs / 1000,
    collection_start: isoTime(startMs),
    collection_end: isoTime(endMs),
    load_test: { generator: 'open model', ...result },
    metrics: Object.fromEntries(
      all.map(({ name, unit, formula, known, trouble }) => [name, { unit, formula, known, trouble }]),
    ),
    missing: all.filter(({ known }) => known === 0).map(({ name }) => name),
    warnings,
    unified_csv_path: `${combination.id}.csv`,
  };
  const { grade, checks } = validateQuality(experimentOf(data, circumstances));
  await saveExperiment(folder, data, {
    ...(config.anonymize ? anonymise(circumstances) : circumstances),
    data_quality: { grade, checks },
    status: grade === 'high' ? 'completed' : 'completed_with_warnings',
  });
}

/** Without queries of one's own, `request_rate` and what follows are nobody's; these are in every file. */
const seedColumns = [
  'cpu_cores',
  'mem_bytes',
  'net_rx_bytes',
  'net_tx_bytes',
  'pod_restarts',
  'replica_count',
  'node_cpu_util',
  'node_mem_util',
  'network_activity_rate',
  'processing_intensity',
  'service_stability',
  'resource_pressure',
];

async function underLoad(
  deps: RunDeps,
  { config, target }: Setting,
  { id, scenario: name, users }: Combination,
  signal: AbortSignal,
  say: Say,
): Promise<RunResult> {
  const scenario = scenarioOf(config, name);
  const { jmeter_thread_ramp_up: up, jmeter_thread_ramp_down: down, jmeter_think_time: think } = config;
  // A step more than it is to be steady for, since rows are on whole steps.
  const steady =
    config.training.steady_state_config.experiment_duration_minutes * 60 + config.metrics_collection_interval;
  const durationSeconds = up + steady + down;
  const run: LoadRun = {
    target,
    arrivalsPerSecond: users / (think * requestsOfVisit(scenario)),
    durationSeconds,
    rampUpSeconds: up,
    rampDownSeconds: down,
    mostUsers: Math.max(1000, 10 * users),
    timeoutMs: 30_000,
  };
  say('load', `${users} users for ${Math.round(durationSeconds)} s`, 0);
  const task = { scenario, run, seed: seedOf(id), memoryMiB: Math.ceil(config.memory_limit_per_worker * 1024) };
  const result = await deps.load(task, signal, ({ elapsed_seconds, requests, failed }) =>
    say('load', `${requests} requests, ${failed} failed`, Math.min(1, elapsed_seconds / durationSeconds)),
  );
  if (result === null) throw invalid('the load test made no request: it is too short for so few users');
  return result;
}

/** Requests of one visit: the start and one round, on average. */
function requestsOfVisit({ start, rounds }: Scenario): number {
  const weights = rounds.reduce((sum, { weight }) => sum + weight, 0);
  return start.length + rounds.reduce((sum, { weight, steps }) => sum + weight * steps.length, 0) / weights;
}

/** The same users come at the same moments when an experiment is repeated. */
const seedOf = (id: string): number => createHash('sha256').update(id).digest().readUInt32LE(0);
