import { type Clock, isoTime } from '../../src/kernel/clock.ts';
import { conflict, publicText, TowerError } from '../../src/kernel/errors.ts';
import type { Cluster, PodState, Signals } from '../acquisition/cluster.ts';
import type { ApplyRequest, ApplyResult, Change } from './apply-schemas.ts';
import { resourcesOf } from './outputs.ts';
import type { SizeAnswer } from './schemas.ts';

/**
 * Sets what was recommended: in one pod first, then in all, and takes it back where the service does worse. Whatever happens on
 * the way, the Lease says what it was like, and a job that is begun again after a crash takes back what it finds.
 */

type Target = { namespace: string; service: string };
export type ApplyDeps = { cluster: Cluster; clock: Clock };
type Sized = Parameters<Cluster['judge']>[2];
type Found = Awaited<ReturnType<Cluster['find']>>;

/** So often pods are looked at while it is watched whether they do well. */
const lookMs = 10_000;

/** What would be set, container by container. @throws TowerError `conflict` where nothing can be */
export function changesOf(
  answer: SizeAnswer,
  { containers, replicas }: Found,
  request: ApplyRequest,
): { sized: Sized; changes: Change[] } {
  if (answer.status !== 'success')
    throw conflict(`nothing is recommended: ${answer.reason}`, { reason: answer.reason });
  const wants = (resource: 'cpu' | 'memory') => request.resources.includes(resource);
  if (answer.hpa && wants('cpu')) {
    const { name, target_utilization: now, recommended_target_utilization: then } = answer.hpa;
    throw conflict(
      `the autoscaler ${name} scales by CPU in per cent of the request: its target would have to move from ${percent(now)}${then === null ? '' : ` to ${percent(then)}`} with it. Set both from the outputs of the recommendation, or apply resources: [memory]`,
      { hpa: name },
    );
  }
  const planned = answer.capacity?.replicas ?? null;
  if (planned !== null && planned !== replicas)
    throw conflict(
      `the size is for ${planned} replicas, and there are ${replicas}: scale it first, or say basis: usage, or max_replicas`,
      { replicas: planned },
    );
  const sized = answer.containers
    .filter(({ sidecar, container }) => !sidecar && containers.some(({ name }) => name === container))
    .map(({ container, cpu, memory }) => ({
      name: container,
      resources: resourcesOf({
        container,
        cpuCores: wants('cpu') ? cpu.request : null,
        memoryBytes: wants('memory') ? memory.request : null,
        cpuLimitCores: wants('cpu') ? cpu.limit : null,
      }),
    }));
  const changes = sized.flatMap(({ name, resources }): Change[] => {
    const former = containers.find((each) => each.name === name)!.resources;
    return (['requests', 'limits'] as const).flatMap((part) =>
      Object.entries(resources[part] ?? {}).flatMap(([resource, to]): Change[] => {
        const from = former[part]?.[resource as 'cpu' | 'memory'] ?? null;
        return from === to ? [] : [{ container: name, what: `${part}.${resource}`, from, to }];
      }),
    );
  });
  if (changes.length === 0) throw conflict('there is nothing to change: it has what is recommended');
  return { sized, changes };
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** What one application knows of itself. */
type Run = {
  cluster: Cluster;
  clock: Clock;
  target: Target;
  found: Found;
  sized: Sized;
  request: ApplyRequest;
  signal: AbortSignal;
  before: Signals;
  after: Signals;
  step(text: string): void;
  say(text: string): void;
};

/**
 * @param holder - the job, a slash, and which attempt of it
 * @param say - what is done now
 * @throws TowerError `conflict` while another job changes the workload, `invalid` for what the API server refuses,
 * `unavailable`; the signal's reason, once all is as it was
 */
export async function applySizes(
  { cluster, clock }: ApplyDeps,
  holder: string,
  target: Target,
  found: Found,
  { sized, changes }: ReturnType<typeof changesOf>,
  request: ApplyRequest,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<ApplyResult> {
  const steps: ApplyResult['steps'] = [];
  const step = (text: string) => {
    steps.push({ at: isoTime(clock.now())!, text });
    say(text);
  };
  const watchMs = request.watch_seconds * 1000;
  const before = await cluster.signals(target, clock.now() - watchMs, clock.now(), signal);
  const run: Run = { cluster, clock, target, found, sized, request, signal, before, after: unmeasured, step, say };
  const pods = await cluster.pods(target, found, signal);
  const canary = request.canary && found.replicas > 1 ? (pods.find(({ ready }) => ready)?.name ?? null) : null;
  const former = { kind: found.kind, containers: found.containers, canary };
  const held = await cluster.hold(
    { ...target, holder },
    async () => Promise.resolve({ formerReplicas: found.replicas, formerResources: former }),
    signal,
  );
  const over = new AbortController();
  const keeping = cluster.keep(held, over.signal);
  try {
    const trouble = (canary === null ? null : await tryOut(run, canary)) ?? (await replaceAll(run));
    step(trouble === null ? 'it stays' : `taken back: ${trouble}`);
    await (trouble === null ? cluster.release(held) : cluster.restore(held));
    return {
      status: trouble === null ? 'applied' : 'undone',
      reason: trouble,
      canary,
      changes,
      before: shown(before),
      after: shown(run.after),
      steps,
    };
  } catch (error) {
    // What it was like is restored before anybody is told.
    await cluster.restore(held).catch((failure: unknown) => {
      const text = `${publicText(error)}; and it could not be taken back yet, which is tried again every minute`;
      throw new TowerError('unavailable', text, { cause: failure });
    });
    throw error;
  } finally {
    over.abort();
    await keeping;
  }
}

/** Resizes one pod in place. @returns what is wrong with it then, or null */
async function tryOut(run: Run, canary: string): Promise<string | null> {
  run.step(`${canary} is resized in place`);
  await run.cluster.resize(run.target, canary, run.sized, run.signal).catch((error: unknown) => {
    if (!(error instanceof TowerError) || (error.code !== 'not_found' && error.code !== 'invalid')) throw error;
    throw conflict(
      `${canary} cannot be resized in place (Kubernetes 1.33 and later can, within limits): ${error.message}. Say canary: false to replace all pods at once`,
    );
  });
  const trouble = await watch(run, ({ name }) => name === canary);
  return trouble && `${canary}: ${trouble}`;
}

/** Replaces all pods. @returns what is wrong then, or null */
async function replaceAll(run: Run): Promise<string | null> {
  const { cluster, target, found, sized, request, signal, step, say } = run;
  const words = (waiting: { pod: string; why: string }[]) => waiting.map(({ pod, why }) => `${pod} ${why}`).join('; ');
  step('all pods are replaced');
  const { ready, waiting } = await cluster.rollOut(target, found, sized, {
    timeoutMs: request.rollout_seconds * 1000,
    signal,
    onChange: (now) => say(words(now.waiting) || 'pods are replaced'),
  });
  if (!ready) return `after ${request.rollout_seconds} s not all pods were ready: ${words(waiting)}`;
  step('it is watched how they do');
  return watch(run, () => true);
}

/** Looks at pods for as long as was asked for, then at what Prometheus measured meanwhile. */
async function watch(run: Run, which: (pod: PodState) => boolean): Promise<string | null> {
  const { cluster, clock, target, found, request, signal } = run;
  const [begunMs, watchMs] = [clock.now(), request.watch_seconds * 1000];
  const known = new Map((await cluster.pods(target, found, signal)).map((pod) => [pod.name, pod.restarts]));
  while (clock.now() - begunMs < watchMs) {
    await clock.sleep(Math.min(lookMs, watchMs), signal);
    const trouble = troubleOf((await cluster.pods(target, found, signal)).filter(which), known);
    if (trouble !== null) return trouble;
  }
  run.after = await cluster.signals(target, begunMs, clock.now(), signal);
  return worseThan(run.before, run.after);
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

/** A pod that was killed, began again or is not ready. @param known - how often each had begun again before */
function troubleOf(pods: readonly PodState[], known: ReadonlyMap<string, number>): string | null {
  for (const { name, ready, restarts, oomKilled } of pods) {
    const again = restarts - (known.get(name) ?? 0);
    if (again > 0) return oomKilled ? `${name} was killed for memory` : `${name} began again ${again} times`;
    if (!ready) return `${name} is not ready any more`;
  }
  return null;
}

/** What rose beyond chance: throttling by 5 % of the periods, errors by 1 % of the requests, latency by a fifth. */
export function worseThan(before: Signals, after: Signals): string | null {
  const rose = (name: keyof Signals, most: (was: number) => number, text: (value: number) => string) => {
    const [was, is] = [before[name], after[name]];
    return was !== null && is !== null && is > most(was) ? `from ${text(was)} to ${text(is)}` : null;
  };
  const throttled = rose('throttled', (was) => was + 0.05, percent);
  const errors = rose(
    'errors',
    (was) => was + 0.01,
    (value) => `${Number((100 * value).toPrecision(3))} %`,
  );
  const latency = rose(
    'latencyMs',
    (was) => 1.2 * was + 5,
    (value) => `${Math.round(value)} ms`,
  );
  if (throttled) return `throttled CPU periods rose ${throttled}`;
  if (errors) return `failed requests rose ${errors}`;
  return latency && `the 95th percentile of latency rose ${latency}`;
}

const unmeasured: Signals = { throttled: null, errors: null, latencyMs: null };

const shown = ({ throttled, errors, latencyMs }: Signals) => ({
  cpu_throttle_ratio: throttled,
  error_ratio: errors,
  latency_p95_ms: latencyMs,
});
