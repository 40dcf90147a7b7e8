import { conflict } from '#kernel/errors.ts';
import type { Cluster, PodState } from '#services/acquisition/kubernetes/cluster.ts';
import { movedShare } from '../recommend/scaling.ts';
import type { Scaling } from './apply-schemas.ts';
import type { Found, Sized } from './apply-target.ts';

/** Autoscaler targets that are a percentage of the changed requests. */

type HeldShare = Parameters<Cluster['setShares']>[1]['shares'][number];
/** `actsAt`: usage per pod at which it scales after the change. */
export type MovedShares = { name: string; shares: (HeldShare & { actsAt: string })[] };

/**
 * Null if the autoscaler has no target that changes.
 * @param pods - current pods
 * @param isInPlace - new pods get the template's requests, so a percentage would be ambiguous
 * @throws TowerError `conflict` if another controller owns the targets, or the current requests are unknown
 */
export function movedShares(
  amountOf: Cluster['amountOf'],
  { scaler, containers, rolledOut }: Found,
  sized: Sized,
  pods: readonly Pick<PodState, 'containers' | 'sidecars' | 'requests'>[],
  isInPlace: boolean,
): MovedShares | null {
  if (!scaler) return null;
  const { name, managedBy } = scaler;
  const refused = (why: string) => conflict(`the autoscaler ${name} scales by ${why}`, { hpa: name });
  const perPod = pods.length > 0 ? pods.map((pod) => [...pod.containers, ...pod.sidecars]) : [containers];
  const shares = scaler.shares.flatMap(({ isDuplicate, ...share }): MovedShares['shares'] => {
    const { resource, container, percent } = share;
    // For a pod with pod-level resources, utilisation refers to those.
    if (container === null && pods.some(({ requests }) => requests?.[resource] !== undefined)) return [];
    const toBe = new Map(sized.map((each) => [each.name, amountOf(each.resources.requests?.[resource])]));
    const counted = perPod.flatMap((all) => all.filter((each) => container === null || each.name === container));
    const amounts = counted.map((each) => {
      const now = amountOf(each.resources.requests?.[resource]);
      return { name: each.name, now, after: toBe.get(each.name) ?? now };
    });
    if (amounts.every(({ now, after }) => now === after)) return [];
    const lacking = amounts.find(({ now }) => now === null);
    if (lacking)
      throw refused(
        `${resource} in per cent of requests, but container ${lacking.name} has no ${resource} request: set one, or remove the target`,
      );
    if (isDuplicate) throw refused(`${resource} twice: remove one of the two targets`);
    const perOne = (of: (each: (typeof amounts)[number]) => number | null) =>
      amounts.reduce((sum, each) => sum + of(each)!, 0) / perPod.length;
    const [before, after] = [perOne(({ now }) => now), perOne((each) => each.after)];
    const held = quantityOf(resource, (percent / 100) * before);
    if (isInPlace) return [{ ...share, held, next: null, actsAt: held }];
    const next = Math.max(1, Math.round(100 * movedShare(percent / 100, before, after).moved));
    return [{ ...share, held, next, actsAt: quantityOf(resource, (next / 100) * after) }];
  });
  if (shares.length === 0) return null;
  if (managedBy !== null)
    throw refused(
      `${shares.map((each) => `${each.percent} % of ${each.resource} requests`).join(' and ')}, and ${managedBy} manages it: set ${shares.map(nextText).join(' and ')} there, together with the requests`,
    );
  if (!rolledOut) throw refused('per cent of requests, and its pods are being replaced: apply after the rollout');
  return { name, shares };
}

/** Integers, as autoscalers compute: millicores, bytes. */
const quantityOf = (resource: HeldShare['resource'], amount: number): string =>
  resource === 'cpu' ? `${Math.max(1, Math.round(1000 * amount))}m` : String(Math.max(1, Math.round(amount)));

const nextText = ({ held, next }: HeldShare): string => (next === null ? held : `${next} %`);

export const shownScaling = (moved: MovedShares | null): Scaling =>
  moved && {
    name: moved.name,
    targets: moved.shares.map(({ resource, container, percent, held, next, actsAt }) => ({
      resource,
      container,
      from: `${percent}%`,
      meanwhile: held,
      to: next === null ? held : `${next}%`,
      acts_at: actsAt,
    })),
  };

/** Text of the usage at which it scales, during or after the change. */
export const scalingText = ({ name, shares }: MovedShares, to: 'held' | 'next'): string =>
  `the autoscaler ${name} scales at ${shares
    .map(({ resource, percent, held, next, actsAt }) =>
      to === 'held'
        ? `${held} of ${resource} per pod during the change, the same as ${percent} %`
        : `${next} % of ${resource} requests, ${actsAt} per pod`,
    )
    .join(' and at ')}`;

/** Note if the load at which it scales changes: a percentage is kept between the safe minimum and maximum. */
export const scalingNotes = (moved: MovedShares | null): string[] =>
  (moved?.shares ?? [])
    .filter(({ percent, next, held, actsAt }) => next !== null && held !== actsAt && percent !== next)
    .map(
      ({ resource, held, next, actsAt }) =>
        `the autoscaler ${moved!.name} will scale at ${actsAt} of ${resource} per pod instead of ${held}: ${next} % of requests is the nearest target within 50 and 90 %`,
    );
