import { steadyMs } from '#kernel/clock.ts';
import { invalid, publicText, TowerError } from '#kernel/errors.ts';
import { jobResource } from '#store/job-resource.ts';
import type { Queue } from '#store/queue.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { requiredCluster } from '../kubernetes/cluster-errors.ts';
import { leaseSeconds } from '../kubernetes/lease-states.ts';
import { restoreAbandoned } from '../kubernetes/leases.ts';
import type { Lease } from '../kubernetes/objects.ts';
import { scaleOf } from '../kubernetes/workloads.ts';
import { checkJmeter, type Jmeter } from '../load/jmeter-run.ts';
import { kinds, refuseBusyTargets } from '../load/load-targets.ts';
import { type BatchDeps, runBatch } from './experiment-batch.ts';
import { configOf, shippedConfig } from './experiment-config.ts';
import { planOf, targetsOfJob } from './experiment-plan.ts';
import type { ExperimentJob, ExperimentJobRequest } from './job-schemas.ts';

/**
 * Experiment jobs: queued, polled, streamed, cancelled. Finished experiments are on disk, so a restarted job continues
 * with the next one; the interrupted experiment is repeated.
 */

export type ExperimentDeps = Omit<BatchDeps, 'client'> & {
  /** Null if no cluster is configured. */
  client: KubernetesClient | null;
  jmeter: Jmeter | null;
  queue: Queue;
  /** Writes an audit entry for a change that no request caused. */
  audit(entry: { action: string; job: string; target: object; details: object }): Promise<void>;
};

const kind = kinds.experiments;
/** Number of recent jobs of each kind whose namespaces are checked for leftover leases. */
const maxRecentJobs = 200;
/** Job kinds that acquire workload leases; their subjects start with the namespace. */
const holders = [kind, 'apply'];
/** A job of a day may outlive several instances, so more restarts are allowed than usual. */
const maxAbandoned = 20;

export function createExperimentJobs(deps: ExperimentDeps) {
  const { queue } = deps;
  const isExpired = createExpiryDetector(() => steadyMs(deps.clock));
  queue.handle(
    kind,
    async (job, { signal, progress }) => {
      const payload = JSON.parse(job.payload) as ExperimentJobRequest;
      return runBatch({ ...deps, client: requiredCluster(deps.client) }, job, payload, signal, progress);
    },
    maxAbandoned,
  );
  const { begin, ...jobs } = jobResource<ExperimentJob>(queue, kind, 'experiment job', ({ payload }) => {
    const { namespace, services } = JSON.parse(payload) as ExperimentJobRequest;
    return { namespace, services };
  });
  const planned = async (request: ExperimentJobRequest) => {
    const config = request.config === undefined ? await shippedConfig() : configOf(request.config);
    const plan = await planOf(deps, { ...request, config });
    if (deps.client) await refuseUnknown(deps.client, request);
    const { load_generator } = config;
    return {
      ...plan,
      notes: [
        ...plan.notes,
        ...(load_generator === 'jmeter' ? ['JMeter has a closed model: users wait for answers'] : []),
        ...startErrors(() => requiredCluster(deps.client)),
        ...(load_generator === 'jmeter' ? startErrors(() => checkJmeter(deps.jmeter)) : []),
      ],
    };
  };
  /** Load targets of open experiment jobs; origins removed from LOAD_TARGETS are ignored. */
  const targetsOf = (payload: string): Set<string> => {
    try {
      const request = JSON.parse(payload) as ExperimentJobRequest;
      return targetsOfJob(deps.targets, { ...request, config: configOf(request.config) });
    } catch {
      return new Set();
    }
  };
  return {
    ...jobs,
    /** @throws TowerError `conflict` if a job already sends load to a target */
    refuseShared: async (targets: ReadonlySet<string>) => refuseBusyTargets(queue, targets, targetsOf),
    /** Dry run. @throws TowerError `invalid` with every invalid key */
    plan: planned,
    /** @throws TowerError `invalid`, `conflict` if a job of the namespace is open, `forbidden`, `unavailable` */
    start: async (request: ExperimentJobRequest): Promise<ExperimentJob> => {
      const { namespace } = request;
      await requiredCluster(deps.client).requireWritable(namespace);
      const { config, targets } = await planned(request);
      if (config.load_generator === 'jmeter') checkJmeter(deps.jmeter);
      // A second job of the same namespace is refused by the queue with its own error.
      if (!(await jobs.open(namespace))) await refuseBusyTargets(queue, new Set(Object.values(targets)), targetsOf);
      return begin(namespace, { ...request, config }, `experiments are running in ${namespace}`);
    },
    /** Background job: restores the replicas of workloads whose job died. */
    restore: (signal: AbortSignal) => restoreAll(deps, isExpired, signal),
  };
}

/** Reasons why a job cannot start. */
function startErrors(check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    return [`cannot start: ${publicText(error)}`];
  }
}

/** @throws TowerError `invalid` for a service that does not exist; cluster errors are reported when the job runs */
async function refuseUnknown(client: KubernetesClient, { namespace, services }: ExperimentJobRequest): Promise<void> {
  for (const service of services)
    await scaleOf(client, namespace, service).catch((error: unknown) => {
      if (!(error instanceof TowerError && error.code === 'not_found')) return;
      throw invalid(`services: ${namespace} has no Deployment or StatefulSet ${service}`, {
        parameter: 'services',
      });
    });
}

/** Detects leases that are no longer renewed. Uses this instance's clock only: the holder's clock may differ. */
function createExpiryDetector(now: () => number) {
  const seen = new Map<string, { version: string | undefined; sinceMs: number }>();
  return ({ metadata: { namespace, name, resourceVersion } }: Lease): boolean => {
    const key = `${namespace}/${name}`;
    const known = seen.get(key);
    if (known && known.version === resourceVersion) return now() - known.sinceMs >= leaseSeconds * 1000;
    seen.set(key, { version: resourceVersion, sinceMs: now() });
    return false;
  };
}

async function restoreAll(
  { client, queue, log, audit }: ExperimentDeps,
  isExpired: (lease: Lease) => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (!client) return;
  // Changes are restored also in a namespace that is no longer allowed.
  const restoring: KubernetesClient = {
    ...client,
    call: (call, each) => client.call({ ...call, isRestore: true }, each),
  };
  const jobs = (await Promise.all(holders.map((each) => queue.list(each, maxRecentJobs)))).flat();
  // A restarted job uses a new holder name, so a lease that is not renewed has no living holder.
  const isLeft = (_: string, lease: Lease) => isExpired(lease);
  const failures: unknown[] = [];
  for (const namespace of new Set(jobs.map(({ subject }) => subject.split('/')[0]!))) {
    // A deleted or forbidden namespace does not prevent restoring the others.
    const { restored } = await restoreAbandoned(restoring, namespace, isLeft, signal).catch((error: unknown) => {
      failures.push(error);
      return { restored: [] };
    });
    if (restored.length === 0) continue;
    log.warn({ namespace, restored }, 'restored the changes of a crashed job');
    await audit({
      action: 'restore the changes of a crashed job',
      job: '',
      target: { namespace },
      details: { restored },
    });
  }
  if (failures.length > 0) throw failures[0];
}
