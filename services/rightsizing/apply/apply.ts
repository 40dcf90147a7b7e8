import { isoTime } from '#kernel/clock.ts';
import { conflict, publicText, TowerError } from '#kernel/errors.ts';
import type { Cluster, PodState } from '#services/acquisition/kubernetes/cluster.ts';
import type { SizeAnswer } from '../schemas.ts';
import { changesOf, type Prepared } from './apply-changes.ts';
import { movedShares, shownScaling } from './apply-scaling.ts';
import type { ApplyRequest, ApplyResult } from './apply-schemas.ts';
import { shown, signalsOf, unmeasured } from './apply-signals.ts';
import {
  type ApplyDeps,
  type Held,
  isInPlace,
  type Run,
  replaceAll,
  resize,
  resizeAll,
  scaleBy,
  sizedFor,
  tryOut,
  untilBack,
} from './apply-steps.ts';
import type { Found } from './apply-target.ts';

/**
 * Sets what was recommended: in one pod first, then in all, and takes it back where the service does worse. Whatever happens on
 * the way, the Lease says what it was like, and a job that is begun again after a crash takes back what it finds.
 */

type Target = { namespace: string; service: string };

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
  const { held, prepared, canary, others } = await holdFor(deps, holder, target, prepare, request, both);
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
    trouble = await changeAll(run, held, canary, others);
    step(trouble === null ? staying(run) : `taken back: ${trouble}`);
    if (trouble !== null) {
      await cluster.putSizesBack(held);
      await untilBack(run);
    }
    await stopKeeping();
    if (trouble === null) await cluster.release(held);
    else if (!(await cluster.letGo(held))) step(waitingFor(`the autoscaler ${prepared.scaler?.name}`));
    else if (run.scaler) step(`the autoscaler ${run.scaler.name} has its share again`);
    return resultOf(run, trouble, canary, steps);
  } catch (error) {
    await stopKeeping();
    // What it was like is restored before anybody is told; what another job holds by now is that job's.
    const isBack = await cluster.restore(held).catch((failure: unknown) => {
      const text = `${trouble === null ? '' : `${trouble}; `}${publicText(error)}; and it could not be taken back yet, which is tried again every minute`;
      throw new TowerError('unavailable', text, { cause: failure });
    });
    if (signal.aborted && !isBegunAgain()) {
      step('taken back: it was cancelled');
      if (!isBack) step(waitingFor(`the autoscaler ${prepared.scaler?.name}`));
      return resultOf(run, trouble ?? 'it was cancelled', canary, steps);
    }
    throw lost.signal.aborted && !signal.aborted ? lost.signal.reason : error;
  }
}

/** @returns what is wrong then, or null where all is as it is to be */
async function changeAll(
  run: Run,
  held: Held,
  canary: string | null,
  others: readonly string[],
): Promise<string | null> {
  const { cluster, clock, request, signal } = run;
  // Where nobody can say how it does, nobody could say whether it does worse.
  run.before = await signalsOf(run, clock.now() - request.watch_seconds * 1000);
  const { scaler } = run;
  if (!(await scaleBy(run, 'held')))
    throw conflict(`the autoscaler ${scaler!.name} was changed just now: look at it, and apply again`);
  const trouble =
    (canary === null ? null : await tryOut(run, canary)) ??
    (isInPlace(request) ? await resizeAll(run, held, canary, others) : await replaceAll(run, held));
  if (trouble !== null) return trouble;
  // Whoever took hold of it meanwhile has set everything back.
  await cluster.renew(held, signal);
  return null;
}

const staying = ({ request, scaler, after }: Run): string => {
  const unknown = after.throttled === null && after.errors === null && after.latencyMs === null;
  const until = isInPlace(request) ? ', until pods are replaced: their template is as it was' : '';
  const amount = isInPlace(request) && scaler ? `, and the autoscaler ${scaler.name} keeps the amount` : '';
  const judged = unknown
    ? '; nobody measures throttling, errors or latency: only kills, restarts and readiness were judged'
    : '';
  return `it stays${until}${amount}${judged}`;
};

const waitingFor = (scaler: string): string =>
  `${scaler} gets its share back when all pods are as before, which is looked at every minute`;

const resultOf = (
  { changes, scaler, before, after }: Run,
  trouble: string | null,
  canary: string | null,
  steps: ApplyResult['steps'],
): ApplyResult => ({
  status: trouble === null ? 'applied' : 'undone',
  reason: trouble,
  canary,
  changes,
  autoscaler: shownScaling(scaler),
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
    // A template that is not changed is not set back: somebody else may change it meanwhile.
    const containers = isInPlace(request) ? [] : found.containers.filter(changed);
    const former = { kind: found.kind, selector: found.selector, containers, scaler };
    return { formerReplicas: found.replicas, formerResources: { ...former, pods } };
  };
  const held = await cluster.hold({ ...target, holder }, read, signal);
  const others = chosen.others.map(({ name }) => name);
  return { held, prepared: chosen.prepared!, canary: chosen.canary?.name ?? null, others };
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

/**
 * Says what would be set, and has the API server judge it: of the workload where that is changed, of its autoscaler, and of the pod that would be resized
 * first, which quotas and limits of the namespace are about.
 * @throws TowerError `conflict` where nothing can be; `invalid`, `conflict`, `unavailable`, as it does
 */
export async function prepare(
  cluster: Cluster,
  target: Target,
  found: Found,
  answer: SizeAnswer,
  request: ApplyRequest,
): Promise<Prepared> {
  const inPlace = isInPlace(request);
  const pods = inPlace || found.scaler ? await cluster.pods(target, found) : [];
  const changes = changesOf(answer, found, request, cluster.isSameAmount, inPlace ? pods : []);
  const scaler = movedShares(cluster.amountOf, found, changes.sized, pods, inPlace);
  const prepared = { found, ...changes, scaler };
  if (!inPlace) await cluster.judge(target, found, prepared.sized);
  if (scaler) await cluster.setShares(target, scaler, { to: 'held', dryRun: true });
  const first = (await canaryOf(cluster, target, found, request)) ?? (inPlace ? pods[0] : undefined);
  if (first) await resize(cluster, target, first.name, sizedFor(prepared, first, request), { dryRun: true });
  return prepared;
}

/** Of a job that is begun again after its tower ended: takes back what it finds; null where there is nothing. */
export async function undoLeft(
  { cluster, clock }: ApplyDeps,
  job: string,
  { namespace, service }: Target,
  signal: AbortSignal,
): Promise<ApplyResult | null> {
  const { restored, waiting } = await cluster.restoreOf(namespace, job, signal);
  if (![...restored, ...waiting].includes(service)) return null;
  const reason = 'the tower ended while it was applied';
  const texts = [`taken back: ${reason}`, ...(waiting.includes(service) ? [waitingFor('its autoscaler')] : [])];
  const steps = texts.map((text) => ({ at: isoTime(clock.now())!, text }));
  const [before, after] = [shown(unmeasured), shown(unmeasured)];
  return { status: 'undone', reason, canary: null, changes: [], autoscaler: null, before, after, steps };
}
