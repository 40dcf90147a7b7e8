import { type Clock, steadyMs } from '#kernel/clock.ts';
import { conflict, isTransient, publicText, TowerError } from '#kernel/errors.ts';
import type { Cluster, PodState, Signals } from '#services/acquisition/kubernetes/cluster.ts';
import type { Readiness } from '#services/acquisition/kubernetes/pods.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import { degradation, failureOf, inPlaceFor, type Prepared, restartsOf } from './apply-changes.ts';
import { scalingText } from './apply-scaling.ts';
import type { ApplyRequest } from './apply-schemas.ts';
import { podSignals, signalsOf } from './apply-signals.ts';
import type { Sized } from './apply-target.ts';

/** Steps that change pods: each returns the failure it found, or null. */

export type ApplyDeps = { cluster: Cluster; clock: Clock };
export type WorkloadLease = Awaited<ReturnType<Cluster['leases']['acquire']>>;

/** Poll interval while pods are watched. */
const pollMs = 10_000;

/** State of one application. */
export type Run = ApplyDeps &
  Prepared & {
    target: Workload;
    request: ApplyRequest;
    signal: AbortSignal;
    before: Signals;
    after: Signals;
    step(text: string): void;
    say(text: string): void;
  };

/** @throws TowerError `conflict` if the pod cannot be resized in place, `unavailable` if permission is missing */
export async function resize(
  cluster: Cluster,
  target: Workload,
  pod: string,
  sized: Prepared['sized'],
  options: { dryRun?: boolean; signal?: AbortSignal | undefined },
): Promise<void> {
  await cluster.resize(target, pod, sized, options).catch((error: unknown) => {
    const isUnable = error instanceof TowerError && (error.code === 'not_found' || error.code === 'invalid');
    // Admission refuses all pods of the namespace alike.
    if (!isUnable || error.details['refused_by'] === 'admission') throw error;
    throw conflict(
      `cannot resize ${pod} in place (requires Kubernetes 1.33 and later): ${error.message}. Set canary: false and in_place: false to replace all pods by a rollout`,
    );
  });
}

/** A recommendation for an hour is not worth new pods. */
export const isInPlace = ({ in_place, horizon }: Pick<ApplyRequest, 'in_place' | 'horizon'>): boolean =>
  in_place ?? horizon === '1h';

/** Resources for a pod resized in place; a canary before a rollout is replaced with the others. */
export const sizedFor = ({ sized }: Pick<Prepared, 'sized'>, pod: PodState, request: ApplyRequest): Sized =>
  isInPlace(request) ? inPlaceFor(sized, pod) : sized;

/** Resizes one pod in place and watches it. @returns the failure, or null */
export async function tryCanary(run: Run, canary: string): Promise<string | null> {
  const failure = await resizeOne(run, canary);
  if (failure !== null) return failure;
  run.step(`watching ${canary}`);
  // A restart required by the container's resize policy is no failure.
  const later = await watch(run, await restartsNow(run), new Set([canary]), canary);
  return later === null || later.startsWith(canary) ? later : `${canary}: ${later}`;
}

/** Waits until the kubelet has resized the pod and it is ready. @returns the failure, or null */
async function resizeOne(run: Run, name: string): Promise<string | null> {
  const { cluster, clock, target, found, request, signal } = run;
  const pods = await cluster.pods(target, found, signal);
  const former = pods.find((each) => each.name === name);
  if (!former) return `${name} was deleted`;
  const before = restartsOf(pods);
  run.step(`resizing ${name} in place`);
  await resize(cluster, target, name, sizedFor(run, former, request), { signal });
  const endMs = steadyMs(clock) + request.rollout_seconds * 1000;
  for (;;) {
    // The kubelet reports after a moment whether the resize is possible.
    await clock.sleep(pollMs, signal);
    const pod = (await cluster.pods(target, found, signal)).find((each) => each.name === name);
    if (!pod) return `${name} was deleted`;
    // A memory limit below current usage kills the container at once.
    const isKilled = pod.runs.some(
      ({ container, restarts, oomKilled }) => oomKilled && restarts > (before.get(`${name}/${container}`) ?? 0),
    );
    if (isKilled) return `${name} was OOM-killed`;
    // A container may restart in order to be resized.
    if (pod.resizing === null && pod.ready) return null;
    const late = steadyMs(clock) >= endMs;
    if (pod.resizing && (pod.resizing.isInfeasible || late)) return `${name} was not resized: ${pod.resizing.why}`;
    if (late) return `${name} is no longer ready`;
    run.say(`${name}: ${pod.resizing?.why ?? 'not ready again yet'}`);
  }
}

/**
 * Resizes all other pods in place, one after the other; the template stays unchanged.
 * @returns the first failure, or null
 */
export async function resizeAll(
  run: Run,
  lease: WorkloadLease,
  canary: string | null,
  others: readonly string[],
): Promise<string | null> {
  // Restart counts when each pod was resized: later restarts count, also while other pods are resized.
  const known = new Map<string, number>();
  const resized = new Set(canary === null ? [] : [canary]);
  const remember = async (name: string) => {
    for (const [key, restarts] of await restartsNow(run)) if (key.startsWith(`${name}/`)) known.set(key, restarts);
  };
  if (canary !== null) await remember(canary);
  for (const name of others) {
    await run.cluster.leases.renew(lease, run.signal);
    const failure = await resizeOne(run, name);
    // A pod deleted meanwhile has a replacement from the template.
    if (failure === `${name} was deleted`) continue;
    if (failure !== null) return failure;
    resized.add(name);
    await remember(name);
  }
  run.step('watching the pods');
  return watch(run, known, resized);
}

/**
 * Sets the autoscaler's targets, so that it does not scale because of mixed pod sizes.
 * @returns false if another client changed its targets, which are left alone
 */
export async function scaleBy(run: Run, to: 'held' | 'next'): Promise<boolean> {
  const { cluster, target, scaler, signal, step } = run;
  if (!scaler) return true;
  const isSet = await cluster.setShares(target, scaler, { to, signal });
  step(
    isSet
      ? scalingText(scaler, to)
      : `the autoscaler ${scaler.name} was changed by another client and is left unchanged`,
  );
  if (!isSet) run.scaler = null;
  return isSet;
}

/** Replaces all pods by a rollout. @returns the failure, or null */
export async function replaceAll(run: Run, lease: WorkloadLease): Promise<string | null> {
  const { cluster, target, found, sized, request, signal, step, say } = run;
  await cluster.leases.renew(lease, signal);
  step('rolling out');
  const { ready, pods, waiting } = await cluster.rollOut(target, found, sized, {
    timeoutMs: request.rollout_seconds * 1000,
    signal,
    onChange: (now) => say(words(now.waiting) || 'rolling out'),
  });
  if (!ready)
    return `not all pods were ready after ${request.rollout_seconds} s: ${words(waiting) || `${pods} pods, rollout not finished`}`;
  await cluster.leases.renew(lease, signal);
  await scaleBy(run, 'next');
  step('watching the pods');
  // All pods are new; pods of a StatefulSet keep their names.
  return watch(run, new Map(), null);
}

/**
 * Waits until the pods are rolled back. The lease is kept until then, so that another instance can continue after a
 * crash.
 */
export async function waitForRollback({ cluster, target, found, request, signal, step, say }: Run): Promise<void> {
  const timeoutMs = request.rollout_seconds * 1000;
  const onChange = (now: Readiness) => say(words(now.waiting) || 'rolling back');
  // Also during shutdown: harmful changes must not be repeated after the restart.
  const now = await cluster
    .settled(target, found, { timeoutMs, signal, onChange })
    .catch((error: unknown) => (signal.aborted ? 'the wait was cancelled' : publicText(error)));
  if (typeof now === 'string') return step(`unknown whether all pods are rolled back: ${now}`);
  const { ready, pods, waiting } = now;
  step(ready ? 'all pods are rolled back' : `not all pods are rolled back: ${words(waiting) || `there are ${pods}`}`);
}

const words = (waiting: { pod: string; why: string }[]) => waiting.map(({ pod, why }) => `${pod} ${why}`).join('; ');

const restartsNow = async ({ cluster, target, found, signal }: Run): Promise<Map<string, number>> =>
  restartsOf(await cluster.pods(target, found, signal));

/**
 * Watches pods for the requested time, then compares the health signals.
 * @param known - see `restartsOf`
 * @param ready - pods to watch, which were ready when they were resized; null: all current pods
 */
async function watch(
  run: Run,
  known: ReadonlyMap<string, number>,
  ready: ReadonlySet<string> | null,
  canary?: string,
): Promise<string | null> {
  const { cluster, clock, target, found, request, signal } = run;
  const [startedMs, watchMs] = [clock.now(), request.watch_seconds * 1000];
  const poll = async () =>
    (await cluster.pods(target, found, signal)).filter(({ name }) => ready === null || ready.has(name));
  const first = ready ?? new Set((await poll()).filter((pod) => pod.ready).map(({ name }) => name));
  const since = steadyMs(clock);
  while (steadyMs(clock) - since < watchMs) {
    await clock.sleep(Math.min(pollMs, watchMs), signal);
    const failure = failureOf(await poll(), known, first);
    if (failure !== null) return failure;
  }
  try {
    run.after = await signalsOf(run, startedMs);
  } catch (error) {
    if (!isTransient(error)) throw error;
    return `health signals unavailable: ${error.message}`;
  }
  return degradation(podSignals(run.before, canary), podSignals(run.after, canary));
}
