import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import { trainTfjs } from '#services/forecast/lstm/tfjs.ts';
import { trainInChild, unavailableReason } from '#services/forecast/lstm/tfjs-node.ts';
import { predictLstm, type TrainSettings, trainLstm } from '#services/forecast/lstm/train.ts';
import { labelledWindows } from '../../../support/windows.ts';

/** TF.js in JavaScript has the same API as tfjs-node. */
beforeAll(async () => {
  await tf.setBackend('cpu');
});

const shape: LstmShape = { window: 5, features: 3, units: [8, 6], dense: 5, outputs: 2, dropout: 0 };
const data = labelledWindows(shape, 48);
const settings: TrainSettings = {
  epochs: 3,
  batch: 16,
  rate: 0.01,
  loss: { kind: 'pinball', levels: [0.5] },
  clipNorm: 0.3,
  validationShare: 0.25,
  patience: 3,
  shuffle: true,
  seed: 4,
  from: null,
};

describe('training by TF.js', () => {
  it('has the same losses as ours: clipping, order of windows, validation', async () => {
    const ours = trainLstm(shape, data, settings, 'simd', () => 0);
    const theirs = await trainTfjs(tf, shape, data, settings, () => 0);
    expect(theirs.history).toHaveLength(3);
    for (const [i, { loss, validationLoss }] of ours.history.entries()) {
      expect(theirs.history[i]!.loss / loss).toBeCloseTo(1, 3);
      expect(theirs.history[i]!.validationLoss! / validationLoss!).toBeCloseTo(1, 2);
    }
    const [here, there] = [ours, theirs].map(({ weights }) => predictLstm(shape, weights, data, 'simd'));
    for (const [i, value] of here!.entries()) expect(Math.abs(value - there![i]!)).toBeLessThan(0.01);
  });

  it('leaks no tensors', async () => {
    const before = tf.memory().numTensors;
    await trainTfjs(tf, shape, data, { ...settings, epochs: 1 }, () => 0);
    // Adam keeps two moments of each of the ten weights, and two powers.
    expect(tf.memory().numTensors - before).toBeLessThanOrEqual(22);
  });

  it('runs in a child process', async () => {
    expect(await unavailableReason('@tensorflow/tfjs')).toBeNull();
    const epochs: number[] = [];
    const { weights } = await trainInChild(
      shape,
      data,
      settings,
      ({ epoch }) => epochs.push(epoch),
      '@tensorflow/tfjs',
    );
    expect(epochs).toEqual([1, 2, 3]);
    expect(weights[0]!.values).toBeInstanceOf(Float32Array);
  });

  it('reports why it is unavailable', async () => {
    expect(await unavailableReason('@tensorflow/not-there')).toMatch(/^Cannot find module '@tensorflow\/not-there'/);
    await expect(
      trainInChild(
        shape,
        data,
        { ...settings, loss: { kind: 'pinball', levels: [0.1, 0.9] } },
        () => undefined,
        '@tensorflow/tfjs',
      ),
    ).rejects.toThrow('TF.js trains for one quantile');
  });
});
