import { conflict } from '../../src/kernel/errors.ts';
import { mean } from '../../src/kernel/stats.ts';
import type { Cluster, PodState } from '../acquisition/cluster.ts';
import type { Found, Sized } from './apply-changes.ts';
import type { Scaling } from './apply-schemas.ts';
import { movedShare } from './scaling.ts';

/** What becomes of an autoscaler’s targets when what they are shares of is changed. */

export type Held = Parameters<Cluster['setShares']>[1];
type Resource = Held['shares'][number]['resource'];

/**
 * Null where nothing it scales by changes.
 * @param pods - those there are
 * @param isInPlace - pods that are made meanwhile ask for what the template says, so that a share would be of neither
 * @throws TowerError `conflict` where somebody else keeps the targets, or they are shares of nothing
 */
export function heldShares(
  amountOf: Cluster['amountOf'],
  { scaler, containers }: Found,
  sized: Sized,
  pods: readonly Pick<PodState, 'containers' | 'sidecars'>[],
  isInPlace: boolean,
): Held | null {
  if (!scaler) return null;
  const { name, keptBy } = scaler;
  const perPod = (pods.length > 0 ? pods : [{ containers, sidecars: [] }]).map((pod) => [
    ...pod.containers,
    ...pod.sidecars,
  ]);
  const shares = scaler.shares.flatMap((share): Held['shares'] => {
    const { resource, container, percent } = share;
    const toBe = new Map(sized.map((each) => [each.name, each.resources.requests?.[resource]]));
    const sum = (all: Sized, after: boolean) =>
      all.reduce((total, each) => {
        if (container !== null && each.name !== container) return total;
        const amount = amountOf((after ? toBe.get(each.name) : undefined) ?? each.resources.requests?.[resource]);
        if (amount === null)
          throw conflict(
            `the autoscaler ${name} scales by ${resource} in per cent of the request, and ${each.name} requests none: it cannot work as it is, so nothing can be moved with it`,
            { hpa: name },
          );
        return total + amount;
      }, 0);
    const isMoved = sized.some((each) => toBe.get(each.name) !== undefined && (container ?? each.name) === each.name);
    if (!isMoved) return [];
    const [before, after] = [false, true].map((isAfter) => mean(perPod.map((all) => sum(all, isAfter)))) as [
      number,
      number,
    ];
    if (before === after || before === 0 || after === 0) return [];
    const { moved } = movedShare(percent / 100, before, after);
    const next = isInPlace
      ? { amount: quantity(resource, moved * after) }
      : { percent: Math.max(1, Math.round(100 * moved)) };
    return [{ ...share, held: quantity(resource, (percent / 100) * before), next }];
  });
  if (shares.length > 0 && keptBy !== null)
    throw conflict(
      `the autoscaler ${name} scales by ${shares[0]!.resource} in per cent of the request, and ${keptBy} keeps it as it is: set both there, from the outputs of the recommendation`,
      { hpa: name },
    );
  return shares.length > 0 ? { name, shares } : null;
}

/** Whole, as autoscalers count: millicores, bytes. */
const quantity = (resource: Resource, amount: number): string =>
  resource === 'cpu' ? `${Math.max(1, Math.round(1000 * amount))}m` : String(Math.max(1, Math.round(amount)));

const targetText = (target: Held['shares'][number]['next']): string =>
  'percent' in target ? `${target.percent}%` : target.amount;

export const shownScaling = (held: Held | null): Scaling =>
  held && {
    name: held.name,
    targets: held.shares.map(({ resource, container, percent, held: meanwhile, next }) => ({
      resource,
      container,
      from: `${percent}%`,
      meanwhile,
      to: targetText(next),
    })),
  };

/** For people: what it scales by, once targets are held or set. */
export const scalingText = ({ name, shares }: Held, to: 'held' | 'next'): string =>
  `the autoscaler ${name} scales at ${shares
    .map(({ resource, percent, held, next }) =>
      to === 'held'
        ? `${held} of ${resource} a pod meanwhile, which is its ${percent} %`
        : `${targetText(next)} of ${resource}${'percent' in next ? ' requested' : ' a pod'}`,
    )
    .join(', and at ')}`;
