import { type Clock, isoTime } from '#kernel/clock.ts';
import { conflict } from '#kernel/errors.ts';
import { sum } from '#kernel/stats.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { waitForPods } from '../kubernetes/pods.ts';
import { autoscalersOf, scaleOf, targetsWorkload } from '../kubernetes/workloads.ts';
import type { LoadRun, RunResult } from '../load/generator.ts';
import type { Scenario } from '../load/scenario.ts';
import type { Load } from '../load/thread.ts';
import type { Collected, TimeRange } from '../prometheus/collect.ts';
import type { Workload } from '../prometheus/workload-query.ts';
import { anonymise } from './anonymise.ts';
import { type Combination, type ExperimentConfig, scenarioOf } from './experiment-config.ts';
import { type Report, retryWhileUnavailable, withReplicas } from './experiment-lease.ts';
import { experimentOf, loadExperiment, saveExperiment } from './experiments.ts';
import { type Quality, validateQuality } from './quality.ts';

/** Runs one experiment: scales a service, sends load, collects metrics, writes the files, restores the replicas. */

export type RunDeps = {
  client: KubernetesClient;
  /** @throws TowerError `unavailable` if Prometheus does not answer */
  answering(signal: AbortSignal): Promise<void>;
  collect(workload: Workload, timeRange: TimeRange, signal: AbortSignal): Promise<Collected>;
  load: Load;
  /** Time until samples are visible in Prometheus. */
  scrapeMs: number;
  directory: string;
  clock: Clock;
};

export type Setting = {
  job: string;
  /** Job id, slash, attempt: a suspended worker that resumes must not be taken for its successor. */
  holder: string;
  namespace: string;
  target: string;
  config: ExperimentConfig;
};

/**
 * Replicas are restored before it throws, or the lease records what to restore.
 * @throws TowerError `conflict` if an autoscaler or another job acts on the service or pods do not become ready,
 *   `not_found`, `unavailable` if a server does not answer, `invalid` if no request was made, `conflict` if all
 *   requests failed; the signal's reason
 */
export async function runExperiment(
  deps: RunDeps,
  setting: Setting,
  combination: Combination,
  signal: AbortSignal,
  report: Report,
): Promise<Quality> {
  const { client, clock } = deps;
  const { namespace, config, holder } = setting;
  const { service, replicas } = combination;
  await refuseAutoscaled(client, namespace, service, signal);
  // Load without a reachable Prometheus would be wasted.
  await deps.answering(signal);
  return withReplicas(deps, { namespace, holder }, { [service]: replicas }, signal, report, async (selectors, held) => {
    const { ready, ...now } = await waitForPods(client, clock, {
      namespace,
      selector: selectors[service]!,
      desiredReplicas: replicas,
      timeoutMs: config.pods_ready_timeout * 1000,
      signal: held,
      onChange: (each) => report('waiting', waitingText(each, replicas), null),
    });
    if (!ready) throw conflict(`pods not ready after ${config.pods_ready_timeout} s: ${waitingText(now, replicas)}`);
    return measure(deps, setting, combination, held, report);
  });
}

function waitingText({ pods, waiting }: { pods: number; waiting: { pod: string; why: string }[] }, wanted: number) {
  const shown = waiting.slice(0, 3).map(({ pod, why }) => `${pod} ${why}`);
  const more = waiting.length > 3 ? [`${waiting.length - 3} more`] : [];
  return [`${pods - waiting.length} of ${wanted} ready`, ...shown, ...more].join('; ');
}

/** An autoscaler would change the replicas during the experiment. */
async function refuseAutoscaled(client: KubernetesClient, namespace: string, service: string, signal: AbortSignal) {
  const { kind } = await scaleOf(client, namespace, service, signal);
  const hpas = await autoscalersOf(client, namespace, 'hpa', signal);
  const hpa = hpas?.find((each) => targetsWorkload(each, kind, service))?.metadata.name;
  if (hpa !== undefined)
    throw conflict(`the HorizontalPodAutoscaler ${hpa} scales ${service}, as experiments do: remove it meanwhile`, {
      service,
      hpa,
    });
}

async function measure(
  deps: RunDeps,
  setting: Setting,
  combination: Combination,
  signal: AbortSignal,
  report: Report,
): Promise<Quality> {
  const { clock, directory } = deps;
  const { namespace, config } = setting;
  const minutes = config.training.steady_state_config.experiment_duration_minutes;
  const startedMs = clock.now();
  const result = await underLoad(deps, setting, combination, signal, report);
  if (result.successful_requests === 0)
    throw conflict(`all ${result.total_requests} requests of the load test failed: ${mostFrequentFailure(result)}`);
  report('collecting', 'waiting for Prometheus to scrape', null);
  await clock.sleep(deps.scrapeMs, signal);
  const stepMs = config.metrics_collection_interval * 1000;
  // Aligned to whole steps, so that the number of rows is duration / step + 1.
  const startMs = Math.ceil((startedMs + config.jmeter_thread_ramp_up * 1000) / stepMs) * stepMs;
  const timeRange = {
    startMs,
    endMs: startMs + minutes * 60_000,
    stepMs,
    queryTimeoutMs: config.prometheus_query_timeout * 1000,
  };
  // Prometheus keeps the samples, so the query can be retried for minutes.
  const collected = await retryWhileUnavailable(
    clock,
    signal,
    () => collectAll(deps, { namespace, service: combination.service }, timeRange, signal),
    (why) => report('collecting', why, null),
  );
  await save(directory, setting, combination, result, collected);
  // Graded from the files, exactly as readers will see them.
  return validateQuality(await loadExperiment(directory, combination.id));
}

function mostFrequentFailure({ requests }: RunResult): string {
  const failures = Object.values(requests).flatMap((one) => Object.entries(one.failures));
  return failures.reduce((most, each) => (each[1] > most[1] ? each : most), ['no reason', 0] as [string, number])[0];
}

/** A column whose query timed out is queried once more; a column that never arrives is empty. */
async function collectAll(deps: RunDeps, workload: Workload, timeRange: TimeRange, signal: AbortSignal) {
  for (let tries = 0; ; tries += 1) {
    const collected = await deps.collect(workload, timeRange, signal);
    if (!collected.columns.some(({ unanswered }) => unanswered) || tries >= maxAttempts) return collected;
    await deps.clock.sleep(30_000, signal);
  }
}

const maxAttempts = 4;

/** Writes CSV and JSON in the documented format, with additional fields. */
async function save(
  directory: string,
  { namespace, config, target, job }: Setting,
  combination: Combination,
  result: RunResult,
  { startMs, endMs, stepMs, size, columns: all, warnings }: Collected,
): Promise<void> {
  // Documented columns are always present, even if empty; other columns only if they have values.
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
    load_test: {
      generator: config.load_generator,
      script_path: null,
      // In a closed model the offered load depends on the service's answers.
      offered_requests_per_second:
        config.load_generator === 'jmeter' ? null : combination.users / config.jmeter_think_time,
      ...result,
    },
    metrics: Object.fromEntries(
      all.map(({ name, unit, formula, known, trouble }) => [
        name,
        { _type: 'DataFrame', shape: [size, 2], columns: ['timestamp', 'value'], unit, formula, known, trouble },
      ]),
    ),
    missing: all.filter(({ known }) => known === 0).map(({ name }) => name),
    warnings,
    unified_csv_path: `${combination.id}.csv`,
  };
  const { grade, checks } = validateQuality(experimentOf(data, circumstances));
  await saveExperiment(directory, data, {
    ...(config.anonymize ? anonymise(circumstances) : circumstances),
    data_quality: qualityOf(grade, checks),
    status: grade === 'high' ? 'completed' : 'completed_with_warnings',
  });
}

/** The documented quality fields, with additional checks. */
function qualityOf(grade: Quality['grade'], checks: Quality['checks']) {
  const details = checks.map(({ name, passed, detail }) => [name, { passed, details: detail }] as const);
  const named = Object.fromEntries(details);
  return {
    status: grade === 'high' ? 'passed' : 'warnings',
    warnings: details.filter(([, { passed }]) => !passed).map(([name, { details }]) => `${name}: ${details}`),
    // The documented name for the plausibility check.
    checks: { ...named, nan_values: named['plausibility'] },
    grade,
  };
}

/** Columns that every file has. `request_rate` and the columns derived from it need configured queries. */
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
  report: Report,
): Promise<RunResult> {
  const scenario = scenarioOf(config, name);
  const { jmeter_thread_ramp_up: up, jmeter_thread_ramp_down: down, jmeter_think_time: think } = config;
  // One step more than the steady state, since rows are on whole steps.
  const steady =
    config.training.steady_state_config.experiment_duration_minutes * 60 + config.metrics_collection_interval;
  const durationSeconds = up + steady + down;
  const run: LoadRun = {
    target,
    arrivalsPerSecond: users / (think * requestsOfRound(scenario)),
    users,
    durationSeconds,
    rampUpSeconds: up,
    rampDownSeconds: down,
    maxUsers: Math.max(1000, 10 * users),
    timeoutMs: 30_000,
  };
  report('load', `${users} users for ${Math.round(durationSeconds)} s`, 0);
  const task = {
    name: id,
    generator: config.load_generator,
    scenario,
    run,
    memoryMiB: Math.ceil(config.memory_limit_per_worker * 1024),
  };
  return deps.load(task, signal, ({ elapsed_seconds, requests, failed }) =>
    report('load', `${requests} requests, ${failed} failed`, Math.min(1, elapsed_seconds / durationSeconds)),
  );
}

/** Average requests per round. The start scenario runs once per user and mostly ends during the ramp. */
function requestsOfRound({ rounds }: Scenario): number {
  const weights = sum(rounds.map(({ weight }) => weight));
  return sum(rounds.map(({ weight, steps }) => weight * steps.length)) / weights;
}
