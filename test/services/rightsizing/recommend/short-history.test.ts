import { describe, expect, it } from 'vitest';
import { normal, seededRandom } from '#kernel/rng.ts';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import { type AdviseTask, advise } from '#services/rightsizing/recommend/advise.ts';
import { sizeReplicas } from '#services/rightsizing/recommend/scaling.ts';
import type { SizeAnswer, SizeRequest } from '#services/rightsizing/schemas.ts';

const [step, day] = [300_000, 86_400_000];
const advised = (days: number, at: (i: number) => number, resource: AdviseTask['resource'] = 'cpu') => {
  // The requested history is longer than what is there.
  const values = new Float64Array((14 * day) / step).fill(Number.NaN);
  const count = Math.round((days * day) / step);
  for (let i = 0; i < count; i += 1) values[values.length - count + i] = at(i);
  const pods = [{ startMs: 0, stepMs: step, values, first: values.length - count }];
  const task: AdviseTask = {
    resource,
    pods,
    together: false,
    horizonMs: day,
    violation: 0.05,
    least: 0.001,
    startupMs: 0,
    strategies: ['tower'],
  };
  const {
    advised: [own],
    peak,
  } = advise(task);
  return { ...own!, peak: peak! };
};

describe('a recommendation from a short history', () => {
  /** A daily cycle with a peak of about 0.34 cores, at any hour of the day. */
  const cycle = (phase: number, seed: number) => {
    const random = seededRandom(seed);
    return (i: number) => 0.2 + 0.12 * Math.sin(2 * Math.PI * ((i * step) / day + phase)) + 0.005 * normal(random);
  };

  it.each([1, 1.5, 2, 3, 5])('of %d days is at most 1.25 times the highest sample, and above the usual one', (days) => {
    for (let hour = 0; hour < 24; hour += 3) {
      const { request, peak, confidence } = advised(days, cycle(hour / 24, hour + 1));
      // Half a cycle may rise; a whole one does not.
      if (days >= 2) expect(request! / peak).toBeLessThanOrEqual(1.2501);
      expect(request! / peak).toBeGreaterThan(0.85);
      expect(confidence).toBeLessThan(0.95);
    }
  });

  it('is higher if usage rises', () => {
    const { request, peak, isLimited } = advised(3, (i) => 100e6 * (1 + i / 100), 'memory');
    expect(isLimited).toBe(false);
    expect(request! / peak).toBeGreaterThan(1);
  });
});

describe('replicas', () => {
  const replicas = (current: number | null, demand: number, perPod: number) => {
    const request = { kind: 'Deployment', target_utilization: 1, min_replicas: 1 } as SizeRequest;
    const containers = [{ cpu: { request: perPod } }] as SizeAnswer['containers'];
    return sizeReplicas(request, { replicas: current, hpa: null } as WorkloadState, demand, containers, null)!
      .recommended;
  };

  it.each([
    [1, 0.27, 0.26, 1],
    [1, 0.24, 0.26, 1],
    [4, 1.1, 0.26, 4],
    [4, 0.95, 0.26, 4],
    [4, 1.6, 0.26, 7],
    [4, 0.3, 0.26, 2],
    [0, 0.3, 0.26, 0],
    [null, 0.6, 0.26, 3],
  ])('of %j with a demand of %d, %d each, are %d', (current, demand, perPod, expected) => {
    expect(replicas(current, demand, perPod)).toBe(expected);
  });
});
