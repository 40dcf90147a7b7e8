import { describe, expect, it } from 'vitest';
import type { Signals } from '#services/acquisition/kubernetes/cluster.ts';
import { isSameAmount } from '#services/acquisition/kubernetes/objects.ts';
import { changesOf, worseThan } from '#services/rightsizing/apply/apply-changes.ts';
import { answer, former, quiet, request } from '../../../support/apply-world.ts';

describe('what would be applied', () => {
  const found = {
    kind: 'Deployment' as const,
    selector: 'app=web',
    replicas: 2,
    containers: [{ name: 'server', resources: former }],
    scaler: null,
    rolledOut: true,
  };
  it.each([
    [{ status: 'abstained', reason: 'too little is known' }, {}, 'nothing is recommended: too little is known'],
    [
      { hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } },
      {},
      'Prometheus knows the autoscaler web of it, and the cluster none: if that was not changed just now',
    ],
    [{ capacity: { replicas: 5 } }, {}, 'the size is for 5 replicas, and there are 2: scale it first'],
    [{ containers: [] }, {}, 'there is nothing to change: it has what is recommended'],
  ])('is refused with its reason: %j', (change, more, text) => {
    expect(() => changesOf(answer(change), found, { ...request, ...more }, isSameAmount)).toThrow(text);
  });

  it('may be of memory alone, whatever scales by CPU', () => {
    const scaled = answer({ hpa: { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.75 } });
    const { sized } = changesOf(scaled, found, { ...request, resources: ['memory'] }, isSameAmount);
    expect(sized).toEqual([
      { name: 'server', resources: { requests: { memory: '90Mi' }, limits: { memory: '90Mi' } } },
    ]);
  });

  it('is judged by what is measured, not by what is unknown', () => {
    const unknown: Signals = { throttled: null, errors: null, latencyMs: null, throttledOf: {} };
    expect([
      worseThan(quiet, unknown),
      worseThan(unknown, { ...quiet, throttled: 1 }),
      worseThan(quiet, { ...quiet, latencyMs: 100 }),
    ]).toEqual([null, null, null]);
  });
});
