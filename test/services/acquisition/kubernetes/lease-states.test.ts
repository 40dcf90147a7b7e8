import { describe, expect, it } from 'vitest';
import { leaseSeconds, operations, stateOf } from '#services/acquisition/kubernetes/lease-states.ts';
import type { Lease } from '#services/acquisition/kubernetes/objects.ts';

const now = Date.UTC(2026, 10, 20);
const lease = (holderIdentity: string, renewedMs: number, annotations: Record<string, string> = {}) =>
  ({ metadata: { annotations }, spec: { holderIdentity, renewTime: new Date(renewedMs).toISOString() } }) as Lease;
const former = { 'control-tower/former-replicas': '3' };

describe('stateOf', () => {
  it('returns the state by holder, annotations and renewal time', () => {
    expect(stateOf(null, 'a', now)).toBe('free');
    expect(stateOf(lease('a', now), 'a', now)).toBe('acquired');
    expect(stateOf(lease('a', now, former), 'a', now)).toBe('recorded');
    // Unreadable resources neither prevent a holder from renewing nor another job from being refused.
    const damaged = { ...former, 'control-tower/former-resources': '{' };
    expect(stateOf(lease('b', now, damaged), 'a', now)).toBe('taken');
    // A lease does not expire for its own holder.
    expect(stateOf(lease('a', now - 1e9, former), 'a', now)).toBe('recorded');
    expect(stateOf(lease('b', now - leaseSeconds * 1000, former), 'a', now)).toBe('taken');
    expect(stateOf(lease('b', now - leaseSeconds * 1000 - 1, former), 'a', now)).toBe('expired');
    expect(stateOf({ metadata: {}, spec: {} } as Lease, 'a', now)).toBe('expired');
  });
});

describe('operations', () => {
  it("change nothing of another job's lease, but take over an expired one", () => {
    for (const state of ['taken', 'expired'] as const) {
      expect([operations.renew[state], operations.restore[state], operations.release[state]]).toEqual([
        'lost',
        'nothing',
        'nothing',
      ]);
    }
    expect([operations.acquire.taken, operations.acquire.expired]).toEqual(['refuse', 'take over']);
  });
});
