import { describe, expect, it } from 'vitest';
import type { Sampled } from '../../../support/cluster-series.ts';
import { now, stepMs, towerOver, withoutHpa } from '../../../support/sized-tower.ts';

/** Malformed histories: a valid answer, or a reason why there is none. */

const history = { history_days: 4, startup_seconds: 1500 };
const ofWeb = (each: Sampled) => each.labels['container'] === 'web' && each.name.startsWith('container_');
const isCounter = (each: Sampled) => ofWeb(each) && each.name.endsWith('_total');
/** Replaces the samples of the selected series. */
const changed = (which: (each: Sampled) => boolean, samples: (each: Sampled) => Sampled['samples']): Sampled[] =>
  withoutHpa.map((each) => (which(each) ? { ...each, samples: samples(each) } : each));
const webOf = async (series: Sampled[], aheadMs = 0) => {
  const answer = await (await towerOver(series, {}, aheadMs)).recommend('web', history);
  return { answer, web: answer.containers.find(({ container }) => container === 'web') };
};

describe('a recommendation from a history', { timeout: 30_000 }, () => {
  it('is not affected by counter resets', async () => {
    const reset = changed(isCounter, ({ samples }) => {
      const middle = Math.floor(samples.length / 2);
      return samples.map(([ms, value], i) => [ms, i < middle ? value : value - samples[middle]![1]]);
    });
    const [{ web: before }, { web: after }] = [await webOf(withoutHpa), await webOf(reset)];
    expect(after!.cpu.request! / before!.cpu.request!).toBeCloseTo(1, 1);
    expect(after!.cpu.bound_by).toBe('usage');
  });

  it('ignores and reports impossible spikes', async () => {
    const spiked = changed(ofWeb, ({ name, samples }) => {
      const at = samples.length - 40;
      return samples.map(([ms, value], i) =>
        name.endsWith('_total') ? [ms, value + (i >= at ? 1e14 : 0)] : [ms, i === at ? value * 1e9 : value],
      );
    });
    // Also without node sizes.
    const withoutNodes = (each: Sampled) => each.name !== 'kube_node_status_allocatable';
    const { answer, web } = await webOf(spiked.filter(withoutNodes));
    const { web: usual } = await webOf(withoutHpa);
    expect(answer.status).toBe('success');
    expect(web!.memory.bound_by).toBe('usage');
    expect(web!.memory.request! / usual!.memory.request!).toBeCloseTo(1, 1);
    expect(web!.cpu.request! / usual!.cpu.request!).toBeCloseTo(1, 1);
    expect(answer.notes.find((note) => note.includes('implausible samples'))).toMatch(/^excluded \d+ implausible/);
  });

  it.each([
    [
      'one sample',
      changed(ofWeb, ({ samples }) => samples.slice(-1)),
      /web: CPU Prometheus has no samples; memory history has 0\.\d hours, 24 are required/,
    ],
    ['none', withoutHpa.filter((each) => !ofWeb(each)), /^istio-proxy: /],
  ])('of %s reports what is missing', async (_, series, reason) => {
    const { answer, web } = await webOf(series);
    // An injected sidecar is recognised, and cannot be set.
    expect(answer).toMatchObject({ status: 'abstained', outputs: null, confidence: null });
    expect(answer.reason).toMatch(reason);
    expect([web?.cpu.request ?? null, web?.memory.request ?? null]).toEqual([null, null]);
  });

  it('without usage is the floor', async () => {
    const still = changed(isCounter, ({ samples }) => samples.map(([ms]) => [ms, 0]));
    expect((await webOf(still)).web!.cpu).toMatchObject({ request: 0.01, bound_by: 'floor', peak: 0 });
  });

  it('reports missing data if clocks differ', async () => {
    const { web: known } = await webOf(withoutHpa);
    const late = await webOf(withoutHpa, 2 * 3_600_000);
    expect(late.web!.cpu.request! / known!.cpu.request!).toBeCloseTo(1, 1);
    expect(late.answer.notes.some((note) => note.startsWith('no pod was seen since 2026-11-20T12:'))).toBe(true);
    const early = await webOf(withoutHpa, -12 * stepMs);
    expect(early.answer.status).toBe('success');
    expect(Date.parse(early.answer.history.end)).toBe(now - 12 * stepMs);
  });
});
