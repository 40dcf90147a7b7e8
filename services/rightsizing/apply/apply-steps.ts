import type { Clock } from '#kernel/clock.ts';
import { conflict, isPassing, publicText, TowerError } from '#kernel/errors.ts';
import type { Cluster, PodState, Signals } from '#services/acquisition/kubernetes/cluster.ts';
import type { Readiness } from '#services/acquisition/kubernetes/pods.ts';
import type { Workload } from '#services/acquisition/prometheus/metric-queries.ts';
import { inPlaceFor, type Prepared, restartsOf, troubleOf, worseThan } from './apply-changes.ts';
import { scalingText } from './apply-scaling.ts';
import type { ApplyRequest } from './apply-schemas.ts';
import { seenIn, signalsOf } from './apply-signals.ts';
import type { Sized } from './apply-target.ts';

/** Steps that change pods: each returns the failure it found, or null. */

export type ApplyDeps = { cluster: Cluster; clock: Clock };
export type WorkloadLease = Awaited<ReturnType<Cluster['leases']['acquire']>>;

/** Poll interval while pods are watched. */
const lookMs = 10_000;

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
      `${pod} cannot be resized in place (Kubernetes 1.33 and later can, within limits): ${error.message}. Say canary: false and in_place: false to replace all pods at once`,
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
export async function tryOut(run: Run, canary: string): Promise<string | null> {
  const trouble = await resizeOne(run, canary);
  if (trouble !== null) return trouble;
  run.step(`it is watched how ${canary} does`);
  // A restart required by the container's resize policy is no failure.
  const later = await watch(run, await restartsNow(run), new Set([canary]), canary);
  return later === null || later.startsWith(canary) ? later : `${canary}: ${later}`;
}

/** Waits until the kubelet has resized the pod and it is ready. @returns the failure, or null */
async function resizeOne(run: Run, name: string): Promise<string | null> {
  const { cluster, clock, target, found, request, signal } = run;
  const pods = await cluster.pods(target, found, signal);
  const former = pods.find((each) => each.name === name);
  if (!former) return `${name} is gone`;
  const before = restartsOf(pods);
  run.step(`${name} is resized in place`);
  await resize(cluster, target, name, sizedFor(run, former, request), { signal });
  const endMs = clock.now() + request.rollout_seconds * 1000;
  for (;;) {
    // The kubelet reports after a moment whether the resize is possible.
    await clock.sleep(lookMs, signal);
    const pod = (await cluster.pods(target, found, signal)).find((each) => each.name === name);
    if (!pod) return `${name} is gone`;
    // A memory limit below current usage kills the container at once.
    const isKilled = pod.runs.some(
      ({ container, restarts, oomKilled }) => oomKilled && restarts > (before.get(`${name}/${container}`) ?? 0),
    );
    if (isKilled) return `${name} was killed for memory`;
    // A container may restart in order to be resized.
    if (pod.resizing === null && pod.ready) return null;
    const late = clock.now() >= endMs;
    if (pod.resizing && (pod.resizing.forGood || late)) return `${name} was not resized: ${pod.resizing.why}`;
    if (late) return `${name} is not ready any more`;
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
    const trouble = await resizeOne(run, name);
    // A pod deleted meanwhile has a replacement from the template.
    if (trouble === `${name} is gone`) continue;
    if (trouble !== null) return trouble;
    resized.add(name);
    await remember(name);
  }
  run.step('it is watched how they do');
  return watch(run, known, resized);
}

/**
 * Sets the autoscaler's targets, so that it does not scale because of mixed pod sizes.
 * @returns false if somebody else changed its targets, which are left alone
 */
export async function scaleBy(run: Run, to: 'held' | 'next'): Promise<boolean> {
  const { cluster, target, scaler, signal, step } = run;
  if (!scaler) return true;
  const isSet = await cluster.setShares(target, scaler, { to, signal });
  step(isSet ? scalingText(scaler, to) : `the autoscaler ${scaler.name} is left as somebody else has set it`);
  if (!isSet) run.scaler = null;
  return isSet;
}

/** Replaces all pods by a rollout. @returns the failure, or null */
export async function replaceAll(run: Run, lease: WorkloadLease): Promise<string | null> {
  const { cluster, target, found, sized, request, signal, step, say } = run;
  await cluster.leases.renew(lease, signal);
  step('all pods are being replaced');
  const { ready, pods, waiting } = await cluster.rollOut(target, found, sized, {
    timeoutMs: request.rollout_seconds * 1000,
    signal,
    onChange: (now) => say(words(now.waiting) || 'pods are replaced'),
  });
  if (!ready)
    return `after ${request.rollout_seconds} s not all pods were ready: ${words(waiting) || `${pods} pods, and the rollout is not done`}`;
  await cluster.leases.renew(lease, signal);
  await scaleBy(run, 'next');
  step('it is watched how they do');
  // All pods are new; pods of a StatefulSet keep their names.
  return watch(run, new Map(), null);
}

/**
 * Waits until the pods are rolled back. The lease is kept until then, so that another instance can continue after a
 * crash.
 */
export async function untilBack({ cluster, target, found, request, signal, step, say }: Run): Promise<void> {
  const timeoutMs = request.rollout_seconds * 1000;
  const onChange = (now: Readiness) => say(words(now.waiting) || 'pods are replaced');
  // Also during shutdown: harmful changes must not be repeated after the restart.
  const now = await cluster
    .settled(target, found, { timeoutMs, signal, onChange })
    .catch((error: unknown) => (signal.aborted ? 'it was not waited for' : publicText(error)));
  if (typeof now === 'string') return step(`it is not known whether all pods are back: ${now}`);
  const { ready, pods, waiting } = now;
  step(ready ? 'all pods are as before' : `not all pods are back: ${words(waiting) || `there are ${pods}`}`);
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
  const [begunMs, watchMs] = [clock.now(), request.watch_seconds * 1000];
  const look = async () =>
    (await cluster.pods(target, found, signal)).filter(({ name }) => ready === null || ready.has(name));
  const first = ready ?? new Set((await look()).filter((pod) => pod.ready).map(({ name }) => name));
  while (clock.now() - begunMs < watchMs) {
    await clock.sleep(Math.min(lookMs, watchMs), signal);
    const trouble = troubleOf(await look(), known, first);
    if (trouble !== null) return trouble;
  }
  try {
    run.after = await signalsOf(run, begunMs);
  } catch (error) {
    if (!isPassing(error)) throw error;
    return `nobody could say how it does: ${error.message}`;
  }
  return worseThan(seenIn(run.before, canary), seenIn(run.after, canary));
}
