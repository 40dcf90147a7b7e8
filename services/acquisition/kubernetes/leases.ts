import { type Clock, isoTime } from '#kernel/clock.ts';
import { conflict, TowerError } from '#kernel/errors.ts';
import { setShares } from './autoscalers.ts';
import type { KubernetesClient } from './client.ts';
import type { Lease, List } from './objects.ts';
import { type FormerResources, isSettled, restoreResources } from './resources.ts';
import { scaleWorkload } from './workloads.ts';

/**
 * Who changes a workload now, and what it was like before: one Lease per workload, in its namespace, that holds both. It is
 * there before anything is changed and goes when all is as it was, so that whoever finds it after a crash can undo what was
 * done, also without this tower's store.
 */

const managed = 'control-tower';
const formerReplicas = 'control-tower/former-replicas';
const formerResources = 'control-tower/former-resources';
export const leaseSeconds = 60;
/** So often it is said that somebody is at it. */
const renewalMs = 15_000;

const pathOf = (namespace: string, service?: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases${service === undefined ? '' : `/${nameOf(service)}`}`;
const nameOf = (service: string): string => `control-tower-${service}`;

/** Micro-time, as Kubernetes wants it. */
const microTime = (ms: number): string => isoTime(ms)!.replace('Z', '000Z');

export type Held = {
  namespace: string;
  service: string;
  holder: string;
  formerReplicas: number;
  /** Where requests and limits are changed: what they were. */
  formerResources?: FormerResources;
};
/** What a workload was like. */
export type Former = Pick<Held, 'formerReplicas' | 'formerResources'>;
/**
 * Takes hold of a workload, then writes down what it is like. What a holder that died had changed is undone.
 * @param read - what it is like, read once nobody else may change it
 * @throws TowerError `conflict` while somebody else is at it
 */
export async function hold(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service, holder }: Pick<Held, 'namespace' | 'service' | 'holder'>,
  read: () => Promise<Former>,
  signal?: AbortSignal,
): Promise<Held> {
  const now = microTime(clock.now());
  const lease = await takeLease(client, clock, { namespace, service, holder }, now, signal);
  const known = formerOf(lease);
  // What one that died had changed is undone first, whatever it was.
  if (known && !(await undo(client, { namespace, service, ...known }, signal)))
    throw conflict(`${service} in ${namespace} is given back what it had: not all of its pods are back yet`);
  try {
    const former = await read();
    const { formerReplicas: replicas, formerResources: resources } = former;
    const { [formerReplicas]: _, [formerResources]: __, ...others } = lease.metadata.annotations ?? {};
    const annotations = {
      ...others,
      [formerReplicas]: String(replicas),
      ...(resources ? { [formerResources]: JSON.stringify(resources) } : {}),
    };
    const spec = { ...lease.spec, holderIdentity: holder, acquireTime: now, renewTime: microTime(clock.now()) };
    // Of two that take it over at once, the version lets only one.
    const body = { ...lease, metadata: { ...lease.metadata, annotations }, spec };
    await client.call({ method: 'PUT', path: pathOf(namespace, service), body }, signal);
    return { namespace, service, holder, ...former };
  } catch (error) {
    // Nothing is changed yet; also when it is cancelled, nobody is to wait until the lease is over.
    await release(client, { namespace, service, holder }).catch(() => undefined);
    throw error;
  }
}

async function takeLease(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service, holder }: Pick<Held, 'namespace' | 'service' | 'holder'>,
  now: string,
  signal?: AbortSignal,
): Promise<Lease> {
  const fresh: Lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: nameOf(service), namespace, labels: { 'app.kubernetes.io/managed-by': managed } },
    spec: { holderIdentity: holder, leaseDurationSeconds: leaseSeconds, acquireTime: now, renewTime: now },
  };
  try {
    return await client.call<Lease>({ method: 'POST', path: pathOf(namespace), body: fresh }, signal);
  } catch (error) {
    if (!(error instanceof TowerError && error.code === 'conflict')) throw error;
  }
  const path = pathOf(namespace, service);
  const there = await client.call<Lease>({ method: 'GET', path }, signal);
  const other = there.spec.holderIdentity;
  if (other === holder) return there;
  const isHeld = conflict(`${service} in ${namespace} is held by another job, ${other}`, { service, holder: other });
  if (!isOver(there, clock.now())) throw isHeld;
  // That is said by two clocks. Who is at it renews meanwhile; where it is gone by then, the other is done.
  await clock.sleep(2 * renewalMs, signal);
  const later = await client.call<Lease>({ method: 'GET', path }, signal);
  if (later.metadata.resourceVersion !== there.metadata.resourceVersion) throw isHeld;
  return later;
}

function formerOf({ metadata }: Lease): Former | null {
  const text = metadata.annotations?.[formerReplicas] ?? '';
  if (!/^\d{1,9}$/.test(text)) return null;
  const resources = metadata.annotations?.[formerResources];
  type Kept = Omit<FormerResources, 'pods'> &
    Partial<Pick<FormerResources, 'pods'>> & { canary?: FormerResources['pods'][number] | null };
  // Leases that were left before all pods could be resized in place have one at most.
  const { canary = null, pods = canary ? [canary] : [], ...others } = JSON.parse(resources ?? '{}') as Kept;
  return {
    formerReplicas: Number(text),
    ...(resources === undefined ? {} : { formerResources: { ...others, pods } }),
  };
}

const isOver = ({ spec }: Lease, now: number): boolean => {
  const renewedMs = Date.parse(spec.renewTime ?? '');
  return Number.isNaN(renewedMs) || renewedMs + (spec.leaseDurationSeconds ?? leaseSeconds) * 1000 < now;
};

/** @throws TowerError `conflict` where it is lost */
export async function renew(client: KubernetesClient, clock: Clock, held: Held, signal?: AbortSignal): Promise<void> {
  const there = await leaseOf(client, held, signal);
  if (there?.spec.holderIdentity !== held.holder)
    throw conflict(
      `${held.service} is not held by this job any more${there ? `, but by ${there.spec.holderIdentity}` : ''}`,
    );
  const body = { ...there, spec: { ...there.spec, renewTime: microTime(clock.now()) } };
  const path = pathOf(held.namespace, held.service);
  await client.call({ method: 'PUT', path, body }, signal).catch(async (error: unknown) => {
    // Another renewal of ours, or the same one when its answer was lost, is no loss.
    const now = error instanceof TowerError && error.code === 'conflict' ? await leaseOf(client, held, signal) : null;
    if (now?.spec.holderIdentity !== held.holder) throw error;
  });
}

/** Says now and then that somebody is at it, until the signal aborts; tells where another job has it. Never throws. */
export async function keepHold(
  client: KubernetesClient,
  clock: Clock,
  held: readonly Held[],
  over: AbortSignal,
  onLost: (error: TowerError) => void,
): Promise<void> {
  while (!over.aborted) {
    await clock.sleep(renewalMs, over).catch(() => undefined);
    for (const each of held) {
      if (over.aborted) return;
      await renew(client, clock, each, over).catch((error: unknown) => {
        // A server that is away for a moment takes nobody's hold; one that has lost the lease does.
        if (error instanceof TowerError && error.code === 'conflict') onLost(error);
      });
    }
  }
}

async function leaseOf(
  client: KubernetesClient,
  { namespace, service }: Pick<Held, 'namespace' | 'service'>,
  signal?: AbortSignal,
): Promise<Lease | null> {
  return client.call<Lease>({ method: 'GET', path: pathOf(namespace, service) }, signal).catch((error: unknown) => {
    if (error instanceof TowerError && error.code === 'not_found') return null;
    throw error;
  });
}

/**
 * Makes a workload what it was, and lets go of it. One that is gone needs nothing, and one that another job holds by now is
 * that job's.
 * @returns false: it stays held until its pods are back, when its autoscaler gets its shares
 * @throws TowerError `unavailable`
 */
export async function restore(client: KubernetesClient, held: Held, signal?: AbortSignal): Promise<boolean> {
  if ((await isHolder(client, held, signal)) && !(await undo(client, held, signal))) return false;
  await release(client, held, signal);
  return true;
}

/** Sets requests and limits back, and goes on holding it: an autoscaler’s shares wait for the pods. @throws TowerError `unavailable` */
export async function putSizesBack(client: KubernetesClient, held: Held, signal?: AbortSignal): Promise<void> {
  const { namespace, service, formerResources: resources } = held;
  if (resources && (await isHolder(client, held, signal)))
    await undoSizes(client, { namespace, service, ...resources }, signal);
}

async function undoSizes(
  client: KubernetesClient,
  target: FormerResources & { namespace: string; service: string },
  signal?: AbortSignal,
): Promise<void> {
  if (target.scaler) await setShares(client, target.namespace, target.scaler, { to: 'back', signal });
  await restoreResources(client, target, signal);
}

/** Lets go of a workload whose sizes were put back. @returns and throws as `restore` */
export async function letGo(client: KubernetesClient, held: Held, signal?: AbortSignal): Promise<boolean> {
  if ((await isHolder(client, held, signal)) && !(await putSharesBack(client, held, signal))) return false;
  await release(client, held, signal);
  return true;
}

const isHolder = async (client: KubernetesClient, held: Held, signal?: AbortSignal): Promise<boolean> =>
  (await leaseOf(client, held, signal))?.spec.holderIdentity === held.holder;

/** @returns as `restore` */
async function undo(client: KubernetesClient, left: Omit<Held, 'holder'>, signal?: AbortSignal): Promise<boolean> {
  const { namespace, service, formerReplicas: replicas, formerResources: resources } = left;
  if (resources) await undoSizes(client, { namespace, service, ...resources }, signal);
  // Who sets resources leaves replicas to others.
  else await unlessGone(scaleWorkload(client, namespace, service, replicas, signal));
  return putSharesBack(client, left, signal);
}

/** Before the pods are back a share would be one of other requests. @returns as `restore` */
async function putSharesBack(
  client: KubernetesClient,
  { namespace, service, formerResources }: Omit<Held, 'holder'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const { scaler, kind } = formerResources ?? {};
  if (!scaler || !kind) return true;
  if (!(await isSettled(client, { namespace, service, kind }, signal))) return false;
  await setShares(client, namespace, scaler, { to: 'former', signal });
  return true;
}

/** Lets go of a workload as it is. @throws TowerError `unavailable` */
export async function release(
  client: KubernetesClient,
  held: Omit<Held, 'formerReplicas'>,
  signal?: AbortSignal,
): Promise<void> {
  const lease = await leaseOf(client, held, signal);
  if (lease?.spec.holderIdentity !== held.holder) return;
  const body = { preconditions: { resourceVersion: lease.metadata.resourceVersion } };
  await unlessGone(client.call({ method: 'DELETE', path: pathOf(held.namespace, held.service), body }, signal));
}

const unlessGone = (doing: Promise<unknown>): Promise<void> =>
  doing.then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    },
  );

/**
 * Undoes what holders left behind.
 * @param isLeft - whether a holder will not go on by itself
 * @returns the workloads that are as they were; `waiting`: that still wait for their pods, see `restore`
 * @throws TowerError `unavailable`
 */
export async function restoreLeft(
  client: KubernetesClient,
  namespace: string,
  isLeft: (holder: string, lease: Lease) => boolean,
  signal?: AbortSignal,
): Promise<{ restored: string[]; waiting: string[] }> {
  const query = { labelSelector: `app.kubernetes.io/managed-by=${managed}` };
  const { items } = await client.call<List<Lease>>({ method: 'GET', path: pathOf(namespace), query }, signal);
  const [restored, waiting]: [string[], string[]] = [[], []];
  const failures: unknown[] = [];
  for (const lease of items) {
    const holder = lease.spec.holderIdentity ?? '';
    if (!isLeft(holder, lease)) continue;
    const service = lease.metadata.name.slice(nameOf('').length);
    const former = formerOf(lease);
    // Without what it was like nothing had been changed yet.
    const undone = former
      ? restore(client, { namespace, service, holder, ...former }, signal)
      : release(client, { namespace, service, holder }, signal).then(() => null);
    // One that cannot be restored keeps none of the others from it.
    await undone.then(
      (isBack) => (isBack === null ? 0 : (isBack ? restored : waiting).push(service)),
      (error: unknown) => failures.push(error),
    );
  }
  if (failures.length > 0) throw failures[0];
  return { restored, waiting };
}
