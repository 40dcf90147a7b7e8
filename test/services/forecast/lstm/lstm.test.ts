import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { compileKernels, kernelFile } from '#services/forecast/lstm/build-kernels.ts';
import type { KernelBuild } from '#services/forecast/lstm/kernels.ts';
import { openNetwork } from '#services/forecast/lstm/network.ts';
import { elementOf, type LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import {
  initialWeights,
  predictLstm,
  setWeights,
  type TrainSettings,
  trainLstm,
} from '#services/forecast/lstm/train.ts';
import { labelledWindows } from '../../../support/windows.ts';

const shape: LstmShape = { window: 7, features: 3, units: [12, 8], dense: 5, outputs: 2, dropout: 0.2 };
const settings: TrainSettings = {
  epochs: 3,
  batch: 16,
  rate: 0.01,
  loss: { kind: 'mse' },
  clipNorm: 0,
  validationShare: 0,
  patience: 3,
  shuffle: true,
  seed: 5,
  from: null,
};
const train = (build: KernelBuild, changed: Partial<TrainSettings> = {}) =>
  trainLstm(shape, labelledWindows(shape, 60), { ...settings, ...changed }, build, () => 0);
const losses = (build: KernelBuild, changed: Partial<TrainSettings> = {}) =>
  train(build, changed).history.map(({ loss }) => loss);

describe('the kernels', () => {
  it.each(['plain', 'fma'] as const)('equal the committed file, byte for byte: %s', async (build) => {
    expect(Buffer.from(await compileKernels(build)).equals(readFileSync(kernelFile(build)))).toBe(true);
  });

  it('compute the same as the reference, dropout included', () => {
    const [oracle, simd, fma] = (['plain', 'simd', 'fma'] as const).map((build) => losses(build, { rate: 0.001 }));
    for (const [i, loss] of oracle!.entries()) {
      expect(Math.abs(simd![i]! / loss - 1)).toBeLessThan(1e-4);
      expect(Math.abs(fma![i]! / loss - 1)).toBeLessThan(1e-4);
    }
  });

  it('agree for every shape and number of windows, padding included', () => {
    const some = fc.record({
      window: fc.integer({ min: 1, max: 9 }),
      features: fc.integer({ min: 1, max: 17 }),
      units: fc.array(fc.integer({ min: 1, max: 19 }), { minLength: 1, maxLength: 3 }),
      dense: fc.integer({ min: 1, max: 17 }),
      outputs: fc.integer({ min: 1, max: 18 }),
      dropout: fc.constant(0),
    });
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 40 }), (shape, count) => {
        const data = labelledWindows(shape, count);
        const weights = initialWeights(shape, seededRandom(3));
        const expected = predictLstm(shape, weights, data, 'plain64');
        for (const build of ['simd', 'fma'] as const)
          for (const [i, value] of predictLstm(shape, weights, data, build).entries())
            expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5);
      }),
      { numRuns: 60 },
    );
  });
});

describe('training', () => {
  it('has the gradients of finite differences', () => {
    const net = openNetwork({ ...shape, dropout: 0 }, 'plain64', 66);
    const data = labelledWindows(shape, 20);
    net.setTable(data.values, data.rows);
    setWeights(net, initialWeights(shape, seededRandom(1)));
    const { floats } = net.kernels;
    const loss = () => {
      const outputs = net.forward(data.starts, true);
      return outputs.reduce((sum, value, i) => sum + (value - data.targets[i]!) ** 2, 0);
    };
    loss();
    net.backward(net.forward(data.starts, true).map((value, i) => 2 * (value - data.targets[i]!)));
    const random = seededRandom(2);
    for (const place of net.places.all)
      for (let trial = 0; trial < 20; trial += 1) {
        const [row, column] = [Math.floor(random() * place.rows), Math.floor(random() * place.columns)];
        const at = elementOf(place, row, column);
        const gradient = floats[at + (place.gradient - place.at) / 4]!;
        const before = floats[at]!;
        floats[at] = before + 1e-6;
        const above = loss();
        floats[at] = before - 1e-6;
        const below = loss();
        floats[at] = before;
        const measured = (above - below) / 2e-6;
        expect(Math.abs(gradient - measured), `${place.name} ${row},${column}`).toBeLessThan(
          1e-6 * (1 + Math.abs(measured)),
        );
      }
  });

  it.each(['simd', 'fma', 'plain'] as const)('is bit-identical for the same seed: %s', (build) => {
    expect(train(build)).toEqual(train(build));
    expect(train(build, { seed: 6 }).weights).not.toEqual(train(build).weights);
  });

  it('reduces both losses, and accumulates large batches', () => {
    const falls = (curve: number[]) => expect(curve.at(-1)!).toBeLessThan(curve[0]! * 0.5);
    falls(losses('simd', { epochs: 40 }));
    falls(losses('simd', { epochs: 40, batch: 60 }));
    const quantiles = { ...shape, outputs: 4 };
    const pinball = { ...settings, epochs: 40, loss: { kind: 'pinball' as const, levels: [0.1, 0.9] } };
    const { weights, history } = trainLstm(quantiles, labelledWindows(shape, 60), pinball, 'simd', () => 0);
    falls(history.map(({ loss }) => loss));
    const [low, , high] = predictLstm(quantiles, weights, labelledWindows(shape, 1), 'simd');
    expect(high!).toBeGreaterThan(low!);
  });

  it('stops early, keeps the best epoch, and stops on request', () => {
    const early = train('simd', { epochs: 200, rate: 0.05, validationShare: 0.25, patience: 4 });
    expect(early.history.length).toBeLessThan(200);
    expect(early.history.length - early.bestEpoch).toBe(4);
    const best = Math.min(...early.history.map(({ validationLoss }) => validationLoss!));
    expect(early.history[early.bestEpoch - 1]!.validationLoss).toBe(best);
    const told = trainLstm(
      shape,
      labelledWindows(shape, 60),
      settings,
      'simd',
      () => 0,
      ({ epoch }) => epoch < 2,
    );
    expect(told.history).toHaveLength(2);
  });

  it('continues from given weights, and clips long gradients', () => {
    const first = train('simd', { epochs: 30 });
    expect(losses('simd', { from: first.weights, epochs: 1 })[0]!).toBeLessThan(losses('simd', { epochs: 1 })[0]! / 2);
    const clipped = train('simd', { epochs: 1, batch: 60, clipNorm: 1e-9, shuffle: false });
    // Far below Adam's epsilon: the weights hardly move.
    const moved = clipped.weights.map(({ values }, i) =>
      Math.max(...values.map((value, j) => Math.abs(value - initialWeights(shape, seededRandom(5))[i]!.values[j]!))),
    );
    expect(Math.max(...moved)).toBeLessThan(1e-4);
  });
});
