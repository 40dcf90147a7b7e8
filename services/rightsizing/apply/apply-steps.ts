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

/** What is done to pods when a recommendation is applied: each step says what is wrong then, or nothing. */

export type ApplyDeps = { cluster: Cluster; clock: Clock };
export type WorkloadLease = Awaited<ReturnType<Cluster['leases']['acquire']>>;

/** So often pods are looked at while it is watched whether they do well. */
const lookMs = 10_000;

/** What one application knows of itself. */
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

/** @throws TowerError `conflict` where that cannot be done in place, `unavailable` where it is not allowed */
export async function resize(
  cluster: Cluster,
  target: Workload,
  pod: string,
  sized: Prepared['sized'],
  options: { dryRun?: boolean; signal?: AbortSignal | undefined },
): Promise<void> {
  await cluster.resize(target, pod, sized, options).catch((error: unknown) => {
    const isUnable = error instanceof TowerError && (error.code === 'not_found' || error.code === 'invalid');
    // What a rule of the namespace refuses for one pod it refuses for all.
    if (!isUnable || error.details['refused_by'] === 'admission') throw error;
    throw conflict(
      `${pod} cannot be resized in place (Kubernetes 1.33 and later can, within limits): ${error.message}. Say canary: false and in_place: false to replace all pods at once`,
    );
  });
}

/** What is to hold for an hour is not worth new pods. */
export const isInPlace = ({ in_place, horizon }: Pick<ApplyRequest, 'in_place' | 'horizon'>): boolean =>
  in_place ?? horizon === '1h';

/** Of a pod that is resized in place; one that is tried out before a rollout goes with it. */
export const sizedFor = ({ sized }: Pick<Prepared, 'sized'>, pod: PodState, request: ApplyRequest): Sized =>
  isInPlace(request) ? inPlaceFor(sized, pod) : sized;

/** Resizes one pod in place, and looks how it does. @returns what is wrong with it then, or null */
export async function tryOut(run: Run, canary: string): Promise<string | null> {
  const trouble = await resizeOne(run, canary);
  if (trouble !== null) return trouble;
  run.step(`it is watched how ${canary} does`);
  // A container that begins again for a resize does so as it was told.
  const later = await watch(run, await restartsNow(run), new Set([canary]), canary);
  return later === null || later.startsWith(canary) ? later : `${canary}: ${later}`;
}

/** Until its node has done so, and it is ready. @returns what is wrong with it then, or null */
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
    // The node says after a moment whether it can.
    await clock.sleep(lookMs, signal);
    const pod = (await cluster.pods(target, found, signal)).find((each) => each.name === name);
    if (!pod) return `${name} is gone`;
    // Less memory than it uses kills it at once.
    const isKilled = pod.runs.some(
      ({ container, restarts, oomKilled }) => oomKilled && restarts > (before.get(`${name}/${container}`) ?? 0),
    );
    if (isKilled) return `${name} was killed for memory`;
    // A container may begin again to be resized.
    if (pod.resizing === null && pod.ready) return null;
    const late = clock.now() >= endMs;
    if (pod.resizing && (pod.resizing.forGood || late)) return `${name} was not resized: ${pod.resizing.why}`;
    if (late) return `${name} is not ready any more`;
    run.say(`${name}: ${pod.resizing?.why ?? 'not ready again yet'}`);
  }
}

/**
 * Resizes all other pods in place, one after the other; the template stays as it is.
 * @returns what is wrong then with any of them, or null
 */
export async function resizeAll(
  run: Run,
  lease: WorkloadLease,
  canary: string | null,
  others: readonly string[],
): Promise<string | null> {
  // How often each had begun again when it was resized: what happens while others are counts.
  const known = new Map<string, number>();
  const resized = new Set(canary === null ? [] : [canary]);
  const remember = async (name: string) => {
    for (const [key, restarts] of await restartsNow(run)) if (key.startsWith(`${name}/`)) known.set(key, restarts);
  };
  if (canary !== null) await remember(canary);
  for (const name of others) {
    await run.cluster.leases.renew(lease, run.signal);
    const trouble = await resizeOne(run, name);
    // One that went meanwhile has another in its place, of the template.
    if (trouble === `${name} is gone`) continue;
    if (trouble !== null) return trouble;
    resized.add(name);
    await remember(name);
  }
  run.step('it is watched how they do');
  return watch(run, known, resized);
}

/**
 * An autoscaler is to add or take away no pods because there are some of another size.
 * @returns false where somebody else has set its targets, which are left then
 */
export async function scaleBy(run: Run, to: 'held' | 'next'): Promise<boolean> {
  const { cluster, target, scaler, signal, step } = run;
  if (!scaler) return true;
  const isSet = await cluster.setShares(target, scaler, { to, signal });
  step(isSet ? scalingText(scaler, to) : `the autoscaler ${scaler.name} is left as somebody else has set it`);
  if (!isSet) run.scaler = null;
  return isSet;
}

/** Replaces all pods. @returns what is wrong then, or null */
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
  // All of them are new, those of a StatefulSet under the names of the old ones.
  return watch(run, new Map(), null);
}

/** What was taken back is not back before its pods are. It stays held so long: whoever goes on after a crash must know. */
export async function untilBack({ cluster, target, found, request, signal, step, say }: Run): Promise<void> {
  const timeoutMs = request.rollout_seconds * 1000;
  const onChange = (now: Readiness) => say(words(now.waiting) || 'pods are replaced');
  // Also when everything is to end: what did harm is not to be begun anew.
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
 * Looks at pods for as long as was asked for, then at what Prometheus measured meanwhile.
 * @param known - see `restartsOf`
 * @param ready - pods that are looked at, which were ready when they were resized; null: all of them, as they are now
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
