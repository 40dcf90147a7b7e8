import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { WorkloadState } from '#services/acquisition/prometheus/workload-state.ts';
import { outputsOf } from '#services/rightsizing/recommend/outputs.ts';
import { hpaOf, scalerPatch, unsetTargets } from '#services/rightsizing/recommend/scaling.ts';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';

describe('the target of an autoscaler', () => {
  const moved = (target: number, before: number, after: number) => {
    const containers = { web: { cpuRequest: before }, proxy: { cpuRequest: 0.1 } };
    const metrics = [{ metric: 'cpu', type: 'utilization', target }];
    const state = { hpa: { name: 'web', metrics }, containers } as unknown as WorkloadState;
    const sized = [
      { container: 'web', sidecar: false, cpu: { request: after } },
      { container: 'proxy', sidecar: true, cpu: { request: 0.7 } },
    ] as unknown as SizeAnswer['containers'];
    return hpaOf(state, 'cpu', sized)!;
  };

  it.each([
    ['the same load, what is injected apart', 0.6, 0.5, 0.4, 0.72],
    ['90 % at most', 0.6, 0.5, 0.1, 0.9],
    ['50 % at least', 0.6, 0.5, 2, 0.5],
    ['no higher where it was lower and has to fall', 0.4, 0.5, 0.6, 0.4],
    ['no lower where it was higher and has to rise', 0.95, 0.5, 0.4, 0.95],
  ])('is %s', (_, target, before, after, expected) => {
    expect(moved(target, before, after).recommended_target_utilization).toBeCloseTo(expected, 9);
  });

  it('reports the load at which it scales if that changes', () => {
    expect(moved(0.6, 0.5, 0.1).explanation).toBe(
      'scales at 0.36 cores per pod, which is 180 % of the recommended requests; kept within 50 and 90 %, so it will scale at 0.18',
    );
  });

  it('is part of the outputs, with all other metrics of the autoscaler', () => {
    const cpu = (averageUtilization: number) => ({
      type: 'Resource',
      resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
    });
    const queue = { type: 'External', external: { metric: { name: 'queue' }, target: { type: 'Value', value: '30' } } };
    const written = { metadata: { name: 'web' }, spec: { metrics: [queue, cpu(60)] }, managedBy: null };
    const hpa = moved(0.6, 0.5, 0.4);
    const scaler = scalerPatch(written, { cpu: hpa, memory: null });
    expect(scaler).toEqual({ name: 'web', metrics: [queue, cpu(72)] });
    const sizes = { container: 'web', cpuCores: 0.4, memoryBytes: null, cpuLimitCores: null };
    const target = { namespace: 'shop', service: 'web', kind: 'Deployment' as const };
    const { kubectl, kustomize } = outputsOf(target, [sizes], { replicas: null, scaler });
    expect(kubectl.split('\n')).toEqual([
      `kubectl patch deployment web -n shop --type strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"400m"}}}]}}}}'`,
      `kubectl patch hpa web -n shop --type merge -p '${JSON.stringify({ spec: { metrics: [queue, cpu(72)] } })}'`,
    ]);
    expect(parseAllDocuments(kustomize).map((each) => (each.toJS() as { kind: string }).kind)).toEqual([
      'Deployment',
      'HorizontalPodAutoscaler',
    ]);
    // Metric names are user input, and must not be executed.
    const evil = { name: 'web', metrics: [{ type: 'External', external: { metric: { name: "q'; echo no; '" } } }] };
    const line = outputsOf(target, [sizes], { replicas: null, scaler: evil }).kubectl.split('\n')[1]!;
    const [, word = ''] = /-p ('.*')$/.exec(line) ?? [];
    expect(JSON.parse(execFileSync('/bin/sh', ['-c', `printf %s ${word}`], { encoding: 'utf8' }))).toEqual({
      spec: { metrics: evil.metrics },
    });
    // Unchanged, or a different target: nothing to set.
    expect(scalerPatch({ ...written, spec: { metrics: [cpu(72)] } }, { cpu: hpa, memory: null })).toBeNull();
    expect(scalerPatch({ ...written, metadata: { name: 'other' } }, { cpu: hpa, memory: null })).toBeNull();
    expect(scalerPatch(null, { cpu: hpa, memory: null })).toBeNull();
    // Targets that the outputs do not set are reported.
    const unset = (scaler: Parameters<typeof scalerPatch>[0]) => {
      const targets = { cpu: hpa, memory: null };
      return unsetTargets(scalerPatch(scaler, targets), scaler, targets);
    };
    expect([unset(written), unset(null), unset({ ...written, managedBy: 'the ScaledObject web' })]).toEqual([
      [],
      [
        'set the target of the autoscaler web to 72 % of cpu together with the requests: its metrics are not fully known, so the outputs do not set it',
      ],
      [
        'set the target of the autoscaler web to 72 % of cpu together with the requests: the ScaledObject web manages it, so the outputs do not set it',
      ],
    ]);
  });
});
