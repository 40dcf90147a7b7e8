import { type Clock, isoTime } from '../../../src/kernel/clock.ts';
import { conflict, TowerError } from '../../../src/kernel/errors.ts';
import type { KubernetesClient } from './client.ts';
import type { Lease, List } from './objects.ts';
import { scaleWorkload } from './workloads.ts';

/**
 * Who changes a workload now, and what it was like before: one Lease per workload, in its namespace, that holds both. It is
 * there before anything is changed and goes when all is as it was, so that whoever finds it after a crash can undo what was
 * done, also without this tower's store.
 */

const managed = 'control-tower';
const formerReplicas = 'control-tower/former-replicas';
const leaseSeconds = 60;
/** So often it is said that somebody is at it. */
export const renewalMs = 15_000;

const pathOf = (namespace: string, service?: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases${service === undefined ? '' : `/${nameOf(service)}`}`;
const nameOf = (service: string): string => `control-tower-${service}`;

/** Micro-time, as Kubernetes wants it. */
const microTime = (ms: number): string => isoTime(ms)!.replace('Z', '000Z');

export type Held = { namespace: string; service: string; holder: string; formerReplicas: number };

/**
 * Takes hold of a workload, and writes down how many replicas it has. What a holder that died wrote down stays.
 * @param holder - the same again after a crash, so that it takes its own up at once
 * @throws TowerError `conflict` while somebody else is at it
 */
export async function hold(
  client: KubernetesClient,
  clock: Clock,
  { namespace, service, holder, formerReplicas: replicas }: Held,
  signal?: AbortSignal,
): Promise<Held> {
  const path = pathOf(namespace, service);
  const now = microTime(clock.now());
  const fresh: Lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: nameOf(service),
      namespace,
      labels: { 'app.kubernetes.io/managed-by': managed },
      annotations: { [formerReplicas]: String(replicas) },
    },
    spec: { holderIdentity: holder, leaseDurationSeconds: leaseSeconds, acquireTime: now, renewTime: now },
  };
  try {
    await client.call({ method: 'POST', path: pathOf(namespace), body: fresh }, signal);
    return { namespace, service, holder, formerReplicas: replicas };
  } catch (error) {
    if (!(error instanceof TowerError && error.code === 'conflict')) throw error;
  }
  const there = await client.call<Lease>({ method: 'GET', path }, signal);
  if (there.spec.holderIdentity !== holder && !isOver(there, clock.now()))
    throw conflict(`${service} in ${namespace} is under experiment by another job, ${there.spec.holderIdentity}`, {
      service,
      holder: there.spec.holderIdentity,
    });
  // Of two that take it over at once, the version lets only one.
  await client.call(
    {
      method: 'PUT',
      path,
      body: { ...there, spec: { ...there.spec, holderIdentity: holder, acquireTime: now, renewTime: now } },
    },
    signal,
  );
  return { namespace, service, holder, formerReplicas: formerOf(there) ?? replicas };
}

const formerOf = ({ metadata }: Lease): number | null => {
  const text = metadata.annotations?.[formerReplicas] ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
};

const isOver = ({ spec }: Lease, now: number): boolean => {
  const renewedMs = Date.parse(spec.renewTime ?? '');
  return Number.isNaN(renewedMs) || renewedMs + (spec.leaseDurationSeconds ?? leaseSeconds) * 1000 < now;
};

/** @throws TowerError `conflict` where somebody else holds it by now */
export async function renew(client: KubernetesClient, clock: Clock, held: Held, signal?: AbortSignal): Promise<void> {
  const path = pathOf(held.namespace, held.service);
  const there = await client.call<Lease>({ method: 'GET', path }, signal);
  if (there.spec.holderIdentity !== held.holder)
    throw conflict(`${held.service} is under experiment by another job by now, ${there.spec.holderIdentity}`);
  const body = { ...there, spec: { ...there.spec, renewTime: microTime(clock.now()) } };
  await client.call({ method: 'PUT', path, body }, signal);
}

/** Gives a workload its former replicas, and lets go of it. One that is gone needs nothing. @throws TowerError `unavailable` */
export async function restore(
  client: KubernetesClient,
  held: Omit<Held, 'holder'>,
  signal?: AbortSignal,
): Promise<void> {
  await unlessGone(scaleWorkload(client, held.namespace, held.service, held.formerReplicas, signal));
  await unlessGone(client.call({ method: 'DELETE', path: pathOf(held.namespace, held.service) }, signal));
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
 * @param isLeft - whether a holder will not go on by itself; `isOver`: it has not been heard of for too long
 * @returns the workloads that have their replicas back
 * @throws TowerError `unavailable`
 */
export async function restoreLeft(
  client: KubernetesClient,
  clock: Clock,
  namespace: string,
  isLeft: (holder: string, isOver: boolean) => boolean,
  signal?: AbortSignal,
): Promise<string[]> {
  const query = { labelSelector: `app.kubernetes.io/managed-by=${managed}` };
  const { items } = await client.call<List<Lease>>({ method: 'GET', path: pathOf(namespace), query }, signal);
  const restored: string[] = [];
  for (const lease of items) {
    const former = formerOf(lease);
    if (former === null || !isLeft(lease.spec.holderIdentity ?? '', isOver(lease, clock.now()))) continue;
    const service = lease.metadata.name.slice(nameOf('').length);
    await restore(client, { namespace, service, formerReplicas: former }, signal);
    restored.push(service);
  }
  return restored;
}
