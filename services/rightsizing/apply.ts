import { type Clock, isoTime } from '../../src/kernel/clock.ts';
import { conflict, isPassing, publicText, TowerError } from '../../src/kernel/errors.ts';
import type { Cluster, PodState, Signals } from '../acquisition/cluster.ts';
import type { Readiness } from '../acquisition/kubernetes/pods.ts';
import { type Found, type Prepared, restartsOf, troubleOf, worseThan } from './apply-changes.ts';
import type { ApplyRequest, ApplyResult } from './apply-schemas.ts';
import { seenIn, shown, signalsOf, unmeasured } from './apply-signals.ts';

/**
 * Sets what was recommended: in one pod first, then in all, and takes it back where the service does worse. Whatever happens on
 * the way, the Lease says what it was like, and a job that is begun again after a crash takes back what it finds.
 */

type Target = { namespace: string; service: string };
export type ApplyDeps = { cluster: Cluster; clock: Clock };
type Held = Awaited<ReturnType<Cluster['hold']>>;

/** So often pods are looked at while it is watched whether they do well. */
const lookMs = 10_000;

/** What one application knows of itself. */
type Run = ApplyDeps &
  Prepared & {
    target: Target;
    request: ApplyRequest;
    signal: AbortSignal;
    before: Signals;
    after: Signals;
    step(text: string): void;
    say(text: string): void;
  };

/**
 * @param holder - the job, a slash, and which attempt of it
 * @param prepare - says what is to be set, once nobody else may change it
 * @param say - what is done now
 * @param isBegunAgain - whether what the signal ends is begun again; else it is told how it ended
 * @throws TowerError `conflict` while another job changes the workload, `invalid` for what the API server refuses,
 * `unavailable`; the signal's reason, once all is as it was
 */
export async function applySizes(
  deps: ApplyDeps,
  holder: string,
  target: Target,
  prepare: () => Promise<Prepared>,
  request: ApplyRequest,
  signal: AbortSignal,
  say: (text: string) => void,
  isBegunAgain: () => boolean,
): Promise<ApplyResult> {
  const { cluster, clock } = deps;
  const lost = new AbortController();
  const both = AbortSignal.any([signal, lost.signal]);
  const { held, prepared, canary } = await holdFor(deps, holder, target, prepare, request, both);
  const over = new AbortController();
  const keeping = cluster.keep(held, over.signal, (error) => lost.abort(error));
  // A renewal on the way would make another version of the Lease.
  const stopKeeping = async () => {
    over.abort();
    await keeping;
  };
  const steps: ApplyResult['steps'] = [];
  const step = (text: string) => {
    steps.push({ at: isoTime(clock.now())!, text });
    say(text);
  };
  let trouble: string | null = null;
  const common = { target, request, signal: both, before: unmeasured, after: unmeasured, step, say };
  const run: Run = { ...deps, ...prepared, ...common };
  try {
    // Where nobody can say how it does, nobody could say whether it does worse.
    run.before = await signalsOf(run, clock.now() - request.watch_seconds * 1000);
    trouble = (canary === null ? null : await tryOut(run, canary)) ?? (await replaceAll(run, held));
    // Whoever took hold of it meanwhile has set everything back.
    if (trouble === null) await cluster.renew(held, both);
    step(trouble === null ? 'it stays' : `taken back: ${trouble}`);
    if (trouble !== null) {
      await cluster.putBack(held);
      await untilBack(run);
    }
    await stopKeeping();
    await cluster.release(held);
    return resultOf(run, trouble, canary, steps);
  } catch (error) {
    await stopKeeping();
    // What it was like is restored before anybody is told; what another job holds by now is that job's.
    await cluster.restore(held).catch((failure: unknown) => {
      const text = `${trouble === null ? '' : `${trouble}; `}${publicText(error)}; and it could not be taken back yet, which is tried again every minute`;
      throw new TowerError('unavailable', text, { cause: failure });
    });
    if (signal.aborted && !isBegunAgain()) {
      step('taken back: it was cancelled');
      return resultOf(run, trouble ?? 'it was cancelled', canary, steps);
    }
    throw lost.signal.aborted && !signal.aborted ? lost.signal.reason : error;
  }
}

const resultOf = (
  { changes, before, after }: Run,
  trouble: string | null,
  canary: string | null,
  steps: ApplyResult['steps'],
): ApplyResult => ({
  status: trouble === null ? 'applied' : 'undone',
  reason: trouble,
  canary,
  changes,
  before: shown(before),
  after: shown(after),
  steps,
});

/** Takes hold of a workload, and writes down what it is like once nobody else may change it. */
async function holdFor(
  { cluster }: ApplyDeps,
  holder: string,
  target: Target,
  prepare: () => Promise<Prepared>,
  request: ApplyRequest,
  signal: AbortSignal,
) {
  const chosen = { prepared: null as Prepared | null, canary: null as PodState | null };
  const read = async () => {
    chosen.prepared = await prepare();
    const { found, sized } = chosen.prepared;
    const canary = await canaryOf(cluster, target, found, request, signal);
    chosen.canary = canary;
    const changed = ({ name }: { name: string }) => sized.some((each) => each.name === name);
    const own = canary && { name: canary.name, containers: canary.containers.filter(changed) };
    const former = { kind: found.kind, selector: found.selector, containers: found.containers.filter(changed) };
    return { formerReplicas: found.replicas, formerResources: { ...former, canary: own } };
  };
  const held = await cluster.hold({ ...target, holder }, read, signal);
  return { held, prepared: chosen.prepared!, canary: chosen.canary?.name ?? null };
}

async function canaryOf(
  cluster: Cluster,
  target: Target,
  found: Found,
  request: ApplyRequest,
  signal?: AbortSignal,
): Promise<PodState | null> {
  if (!request.canary || found.replicas < 2) return null;
  const ready = (await cluster.pods(target, found, signal)).find((pod) => pod.ready);
  if (ready) return ready;
  throw conflict(
    `none of the pods of ${target.service} is ready, so none can be tried first: see to them, or say canary: false`,
  );
}

/** @throws TowerError `conflict` where that cannot be done in place, `unavailable` where it is not allowed */
async function resize(
  cluster: Cluster,
  target: Target,
  pod: string,
  sized: Prepared['sized'],
  options: { dryRun?: boolean; signal?: AbortSignal | undefined },
): Promise<void> {
  await cluster.resize(target, pod, sized, options).catch((error: unknown) => {
    const isUnable = error instanceof TowerError && (error.code === 'not_found' || error.code === 'invalid');
    // What a rule of the namespace refuses for one pod it refuses for all.
    if (!isUnable || error.details['refused_by'] === 'admission') throw error;
    throw conflict(
      `${pod} cannot be resized in place (Kubernetes 1.33 and later can, within limits): ${error.message}. Say canary: false to replace all pods at once`,
    );
  });
}

/**
 * Has the API server judge what would be set: of the workload, and of the pod that would be resized first, which quotas and
 * limits of the namespace are about.
 * @throws TowerError `invalid`, `conflict`, `unavailable`, as it does
 */
export async function judge(
  cluster: Cluster,
  target: Target,
  { found, sized }: Prepared,
  request: ApplyRequest,
): Promise<void> {
  await cluster.judge(target, found, sized);
  const canary = await canaryOf(cluster, target, found, request);
  if (canary) await resize(cluster, target, canary.name, sized, { dryRun: true });
}

/** Resizes one pod in place. @returns what is wrong with it then, or null */
async function tryOut(run: Run, canary: string): Promise<string | null> {
  const { cluster, clock, target, found, sized, request, signal } = run;
  const before = await restartsNow(run);
  run.step(`${canary} is resized in place`);
  await resize(cluster, target, canary, sized, { signal });
  const endMs = clock.now() + request.rollout_seconds * 1000;
  for (;;) {
    // The node says after a moment whether it can.
    await clock.sleep(lookMs, signal);
    const pod = (await cluster.pods(target, found, signal)).find(({ name }) => name === canary);
    if (!pod) return `${canary} is gone`;
    // Less memory than it uses kills it at once.
    const isKilled = pod.runs.some(
      ({ container, restarts, oomKilled }) => oomKilled && restarts > (before.get(`${canary}/${container}`) ?? 0),
    );
    if (isKilled) return `${canary} was killed for memory`;
    // A container may begin again to be resized.
    if (pod.resizing === null && pod.ready) break;
    const late = clock.now() >= endMs;
    if (pod.resizing && (pod.resizing.forGood || late)) return `${canary} was not resized: ${pod.resizing.why}`;
    if (late) return `${canary} is not ready any more`;
    run.say(`${canary}: ${pod.resizing?.why ?? 'not ready again yet'}`);
  }
  // A container that begins again for a resize does so as it was told.
  const trouble = await watch(run, await restartsNow(run), ({ name }) => name === canary, canary);
  return trouble === null || trouble.startsWith(canary) ? trouble : `${canary}: ${trouble}`;
}

/** Replaces all pods. @returns what is wrong then, or null */
async function replaceAll(run: Run, held: Held): Promise<string | null> {
  const { cluster, target, found, sized, request, signal, step, say } = run;
  await cluster.renew(held, signal);
  step('all pods are replaced');
  const { ready, pods, waiting } = await cluster.rollOut(target, found, sized, {
    timeoutMs: request.rollout_seconds * 1000,
    signal,
    onChange: (now) => say(words(now.waiting) || 'pods are replaced'),
  });
  if (!ready)
    return `after ${request.rollout_seconds} s not all pods were ready: ${words(waiting) || `${pods} pods, and the rollout is not done`}`;
  step('it is watched how they do');
  // All of them are new, those of a StatefulSet under the names of the old ones.
  return watch(run, new Map(), () => true);
}

/** What was taken back is not back before its pods are. It stays held so long: whoever goes on after a crash must know. */
async function untilBack({ cluster, target, found, request, signal, step, say }: Run): Promise<void> {
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
 */
async function watch(
  run: Run,
  known: ReadonlyMap<string, number>,
  which: (pod: PodState) => boolean,
  canary?: string,
): Promise<string | null> {
  const { cluster, clock, target, found, request, signal } = run;
  const [begunMs, watchMs] = [clock.now(), request.watch_seconds * 1000];
  const look = async () => (await cluster.pods(target, found, signal)).filter(which);
  const first = new Set((await look()).filter(({ ready }) => ready).map(({ name }) => name));
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

/** Of a job that is begun again after its tower ended: takes back what it finds; null where there is nothing. */
export async function undoLeft(
  { cluster, clock }: ApplyDeps,
  job: string,
  { namespace, service }: Target,
  signal: AbortSignal,
): Promise<ApplyResult | null> {
  if (!(await cluster.restoreOf(namespace, job, signal)).includes(service)) return null;
  const reason = 'the tower ended while it was applied';
  const steps = [{ at: isoTime(clock.now())!, text: `taken back: ${reason}` }];
  const [before, after] = [shown(unmeasured), shown(unmeasured)];
  return { status: 'undone', reason, canary: null, changes: [], before, after, steps };
}
