import { describe, expect, it } from 'vitest';
import { leaseSeconds, operations, stateOf } from '#services/acquisition/kubernetes/lease-states.ts';
import type { Lease } from '#services/acquisition/kubernetes/objects.ts';

const now = Date.UTC(2026, 10, 20);
const lease = (holderIdentity: string, renewedMs: number) =>
  ({ spec: { holderIdentity, renewTime: new Date(renewedMs).toISOString() } }) as Lease;

describe('stateOf', () => {
  it('tells whose a lease is, what it holds, and whether it expired', () => {
    expect(stateOf(null, 'a', false, now)).toBe('free');
    expect(stateOf(lease('a', now), 'a', false, now)).toBe('acquired');
    expect(stateOf(lease('a', now), 'a', true, now)).toBe('recorded');
    // One's own lease does not expire for oneself.
    expect(stateOf(lease('a', now - 1e9), 'a', true, now)).toBe('recorded');
    expect(stateOf(lease('b', now - leaseSeconds * 1000), 'a', true, now)).toBe('taken');
    expect(stateOf(lease('b', now - leaseSeconds * 1000 - 1), 'a', true, now)).toBe('expired');
    expect(stateOf({ spec: {} } as Lease, 'a', false, now)).toBe('expired');
  });
});

describe('operations', () => {
  it('change nothing of a lease that another job holds, but take over one that expired', () => {
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
