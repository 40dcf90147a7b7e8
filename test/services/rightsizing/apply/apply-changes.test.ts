import { describe, expect, it } from 'vitest';
import type { Signals } from '#services/acquisition/kubernetes/cluster.ts';
import { isSameAmount } from '#services/acquisition/kubernetes/objects.ts';
import { changesOf, degradation } from '#services/rightsizing/apply/apply-changes.ts';
import { answer, former, quiet, request } from '../../../support/apply-world.ts';

describe('changesOf', () => {
  const found = {
    kind: 'Deployment' as const,
    selector: 'app=web',
    replicas: 2,
    containers: [{ name: 'server', resources: former }],
    scaler: null,
    rolledOut: true,
  };
  it.each([
    [{ status: 'abstained', reason: 'too little is known' }, {}, 'no recommendation: too little is known'],
    [
      { hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } },
      {},
      'Prometheus reports the autoscaler web for the workload, the cluster has none',
    ],
    [{ capacity: { replicas: 5 } }, {}, 'the recommendation is for 5 replicas, but there are 2: scale first'],
    [{ containers: [] }, {}, 'nothing to change: requests and limits are as recommended'],
  ])('refuses with a reason: %j', (change, more, text) => {
    expect(() => changesOf(answer(change), found, { ...request, ...more }, isSameAmount)).toThrow(text);
  });

  it('returns memory only, if an autoscaler scales by CPU', () => {
    const scaled = answer({ hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } });
    const { sized } = changesOf(scaled, found, { ...request, resources: ['memory'] }, isSameAmount);
    expect(sized).toEqual([
      { name: 'server', resources: { requests: { memory: '90Mi' }, limits: { memory: '90Mi' } } },
    ]);
  });

  it('compares measured signals only', () => {
    const unknown: Signals = { throttled: null, errors: null, latencyMs: null, throttledOf: {} };
    expect([
      degradation(quiet, unknown),
      degradation(unknown, { ...quiet, throttled: 1 }),
      degradation(quiet, { ...quiet, latencyMs: 100 }),
    ]).toEqual([null, null, null]);
  });
});
