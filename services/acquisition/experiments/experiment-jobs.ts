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
import { doorsOf, planOf } from './experiment-plan.ts';
import type { ExperimentJob, ExperimentJobRequest } from './job-schemas.ts';

/**
 * Experiments as a resource: queued, looked at, followed, cancelled. What is finished is on disk, so a job that is begun again
 * goes on where it stopped; the experiment it was at is made once more.
 */

export type ExperimentDeps = Omit<BatchDeps, 'client'> & {
  /** Null where there is no cluster. */
  client: KubernetesClient | null;
  jmeter: Jmeter | null;
  queue: Queue;
  /** Writes down what was changed by nobody’s request. */
  audit(entry: { action: string; job: string; target: object; details: object }): Promise<void>;
};

const kind = kinds.experiments;
/** The newest of each kind say which namespaces there may be something left in. */
const mostLookedAt = 200;
/** Jobs that take hold of workloads; a subject begins with the namespace. */
const holders = [kind, 'apply'];
/** A day of experiments may see a tower end now and then; it is not what kills it. */
const mostAbandoned = 20;

export function createExperimentJobs(deps: ExperimentDeps) {
  const { queue } = deps;
  const isStill = stoodStill(() => deps.clock.now());
  queue.handle(
    kind,
    async (job, { signal, progress }) => {
      const payload = JSON.parse(job.payload) as ExperimentJobRequest;
      return runBatch({ ...deps, client: requiredCluster(deps.client) }, job, payload, signal, progress);
    },
    mostAbandoned,
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
        ...(load_generator === 'jmeter' ? ['users are sent by JMeter, and wait for answers'] : []),
        ...whyNot(() => requiredCluster(deps.client)),
        ...(load_generator === 'jmeter' ? whyNot(() => checkJmeter(deps.jmeter)) : []),
      ],
    };
  };
  /** Where open jobs of experiments send users; what LOAD_TARGETS does not have any more is nowhere. */
  const targetsOf = (payload: string): Set<string> => {
    try {
      const request = JSON.parse(payload) as ExperimentJobRequest;
      return doorsOf(deps.targets, { ...request, config: configOf(request.config) });
    } catch {
      return new Set();
    }
  };
  return {
    ...jobs,
    /** @throws TowerError `conflict` where a job sends load there */
    refuseShared: async (targets: ReadonlySet<string>) => refuseBusyTargets(queue, targets, targetsOf),
    /** What a job would do. @throws TowerError `invalid` that names every key that breaks a rule */
    plan: planned,
    /** @throws TowerError `invalid`, `conflict` while another job of the namespace is open, `unavailable` without a cluster */
    start: async (request: ExperimentJobRequest): Promise<ExperimentJob> => {
      requiredCluster(deps.client);
      const { namespace } = request;
      const { config, targets } = await planned(request);
      if (config.load_generator === 'jmeter') checkJmeter(deps.jmeter);
      // Another one of the namespace has an answer of its own.
      if (!(await jobs.open(namespace))) await refuseBusyTargets(queue, new Set(Object.values(targets)), targetsOf);
      return begin(namespace, { ...request, config }, `experiments are under way in ${namespace}`);
    },
    /** Background step: gives workloads their replicas back where a job ended without doing so. */
    restore: (signal: AbortSignal) => restoreAll(deps, isStill, signal),
  };
}

/** What would keep a job from being begun. */
function whyNot(check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    return [`it cannot be begun: ${publicText(error)}`];
  }
}

/** @throws TowerError `invalid` for a service that is not there; whatever else is wrong with a cluster is seen when it is asked */
async function refuseUnknown(client: KubernetesClient, { namespace, services }: ExperimentJobRequest): Promise<void> {
  for (const service of services)
    await scaleOf(client, namespace, service).catch((error: unknown) => {
      if (!(error instanceof TowerError && error.code === 'not_found')) return;
      throw invalid(`services: there is no Deployment or StatefulSet ${service} in ${namespace}`, {
        parameter: 'services',
      });
    });
}

/** Whether nobody has renewed a Lease for long, by the clock of this tower alone: that of its holder may be another one. */
function stoodStill(now: () => number) {
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
  isStill: (lease: Lease) => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (!client) return;
  const jobs = (await Promise.all(holders.map((each) => queue.list(each, mostLookedAt)))).flat();
  // A job that is begun again holds under another name, so nobody goes on with what nobody renewed.
  const isLeft = (_: string, lease: Lease) => isStill(lease);
  const failures: unknown[] = [];
  for (const namespace of new Set(jobs.map(({ subject }) => subject.split('/')[0]!))) {
    // A namespace that is gone, or may not be read, keeps none of the others from it.
    const { restored } = await restoreAbandoned(client, namespace, isLeft, signal).catch((error: unknown) => {
      failures.push(error);
      return { restored: [] };
    });
    if (restored.length === 0) continue;
    log.warn({ namespace, restored }, 'restored what a job had left behind');
    await audit({ action: 'restore what a job left behind', job: '', target: { namespace }, details: { restored } });
  }
  if (failures.length > 0) throw failures[0];
}
