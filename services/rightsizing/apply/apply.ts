import { isoTime } from '#kernel/clock.ts';
import { conflict, publicText, TowerError } from '#kernel/errors.ts';
import type { Cluster, PodState } from '#services/acquisition/kubernetes/cluster.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import type { SizeAnswer } from '../schemas.ts';
import { changesOf, type Prepared } from './apply-changes.ts';
import { movedShares, shownScaling } from './apply-scaling.ts';
import type { ApplyRequest, ApplyResult } from './apply-schemas.ts';
import { noSignals, signalsOf, signalsToJson } from './apply-signals.ts';
import { type Actions, runStates } from './apply-states.ts';
import {
  type ApplyDeps,
  isInPlace,
  type Run,
  replaceAll,
  resize,
  resizeAll,
  scaleBy,
  sizedFor,
  tryCanary,
  type WorkloadLease,
  waitForRollback,
} from './apply-steps.ts';
import type { Found } from './apply-target.ts';

/**
 * Applies a recommendation: to one pod first, then to all; rolls back if the service gets worse. `apply-states.ts` has
 * the state machine. The lease records the former state, and a job restarted after a crash rolls back what it finds.
 */

/**
 * @param holder - job id, slash, attempt
 * @param prepare - computes the changes, once no other job may change the workload
 * @param say - called with the current step
 * @param isRestarted - whether a job ended by the signal will be restarted; else its result says how it ended
 * @throws TowerError `conflict` if another job changes the workload, `invalid` if the API server refuses,
 *   `unavailable`; the signal's reason, after the rollback
 */
export async function applySizes(
  deps: ApplyDeps,
  holder: string,
  target: Workload,
  prepare: () => Promise<Prepared>,
  request: ApplyRequest,
  signal: AbortSignal,
  say: (text: string) => void,
  isRestarted: () => boolean,
): Promise<ApplyResult> {
  const { cluster, clock } = deps;
  const lost = new AbortController();
  const both = AbortSignal.any([signal, lost.signal]);
  const acquired = await acquireFor(deps, holder, target, prepare, request, both);
  const renewal = keepRenewed(cluster, acquired.lease, (error) => lost.abort(error));
  const steps: ApplyResult['steps'] = [];
  const step = (text: string) => {
    steps.push({ at: isoTime(clock.now())!, text });
    say(text);
  };
  const common = { target, request, signal: both, before: noSignals, after: noSignals, step, say };
  const run: Run = { ...deps, ...acquired.prepared, ...common };
  const progress: Progress = { reason: null, interruption: null, isSettled: true };
  const state = await runStates(actionsOf(run, acquired, renewal, progress), (error) => {
    progress.interruption = error;
  });
  const { canary, prepared } = acquired;
  if (state !== 'interrupted') return resultOf(run, progress.reason, canary, steps);
  if (!signal.aborted) throw lost.signal.aborted ? lost.signal.reason : progress.interruption;
  if (isRestarted()) throw progress.interruption;
  step('rolled back: cancelled');
  if (!progress.isSettled) step(waitingFor(`the autoscaler ${prepared.scaler?.name}`));
  return resultOf(run, progress.reason ?? 'cancelled', canary, steps);
}

/** `reason`: the failure found. `isSettled`: nothing is left for the leader to restore. */
type Progress = { reason: string | null; interruption: unknown; isSettled: boolean };
type Renewal = { stop(): Promise<void> };

/** Action of each state. */
function actionsOf(run: Run, { lease, canary, others }: Acquired, renewal: Renewal, progress: Progress): Actions {
  const { cluster, clock, request, signal, step } = run;
  const checked = (harm: string | null) => {
    progress.reason = harm;
    return harm === null ? ('done' as const) : ('harmed' as const);
  };
  const done = async (...works: (() => unknown)[]) => {
    for (const work of works) await work();
    return 'done' as const;
  };
  return {
    // Without signals from before, no comparison is possible afterwards.
    measuring: () =>
      done(async () => {
        run.before = await signalsOf(run, clock.now() - request.watch_seconds * 1000);
      }),
    pinning: () => done(() => pinAutoscaler(run)),
    trying: async () => checked(canary === null ? null : await tryCanary(run, canary)),
    changing: async () =>
      checked(isInPlace(request) ? await resizeAll(run, lease, canary, others) : await replaceAll(run, lease)),
    // A job that took the lease over has rolled everything back.
    confirming: () =>
      done(
        () => cluster.leases.renew(lease, signal),
        () => step(staying(run)),
      ),
    releasing: () => done(renewal.stop, () => cluster.leases.release(lease)),
    undoing: () =>
      done(
        () => step(`rolled back: ${progress.reason}`),
        () => cluster.leases.restoreSizes(lease),
        () => waitForRollback(run),
        renewal.stop,
      ),
    unpinning: () =>
      done(async () => {
        progress.isSettled = await cluster.leases.releaseWhenSettled(lease);
        if (!progress.isSettled) step(waitingFor(`the autoscaler ${run.scaler?.name}`));
        else if (run.scaler) step(`restored the percentage targets of the autoscaler ${run.scaler.name}`);
      }),
    restoring: () =>
      done(renewal.stop, async () => {
        progress.isSettled = await restore(run, lease, progress);
      }),
  };
}

async function pinAutoscaler(run: Run): Promise<void> {
  const { scaler } = run;
  if (await scaleBy(run, 'held')) return;
  throw conflict(`the autoscaler ${scaler!.name} was changed just now: check it, and apply again`);
}

/** @throws TowerError `unavailable`, with the interruption in its message */
const restore = ({ cluster }: Run, lease: WorkloadLease, { reason, interruption }: Progress): Promise<boolean> =>
  cluster.leases.restore(lease).catch((failure: unknown) => {
    const before = reason === null ? '' : `${reason}; `;
    throw new TowerError(
      'unavailable',
      `${before}${publicText(interruption)}; the rollback failed and is retried every minute`,
      { cause: failure },
    );
  });

/** Renews the lease until stopped: a concurrent renewal would change its resource version. */
function keepRenewed(cluster: Cluster, lease: WorkloadLease, onLost: (error: unknown) => void): Renewal {
  const over = new AbortController();
  const renewing = cluster.leases.keepRenewed(lease, over.signal, onLost);
  return {
    stop: async () => {
      over.abort();
      await renewing;
    },
  };
}

const staying = ({ request, scaler, after }: Run): string => {
  const unknown = after.throttled === null && after.errors === null && after.latencyMs === null;
  const until = isInPlace(request) ? ' on the running pods: the template is unchanged' : '';
  const amount = isInPlace(request) && scaler ? `, and the autoscaler ${scaler.name} keeps the absolute amount` : '';
  const unmeasured = unknown
    ? '; throttling, errors and latency are not measured: only kills, restarts and readiness were checked'
    : '';
  return `kept${until}${amount}${unmeasured}`;
};

const waitingFor = (scaler: string): string =>
  `the percentage targets of ${scaler} are restored once all pods are rolled back (checked every minute)`;

const resultOf = (
  { changes, scaler, before, after }: Run,
  failure: string | null,
  canary: string | null,
  steps: ApplyResult['steps'],
): ApplyResult => ({
  status: failure === null ? 'applied' : 'undone',
  reason: failure,
  canary,
  changes,
  autoscaler: shownScaling(scaler),
  before: signalsToJson(before),
  after: signalsToJson(after),
  steps,
});

type Acquired = { lease: WorkloadLease; prepared: Prepared; canary: string | null; others: string[] };

/** Acquires the lease and records the current state, once no other job may change the workload. */
async function acquireFor(
  { cluster }: ApplyDeps,
  holder: string,
  target: Workload,
  prepare: () => Promise<Prepared>,
  request: ApplyRequest,
  signal: AbortSignal,
): Promise<Acquired> {
  const chosen = { prepared: null as Prepared | null, canary: null as PodState | null, others: [] as PodState[] };
  const read = async () => {
    chosen.prepared = await prepare();
    const { found, sized, scaler } = chosen.prepared;
    const canary = await canaryOf(cluster, target, found, request, signal);
    chosen.canary = canary;
    if (isInPlace(request))
      chosen.others = (await cluster.pods(target, found, signal)).filter(({ name }) => name !== canary?.name);
    const changed = ({ name }: { name: string }) => sized.some((each) => each.name === name);
    const pods = [...(canary ? [canary] : []), ...chosen.others].map(({ name, containers }) => ({
      name,
      containers: containers.filter(changed),
    }));
    // An unchanged template is not restored: others may change it meanwhile.
    const containers = isInPlace(request) ? [] : found.containers.filter(changed);
    const former = { kind: found.kind, selector: found.selector, containers, scaler };
    return { formerReplicas: found.replicas, formerResources: { ...former, pods } };
  };
  const lease = await cluster.leases.acquire({ ...target, holder }, read, signal);
  const others = chosen.others.map(({ name }) => name);
  return { lease, prepared: chosen.prepared!, canary: chosen.canary?.name ?? null, others };
}

async function canaryOf(
  cluster: Cluster,
  target: Workload,
  found: Found,
  request: ApplyRequest,
  signal?: AbortSignal,
): Promise<PodState | null> {
  if (!request.canary || found.replicas < 2) return null;
  const ready = (await cluster.pods(target, found, signal)).find((pod) => pod.ready);
  if (ready) return ready;
  throw conflict(`no pod of ${target.service} is ready, so there is no canary: fix the pods, or set canary: false`);
}

/**
 * Computes the changes and validates them by server-side dry runs: the workload if it is changed, its autoscaler, and
 * the pod that is resized first, which is subject to quotas.
 * @throws TowerError `conflict` if nothing can be changed; `invalid`, `conflict`, `unavailable` from the API server
 */
export async function prepare(
  cluster: Cluster,
  target: Workload,
  found: Found,
  answer: SizeAnswer,
  request: ApplyRequest,
): Promise<Prepared> {
  const inPlace = isInPlace(request);
  const pods = inPlace || found.scaler ? await cluster.pods(target, found) : [];
  const changes = changesOf(answer, found, request, cluster.isSameAmount, inPlace ? pods : []);
  const scaler = movedShares(cluster.amountOf, found, changes.sized, pods, inPlace);
  const prepared = { found, ...changes, scaler };
  if (!inPlace) await cluster.dryRun(target, found, prepared.sized);
  if (scaler) await cluster.setShares(target, scaler, { to: 'held', dryRun: true });
  const first = (await canaryOf(cluster, target, found, request)) ?? (inPlace ? pods[0] : undefined);
  if (first) await resize(cluster, target, first.name, sizedFor(prepared, first, request), { dryRun: true });
  return prepared;
}

/** Rolls back what a crashed run of the same job left; null if there is nothing. */
export async function rollBackAbandoned(
  { cluster, clock }: ApplyDeps,
  job: string,
  { namespace, service }: Workload,
  signal: AbortSignal,
): Promise<ApplyResult | null> {
  const { restored, waiting } = await cluster.leases.restoreOfJob(namespace, job, signal);
  if (![...restored, ...waiting].includes(service)) return null;
  const reason = 'the instance died during the change';
  const texts = [`rolled back: ${reason}`, ...(waiting.includes(service) ? [waitingFor('its autoscaler')] : [])];
  const steps = texts.map((text) => ({ at: isoTime(clock.now())!, text }));
  const [before, after] = [signalsToJson(noSignals), signalsToJson(noSignals)];
  return { status: 'undone', reason, canary: null, changes: [], autoscaler: null, before, after, steps };
}
