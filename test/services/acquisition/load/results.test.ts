import { describe, expect, it } from 'vitest';
import { createEvaluation } from '#services/acquisition/load/results.ts';

describe('the evaluation of a load test', () => {
  it('needs no more memory for more samples, labels or errors', () => {
    const evaluation = createEvaluation();
    const add = (count: number, from: number) => {
      for (let i = from; i < from + count; i += 1)
        evaluation.add({ startMs: i, elapsedMs: i % 977, label: `l${i % 5_000}`, ok: i % 2 === 0, error: `e${i}` });
    };
    add(20_000, 0);
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    add(500_000, 20_000);
    expect(process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before).toBeLessThan(150e6);
    const { total_requests, failed_requests, requests } = evaluation.result();
    expect([total_requests, failed_requests]).toEqual([520_000, 260_000]);
    expect(Object.keys(requests)).toHaveLength(201);
    expect(Object.values(requests).reduce((sum, { total }) => sum + total, 0)).toBe(520_000);
    expect(Math.max(...Object.values(requests).map(({ failures }) => Object.keys(failures).length))).toBe(101);
  });
});
