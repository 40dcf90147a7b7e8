import { describe, expect, it } from 'vitest';
import { cpuQuantity, memoryQuantity } from '#services/rightsizing/recommend/outputs.ts';
import { krrSimple, krrSimpleLimit } from '#services/rightsizing/strategies/krr.ts';
import {
  autopilot,
  castAi,
  crane,
  kruizeCost,
  kruizeMemory,
  kruizePerformance,
  peak,
} from '#services/rightsizing/strategies/others.ts';
import { mebibyte } from '#services/rightsizing/strategies/strategy.ts';
import { createVpaHistogram, histogramFor, vpa } from '#services/rightsizing/strategies/vpa.ts';
import { day, type Usage } from '#services/rightsizing/usage.ts';

const stepMs = 300_000;
const perDay = day / stepMs;
const series = (days: number, value: (i: number) => number): Usage => ({
  startMs: Date.UTC(2026, 0, 1),
  stepMs,
  values: Float64Array.from({ length: days * perDay }, (_, i) => value(i)),
});
const constant = (value: number, days = 14): Usage => series(days, () => value);

describe('the VPA strategy', () => {
  it('has the same buckets', () => {
    expect(histogramFor('cpu').buckets).toBe(176);
    expect(histogramFor('memory').buckets).toBe(176);
    const small = createVpaHistogram(500, 40, 1.5);
    expect(Array.from({ length: small.buckets }, (_, i) => small.startOf(i))).toEqual([0, 40, 100, 190, 325, 527.5]);
    expect([39.99, 40, 100, 900].map(small.find)).toEqual([0, 1, 2, 5]);
    expect(histogramFor('cpu').find(0.5)).toBe(25);
    expect(histogramFor('cpu').startOf(26)).toBeCloseTo(0.511135, 6);
  });

  it('gives the same requests for constant usage, without floors', () => {
    expect(vpa.request('cpu', [constant(0.005)])).toBeCloseTo(0.0115, 10);
    expect(vpa.request('cpu', [constant(0.5)])).toBeCloseTo(0.587805, 6);
    expect(vpa.request('memory', [constant(100 * mebibyte)])! / mebibyte).toBeCloseTo(120.931, 3);
    expect(vpa.floors).toEqual({ cpu: 0.025, memory: 250 * mebibyte });
  });

  it('halves the weight of a sample each day', () => {
    const dropped = series(2, (i) => (i < perDay ? 1 : 0.1));
    // One third of the weight is at 1: the 90th percentile is still the old one; four days later it is not.
    expect(vpa.request('cpu', [dropped])!).toBeGreaterThan(1);
    expect(vpa.request('cpu', [series(6, (i) => (i < perDay ? 1 : 0.1))])!).toBeLessThan(0.15);
  });

  it('counts one memory peak per day', () => {
    const spiky = series(8, (i) => (i === 5 * perDay + 7 ? 1000 : 100) * mebibyte);
    const spike = vpa.request('memory', [spiky])! / mebibyte;
    expect(spike).toBeGreaterThan(1000);
    expect(spike).toBeLessThan(1000 * 1.15 * 1.06);
  });
});

describe('the KRR strategies', () => {
  it('use the maximum of the pods, or all together', () => {
    const [quiet, busy] = [constant(0.1), series(14, (i) => (i % 100) / 100)];
    expect(krrSimple.request('cpu', [quiet, busy])).toBeCloseTo(0.94, 1);
    expect(krrSimpleLimit.request('cpu', [quiet, busy])).toBeLessThan(0.4);
    expect(krrSimple.request('memory', [constant(100), constant(200)])).toBeCloseTo(230, 9);
  });

  it('require a hundred samples, and use 14 days', () => {
    const short = { ...constant(0.1), values: new Float64Array(99).fill(0.1) };
    expect(krrSimple.request('cpu', [short])).toBeNull();
    expect(krrSimpleLimit.request('memory', [short])).toBeNull();
    expect(krrSimple.request('memory', [series(20, (i) => (i < perDay ? 500 : 100))])).toBeCloseTo(115, 9);
    expect(krrSimple.floors).toEqual({ cpu: 0.01, memory: 100 * mebibyte });
  });

  it('are rounded up to millicores and mebibytes as in KRR', () => {
    const krr = (value: number, resource: 'cpu' | 'memory') => krrSimple.request(resource, [constant(value)])!;
    expect(cpuQuantity(krr(0.0121, 'cpu'))).toBe('13m');
    expect(cpuQuantity(krr(0.013, 'cpu'))).toBe('13m');
    // 100.5 MiB + 15 % are 115.575.
    expect(memoryQuantity(krr(100.5 * mebibyte, 'memory'))).toBe('116Mi');
    expect(memoryQuantity(krr(200 * mebibyte, 'memory'))).toBe('230Mi');
  });
});

describe('other strategies', () => {
  it('crane has buckets of 0.1 core', () => {
    expect(crane.request('cpu', [constant(0.003)])).toBeCloseTo(0.115, 9);
    expect(crane.request('memory', [constant(10 * mebibyte)])! / mebibyte).toBeCloseTo(115, 9);
    // 1 % of the samples at ten times the value has 10 % of the weight, so the 99th percentile is there.
    expect(crane.request('cpu', [series(7, (i) => (i % 100 === 0 ? 1.05 : 0.1))])).toBeCloseTo(1.1 * 1.15, 9);
  });

  it('Kruize uses the peak below one core, a percentile above', () => {
    expect(kruizeCost.request('cpu', [series(7, (i) => (i === 9 ? 0.9 : 0.1))])).toBe(0.9);
    const above = series(7, (i) => 1 + Math.floor(i / 3) / 1000);
    expect(kruizeCost.request('cpu', [above])!).toBeLessThan(kruizePerformance.request('cpu', [above])!);
    expect(kruizeMemory(100, 10)).toBeCloseTo(110.5, 9);
    expect(kruizeMemory(100, 50)).toBe(120);
  });

  it("Cast AI averages the pods' percentiles; Autopilot decays", () => {
    expect(castAi.request('cpu', [constant(0.1), constant(0.3)])).toBeCloseTo(0.2, 9);
    expect(castAi.request('memory', [constant(100), constant(300)])).toBeCloseTo(330, 9);
    expect(autopilot.request('cpu', [constant(0.2)])).toBeCloseTo(0.22, 9);
    expect(autopilot.request('cpu', [series(14, (i) => (i < 11 * perDay ? 1 : 0.1))])).toBeCloseTo(0.11, 9);
    expect(peak.request('cpu', [series(14, (i) => (i < 6 * perDay ? 1 : 0.1))])).toBe(0.1);
  });

  it('return nothing without data', () => {
    const nothing = constant(Number.NaN);
    for (const strategy of [
      krrSimple,
      krrSimpleLimit,
      vpa,
      crane,
      kruizeCost,
      kruizePerformance,
      castAi,
      autopilot,
      peak,
    ])
      for (const resource of ['cpu', 'memory'] as const)
        expect([strategy.name, strategy.request(resource, [nothing])]).toEqual([strategy.name, null]);
  });
});
