import { type Clock, isoTime } from '#kernel/clock.ts';
import { conflict, TowerError } from '#kernel/errors.ts';
import { setShares } from './autoscalers.ts';
import type { KubernetesClient } from './client.ts';
import { formerReplicas, hasFormer, leaseSeconds, operations, stateOf } from './lease-states.ts';
import type { Lease, List } from './objects.ts';
import { type FormerResources, isSettled, restoreResources } from './resources.ts';
import { scaleWorkload } from './workloads.ts';

/**
 * One Lease per workload, in its namespace: which job changes the workload, and the state before the change. It is
 * created before the first change and deleted after everything is restored, so that any instance that finds it after a
 * crash can undo the changes, even without this instance's store. `lease-states.ts` has its states and transitions.
 */

const managed = 'control-tower';
const formerResources = 'control-tower/former-resources';
/** Renewal interval. */
const renewalMs = 15_000;

const pathOf = (namespace: string, service?: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases${service === undefined ? '' : `/${nameOf(service)}`}`;
const nameOf = (service: string): string => `control-tower-${service}`;

/** MicroTime, as the Kubernetes API requires. */
const microTime = (ms: number): string => isoTime(ms)!.replace('Z', '000Z');

export type WorkloadLease = {
  namespace: string;
  service: string;
  holder: string;
  formerReplicas: number;
  /** Requests and limits before the change, if they are changed. */
  formerResources?: FormerResources;
};
/** State of a workload before the change. */
export type PreviousState = Pick<WorkloadLease, 'formerReplicas' | 'formerResources'>;
/**
 * Acquires the lease of a workload, then records the workload's state. Changes of a dead holder are undone first.
 * @param read - reads the workload's state once no other job may change it
 * @throws TowerError `conflict` while another job has the lease
 */
export async function acquire(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service, holder }: Pick<WorkloadLease, 'namespace' | 'service' | 'holder'>,
  read: () => Promise<PreviousState>,
  signal?: AbortSignal,
): Promise<WorkloadLease> {
  const now = microTime(clock.now());
  const lease = await takeLease(client, clock, { namespace, service, holder }, now, signal);
  const known = formerOf(lease);
  // Undoes the changes of a dead holder.
  if (known && !(await undoChanges(client, { namespace, service, ...known }, signal)))
    throw conflict(`${service} in ${namespace} is being rolled back: not all of its pods are ready yet`);
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
    // Of two concurrent takeovers, the resource version admits one.
    const body = { ...lease, metadata: { ...lease.metadata, annotations }, spec };
    await client.call({ method: 'PUT', path: pathOf(namespace, service), body }, signal);
    return { namespace, service, holder, ...former };
  } catch (error) {
    // Nothing is changed yet; released so that others need not wait for the expiry, also after a cancellation.
    await release(client, { namespace, service, holder }).catch(() => undefined);
    throw error;
  }
}

async function takeLease(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service, holder }: Pick<WorkloadLease, 'namespace' | 'service' | 'holder'>,
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
  const current = await client.call<Lease>({ method: 'GET', path }, signal);
  const other = current.spec.holderIdentity;
  const refused = conflict(`${service} in ${namespace} is leased by another job, ${other}`, { service, holder: other });
  const action = operations.acquire[stateOf(current, holder, clock.now())];
  if (action === 'refuse') throw refused;
  if (action === 'reuse') return current;
  // Expiry compares two clocks, so it is confirmed: a living holder renews meanwhile, which changes the version.
  await clock.sleep(2 * renewalMs, signal);
  const later = await client.call<Lease>({ method: 'GET', path }, signal);
  if (later.metadata.resourceVersion !== current.metadata.resourceVersion) throw refused;
  return later;
}

function formerOf(lease: Lease): PreviousState | null {
  if (!hasFormer(lease)) return null;
  const { metadata } = lease;
  const resources = metadata.annotations?.[formerResources];
  type StoredState = Omit<FormerResources, 'pods'> &
    Partial<Pick<FormerResources, 'pods'>> & { canary?: FormerResources['pods'][number] | null };
  // Leases of earlier releases, which resized at most one pod in place.
  const { canary = null, pods = canary ? [canary] : [], ...others } = JSON.parse(resources ?? '{}') as StoredState;
  return {
    formerReplicas: Number(metadata.annotations?.[formerReplicas]),
    ...(resources === undefined ? {} : { formerResources: { ...others, pods } }),
  };
}

/** @throws TowerError `conflict` if the lease is lost */
export async function renew(
  client: KubernetesClient,
  clock: Clock,
  held: WorkloadLease,
  signal?: AbortSignal,
): Promise<void> {
  const current = await leaseOf(client, held, signal);
  if (!current || operations.renew[stateOf(current, held.holder, clock.now())] === 'lost')
    throw conflict(`this job lost the lease of ${held.service}${current ? ` to ${current.spec.holderIdentity}` : ''}`);
  const body = { ...current, spec: { ...current.spec, renewTime: microTime(clock.now()) } };
  const path = pathOf(held.namespace, held.service);
  await client.call({ method: 'PUT', path, body }, signal).catch(async (error: unknown) => {
    // A concurrent renewal of ours, or one whose answer was lost, is no loss.
    const now = error instanceof TowerError && error.code === 'conflict' ? await leaseOf(client, held, signal) : null;
    if (operations.renew[stateOf(now, held.holder, clock.now())] === 'lost') throw error;
  });
}

/** Renews leases until the signal aborts. Never throws. @param onLost - called if another job has one */
export async function keepRenewed(
  client: KubernetesClient,
  clock: Clock,
  held: readonly WorkloadLease[],
  over: AbortSignal,
  onLost: (error: TowerError) => void,
): Promise<void> {
  while (!over.aborted) {
    await clock.sleep(renewalMs, over).catch(() => undefined);
    for (const each of held) {
      if (over.aborted) return;
      await renew(client, clock, each, over).catch((error: unknown) => {
        // An unavailable API server does not mean that the lease is lost.
        if (error instanceof TowerError && error.code === 'conflict') onLost(error);
      });
    }
  }
}

async function leaseOf(
  client: KubernetesClient,
  { namespace, service }: Pick<WorkloadLease, 'namespace' | 'service'>,
  signal?: AbortSignal,
): Promise<Lease | null> {
  return client.call<Lease>({ method: 'GET', path: pathOf(namespace, service) }, signal).catch((error: unknown) => {
    if (error instanceof TowerError && error.code === 'not_found') return null;
    throw error;
  });
}

/**
 * Rolls a workload back to its former state and releases it. A deleted workload needs no rollback; one leased by
 * another job by now is left to that job.
 * @returns false while its pods are not back: it stays leased, and its autoscaler gets its shares afterwards
 * @throws TowerError `unavailable`
 */
export async function restore(client: KubernetesClient, held: WorkloadLease, signal?: AbortSignal): Promise<boolean> {
  if ((await mustUndo(client, held, signal)) && !(await undoChanges(client, held, signal))) return false;
  await release(client, held, signal);
  return true;
}

/** Restores requests and limits, and keeps the lease: an autoscaler’s shares wait for the pods. @throws TowerError `unavailable` */
export async function restoreSizes(client: KubernetesClient, held: WorkloadLease, signal?: AbortSignal): Promise<void> {
  const { namespace, service, formerResources: resources } = held;
  if (resources && (await mustUndo(client, held, signal)))
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

/** Releases a workload whose resources were restored, once its pods are back. @returns and throws as `restore` */
export async function releaseWhenSettled(
  client: KubernetesClient,
  held: WorkloadLease,
  signal?: AbortSignal,
): Promise<boolean> {
  if ((await mustUndo(client, held, signal)) && !(await restoreShares(client, held, signal))) return false;
  await release(client, held, signal);
  return true;
}

const mustUndo = async (client: KubernetesClient, held: WorkloadLease, signal?: AbortSignal): Promise<boolean> =>
  operations.restore[stateOf(await leaseOf(client, held, signal), held.holder)] === 'undo and delete';

/** @returns as `restore` */
async function undoChanges(
  client: KubernetesClient,
  left: Omit<WorkloadLease, 'holder'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const { namespace, service, formerReplicas: replicas, formerResources: resources } = left;
  if (resources) await undoSizes(client, { namespace, service, ...resources }, signal);
  // A job that changes resources does not change replicas.
  else await ignoreNotFound(scaleWorkload(client, namespace, service, replicas, signal));
  return restoreShares(client, left, signal);
}

/** Restores the autoscaler's shares once the pods are back; earlier they would refer to other requests. @returns as `restore` */
async function restoreShares(
  client: KubernetesClient,
  { namespace, service, formerResources }: Omit<WorkloadLease, 'holder'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const { scaler, kind } = formerResources ?? {};
  if (!scaler || !kind) return true;
  if (!(await isSettled(client, { namespace, service, kind }, signal))) return false;
  await setShares(client, namespace, scaler, { to: 'former', signal });
  return true;
}

/** Releases the lease without restoring. @throws TowerError `unavailable` */
export async function release(
  client: KubernetesClient,
  held: Omit<WorkloadLease, 'formerReplicas'>,
  signal?: AbortSignal,
): Promise<void> {
  const lease = await leaseOf(client, held, signal);
  if (!lease || operations.release[stateOf(lease, held.holder)] === 'nothing') return;
  const body = { preconditions: { resourceVersion: lease.metadata.resourceVersion } };
  await ignoreNotFound(client.call({ method: 'DELETE', path: pathOf(held.namespace, held.service), body }, signal));
}

const ignoreNotFound = (request: Promise<unknown>): Promise<void> =>
  request.then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof TowerError && error.code === 'not_found')) throw error;
    },
  );

/**
 * Rolls back workloads of abandoned leases.
 * @param isAbandoned - whether a holder will not continue
 * @returns the restored workloads; `waiting`: those that still wait for their pods, see `restore`
 * @throws TowerError `unavailable`
 */
export async function restoreAbandoned(
  client: KubernetesClient,
  namespace: string,
  isAbandoned: (holder: string, lease: Lease) => boolean,
  signal?: AbortSignal,
): Promise<{ restored: string[]; waiting: string[] }> {
  const query = { labelSelector: `app.kubernetes.io/managed-by=${managed}` };
  const { items } = await client.call<List<Lease>>({ method: 'GET', path: pathOf(namespace), query }, signal);
  const [restored, waiting]: [string[], string[]] = [[], []];
  const failures: unknown[] = [];
  for (const lease of items) {
    const holder = lease.spec.holderIdentity ?? '';
    if (!isAbandoned(holder, lease)) continue;
    const service = lease.metadata.name.slice(nameOf('').length);
    const former = formerOf(lease);
    const undone = former
      ? restore(client, { namespace, service, holder, ...former }, signal)
      : release(client, { namespace, service, holder }, signal).then(() => null);
    // A workload that cannot be restored does not stop the others.
    await undone.then(
      (isBack) => (isBack === null ? 0 : (isBack ? restored : waiting).push(service)),
      (error: unknown) => failures.push(error),
    );
  }
  if (failures.length > 0) throw failures[0];
  return { restored, waiting };
}
