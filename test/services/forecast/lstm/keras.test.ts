import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { fromKeras, type KerasFiles, toKeras } from '#services/forecast/lstm/keras-files.ts';
import type { LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import { initialWeights, predictLstm, type TrainSettings, trainLstm } from '#services/forecast/lstm/train.ts';
import { labelledWindows } from '../../../support/windows.ts';

/** TF.js is the reference: same layers, same files, same numbers. */
const shape: LstmShape = { window: 10, features: 14, units: [64, 32], dense: 16, outputs: 3, dropout: 0 };
const data = labelledWindows(shape, 48);
const inputs = () =>
  tf.tensor3d(
    Float32Array.from(data.starts).reduce<number[]>((all, start) => {
      for (let i = 0; i < shape.window * shape.features; i += 1) all.push(data.values[start * shape.features + i]!);
      return all;
    }, []),
    [data.starts.length, shape.window, shape.features],
  );

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const loadInTfjs = ({ json, data: bytes }: KerasFiles) => {
  const { modelTopology, weightsManifest } = json as {
    modelTopology: object;
    weightsManifest: { weights: tf.io.WeightsManifestEntry[] }[];
  };
  const weightData = new Uint8Array(bytes).buffer;
  const artifacts = { modelTopology, weightSpecs: weightsManifest.flatMap(({ weights }) => weights), weightData };
  return tf.loadLayersModel(tf.io.fromMemory(artifacts));
};

const furthest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

describe('Keras and TF.js files', () => {
  it('contain a network that predicts the same in TF.js', async () => {
    const weights = initialWeights(shape, seededRandom(4));
    const model = await loadInTfjs(toKeras(shape, weights));
    const theirs = await (model.predict(inputs()) as tf.Tensor).data();
    expect(furthest(predictLstm(shape, weights, data, 'simd'), theirs)).toBeLessThan(1e-5);
  });

  it('written by TF.js predict the same here', async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.lstm({
          units: 64,
          returnSequences: true,
          recurrentActivation: 'sigmoid',
          recurrentInitializer: 'glorotUniform',
          inputShape: [10, 14],
        }),
        tf.layers.dropout({ rate: 0.2 }),
        tf.layers.lstm({ units: 32, recurrentActivation: 'sigmoid', recurrentInitializer: 'glorotUniform' }),
        tf.layers.dropout({ rate: 0.2 }),
        tf.layers.dense({ units: 16, activation: 'relu' }),
        tf.layers.dense({ units: 3 }),
      ],
    });
    let files: KerasFiles | null = null;
    await model.save(
      tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
        const manifest = [{ paths: ['weights.bin'], weights: weightSpecs ?? [] }];
        files = {
          json: { modelTopology: { model_config: modelTopology }, weightsManifest: manifest },
          data: new Uint8Array(weightData as ArrayBuffer),
        };
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
    const read = fromKeras(files!);
    expect(read.shape).toEqual({ ...shape, dropout: 0.2 });
    const theirs = await (model.predict(inputs()) as tf.Tensor).data();
    expect(furthest(predictLstm(read.shape, read.weights, data, 'simd'), theirs)).toBeLessThan(1e-5);
  });

  it('are read back as written', () => {
    const weights = initialWeights(shape, seededRandom(4));
    expect(fromKeras(toKeras(shape, weights))).toEqual({ shape, weights });
  });

  it.each([
    [
      'the sigmoid TF.js uses unless told',
      (text: string) => text.replace('"recurrent_activation":"sigmoid"', '"recurrent_activation":"hardSigmoid"'),
      /lstm_1 must have activation tanh, recurrent_activation sigmoid/,
    ],
    [
      'another layer',
      (text: string) => text.replace('"Dropout"', '"GRU"'),
      /not LSTM layers with Dropout, then two Dense/,
    ],
    [
      'another size',
      (text: string) => text.replace('"shape":[14,256]', '"shape":[15,256]'),
      /lstm_1\/kernel is float32 \[15,256\], not float32 \[14,256\]/,
    ],
    ['no topology', () => '{}', /no modelTopology/],
  ])('with %s are refused', (_name, change, message) => {
    const { json, data: bytes } = toKeras(shape, initialWeights(shape, seededRandom(4)));
    expect(() => fromKeras({ json: JSON.parse(change(JSON.stringify(json))), data: bytes })).toThrow(message);
  });

  it('with missing or surplus weights are refused', () => {
    const { json, data: bytes } = toKeras(shape, initialWeights(shape, seededRandom(4)));
    expect(() => fromKeras({ json, data: bytes.subarray(0, 1000) })).toThrow(/weights end within/);
    expect(() => fromKeras({ json, data: Buffer.concat([bytes, Buffer.alloc(4)]) })).toThrow(
      /4 surplus bytes of weights/,
    );
  });
});

describe('training', () => {
  it('has the same losses as TF.js from the same weights', async () => {
    const small: LstmShape = { window: 6, features: 3, units: [8, 6], dense: 5, outputs: 1, dropout: 0 };
    const windows = labelledWindows(small, 40);
    const weights = initialWeights(small, seededRandom(9));
    const settings: TrainSettings = {
      epochs: 4,
      batch: 8,
      rate: 0.01,
      loss: { kind: 'mse' },
      clipNorm: 0,
      validationShare: 0,
      patience: 9,
      shuffle: false,
      seed: 1,
      from: weights,
    };
    const ours = trainLstm(small, windows, settings, 'simd', () => 0).history.map(({ loss }) => loss);
    const model = await loadInTfjs(toKeras(small, weights));
    model.compile({ optimizer: tf.train.adam(0.01, 0.9, 0.999, 1e-7), loss: 'meanSquaredError' });
    const x = tf.tensor3d(
      Array.from(windows.starts).flatMap((start) => [...windows.values.subarray(start * 3, (start + 6) * 3)]),
      [40, 6, 3],
    );
    const theirs: number[] = [];
    const onEpochEnd = async (_epoch: number, logs?: tf.Logs) => void theirs.push(Number(logs?.['loss']));
    const targets = tf.tensor2d([...windows.targets], [40, 1]);
    await model.fit(x, targets, { epochs: 4, batchSize: 8, shuffle: false, verbose: 0, callbacks: { onEpochEnd } });
    for (const [i, loss] of ours.entries()) expect(Math.abs(loss / theirs[i]! - 1)).toBeLessThan(1e-3);
  });
});
