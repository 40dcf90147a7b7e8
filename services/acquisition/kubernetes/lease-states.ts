import type { Lease } from './objects.ts';

/**
 * The life of a Lease on a workload, as one table.
 *
 *   free ──acquire──▶ acquired ──record──▶ recorded ──(the workload is changed)──▶ recorded
 *     ▲                  │                    │  ▲                                    │
 *     └──────release─────┴──────release───────┘  └──take over── expired ◀─not renewed─┘
 *                                        restore: undo what was changed, then release
 *
 * `acquired`: nothing was changed yet. `recorded`: the Lease holds what the workload was like before; it may have been changed.
 * `expired`: another job's, not renewed in time. `taken`: another job's, renewed in time.
 *
 * A takeover undoes the changes first; until all pods are back, the Lease stays with its former holder, and `acquire` fails.
 */
export type LeaseState = 'free' | 'acquired' | 'recorded' | 'expired' | 'taken';

/** Action of each operation in each state. */
export const operations = {
  /** An expired Lease of another job is taken over after a second read confirms that it is not renewed. */
  acquire: { free: 'create', acquired: 'reuse', recorded: 'reuse', expired: 'take over', taken: 'refuse' },
  renew: { free: 'lost', acquired: 'update', recorded: 'update', expired: 'lost', taken: 'lost' },
  /** A Lease acquired by another job meanwhile is left alone: that job has undone the changes already. */
  restore: { free: 'nothing', acquired: 'delete', recorded: 'undo and delete', expired: 'nothing', taken: 'nothing' },
  release: { free: 'nothing', acquired: 'delete', recorded: 'delete', expired: 'nothing', taken: 'nothing' },
} as const satisfies Record<string, Record<LeaseState, string>>;

export const leaseSeconds = 60;

/** Annotation of a Lease: replicas before the change. */
export const formerReplicas = 'control-tower/former-replicas';

export const hasFormer = ({ metadata }: Lease): boolean =>
  /^\d{1,9}$/.test(metadata.annotations?.[formerReplicas] ?? '');

/** @param now - not needed for `restore` and `release`, to which `expired` and `taken` are the same */
export function stateOf(lease: Lease | null, holder: string, now = 0): LeaseState {
  if (!lease) return 'free';
  if (lease.spec.holderIdentity === holder) return hasFormer(lease) ? 'recorded' : 'acquired';
  return isExpired(lease, now) ? 'expired' : 'taken';
}

const isExpired = ({ spec }: Lease, now: number): boolean => {
  const renewedMs = Date.parse(spec.renewTime ?? '');
  return Number.isNaN(renewedMs) || renewedMs + (spec.leaseDurationSeconds ?? leaseSeconds) * 1000 < now;
};
