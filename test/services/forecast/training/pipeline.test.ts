import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { trainLstm } from '#services/forecast/lstm/train.ts';
import { features, loadTrainingData } from '#services/forecast/training/experiments.ts';
import {
  fingerprintOf,
  lastWindows,
  listModels,
  loadModel,
  modelFile,
  type SavedModel,
  saveModel,
} from '#services/forecast/training/model-library.ts';
import { predictNext, type TrainNet, trainPipeline } from '#services/forecast/training/pipeline.ts';
import { type PipelineSettings, pipelineDefaults } from '#services/forecast/training/pipeline-settings.ts';
import { recommend } from '#services/forecast/training/recommend.ts';
import {
  partsOf,
  placesIn,
  scalingOf,
  splitExperiments,
  targetColumns,
  valueAt,
  windowsOf,
} from '#services/forecast/training/windows.ts';
import { writeExperiments } from '../../../support/experiments.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const small: PipelineSettings = { ...pipelineDefaults, units: [12, 8], epochs: 30, patience: 30, rate: 0.01 };
const buffers = [1.2, 1.15, 1];
const net: TrainNet = (shape, windows, settings) => trainLstm(shape, windows, settings, 'simd', () => 0);
const data = async (size: Parameters<typeof writeExperiments>[2] = {}) => {
  const directory = temporaryDirectory();
  writeExperiments(directory, 'cart', size);
  return { directory, ...(await loadTrainingData(directory, 'cart')) };
};
const train = async (settings = small, size: Parameters<typeof writeExperiments>[2] = {}) => {
  const { experiments, directory } = await data(size);
  return {
    experiments,
    directory,
    ...(await trainPipeline(experiments, settings, buffers, null, net)),
  };
};
const modelOf = ({ experiments, fitted, evaluation, samples }: Awaited<ReturnType<typeof train>>): SavedModel => ({
  service: 'cart',
  trained_at: '2026-11-20T10:00:00.000Z',
  library_version: '1',
  fingerprint: fingerprintOf(experiments),
  samples,
  training_seconds: 1,
  fitted,
  evaluation,
  endings: lastWindows(experiments, fitted.window),
  notes: [],
});

describe('load experiments', () => {
  it('are read with metadata; gaps are filled, and failed load tests reported', async () => {
    const { experiments, notes } = await data({ failed: 8 });
    expect(experiments).toHaveLength(8);
    expect(experiments[0]).toMatchObject({
      id: 'cart_browsing_replicas_1_users_10',
      scenario: 'browsing',
      replicas: 1,
      users: 10,
      rows: 50,
      successRate: 0.1,
    });
    expect(experiments.every(({ values }) => values.every(Number.isFinite))).toBe(true);
    expect(notes).toEqual([
      expect.stringMatching(/^in 8 of 8 experiments less than 95 % of the load test’s requests succeeded: /),
    ]);
  });

  it('with failed load tests are left out if there are others', async () => {
    const { experiments, notes } = await data({ failed: 3 });
    expect(experiments.map(({ successRate }) => successRate)).toEqual([1, 1, 1, 1, 1]);
    expect(notes).toEqual([expect.stringMatching(/^in 3 of 8 experiments .* they were skipped$/)]);
  });

  it('that are damaged are reported and left out, and other files are ignored', async () => {
    const { directory } = await data();
    writeFileSync(join(directory, 'cart_browsing_replicas_9_users_1.csv'), 'timestamp,cpu_cores_value\nt_0,1\n');
    writeFileSync(join(directory, 'cart_browsing_replicas_9_users_2.csv'), '');
    const whole = readFileSync(join(directory, 'cart_browsing_replicas_1_users_10.csv'), 'utf8');
    writeFileSync(join(directory, 'cart_browsing_replicas_9_users_3.csv'), whole.replace(/0\.0\d+/, 'plenty'));
    writeFileSync(join(directory, 'cart_browsing_replicas_1_users_10_lstm_prophet_ready.csv'), whole);
    writeExperiments(directory, 'my-cart', { count: 1 });
    const { experiments, notes } = await loadTrainingData(directory, 'cart');
    expect(experiments).toHaveLength(8);
    expect(notes.slice(0, 3)).toEqual([
      expect.stringMatching(/users_1.csv was skipped: missing columns: replica_count, load_users, /),
      'cart_browsing_replicas_9_users_2.csv was skipped: it has no rows',
      'cart_browsing_replicas_9_users_3.csv was skipped: cpu_cores_value in row 1 must be a number (got "plenty"); decimal mark: point',
    ]);
  });

  it.each([['..'], ['a/b'], [''], ['a\u0000']])('of %j are refused as an invalid name', async (service) => {
    await expect(loadTrainingData(temporaryDirectory(), service)).rejects.toThrow(
      /a service name must consist of letters/,
    );
  });

  it('of a service without any are not found', async () => {
    await expect(loadTrainingData(temporaryDirectory(), 'cart')).rejects.toThrow(/no experiments of cart/);
  });
});

describe('windows', () => {
  it('lie within one experiment, and each experiment in one part', async () => {
    const { experiments } = await data();
    const { train, validation, test } = splitExperiments(experiments, 1);
    const ids = [train, validation, test].map((part) => part.map(({ id }) => id));
    expect(ids.flat().toSorted()).toEqual(experiments.map(({ id }) => id).toSorted());
    expect(ids.map(({ length }) => length)).toEqual([4, 2, 2]);
    const places = placesIn(train, 10);
    expect(places).toHaveLength(4 * 40);
    const windows = windowsOf(train, 10, scalingOf(train));
    expect(windows.starts).toHaveLength(places.length);
    for (const start of windows.starts) expect(Math.floor(start / 50)).toBe(Math.floor((start + 10) / 50));
  });

  it('keep their part when experiments are added', async () => {
    const { experiments } = await data({ count: 12 });
    const before = splitExperiments(experiments.slice(0, 8), 1);
    const after = splitExperiments(experiments, 5, partsOf(before));
    for (const part of ['train', 'validation', 'test'] as const)
      expect(after[part].map(({ id }) => id)).toEqual(expect.arrayContaining(before[part].map(({ id }) => id)));
    expect(Object.values(after).flat()).toHaveLength(12);
  });

  it('are scaled by the training part only', async () => {
    const { experiments } = await data();
    const { train, test } = splitExperiments(experiments, 1);
    const before = scalingOf(train);
    test[0]!.values.fill(1e9);
    expect(scalingOf(train)).toEqual(before);
  });
});

describe('a service’s model', () => {
  it('is more accurate than persistence on test experiments', async () => {
    const { evaluation, fitted, history } = await train();
    const held = Object.entries(fitted.parts).filter(([, part]) => part === 'test');
    expect(evaluation.experiments).toEqual(held.map(([id]) => id));
    expect(held).toHaveLength(2);
    const cpu = evaluation.methods['cpu_cores_value']!;
    expect(cpu['fused']!.mae).toBeLessThan(cpu['persistence']!.mae * 0.7);
    expect(cpu['fused']!.r2!).toBeGreaterThan(0.9);
    expect(evaluation.methods['replica_count_value']!['fused']!.r2!).toBeCloseTo(1, 6);
    expect(history.at(-1)!.loss).toBeLessThan(history[0]!.loss);
    expect(Math.abs(evaluation.confidence - evaluation.observedCoverage)).toBeLessThan(0.1);
  });

  it('is deterministic, and trains faster from a former model', async () => {
    const [first, second] = [await train(), await train()];
    expect(second.fitted).toEqual(first.fitted);
    const warm = await trainPipeline(first.experiments, small, buffers, first.fitted, net);
    expect(warm.history).toHaveLength(small.warmEpochs);
    expect(warm.history[0]!.loss).toBeLessThan(first.history[0]!.loss);
  });

  it('is refused with too few windows', async () => {
    await expect(train(small, { rows: 14 })).rejects.toThrow(
      /8 experiments have 16 training windows of 10 steps; 100 are required/,
    );
  });

  it('predicts the same as in its evaluation', async () => {
    const { experiments, fitted } = await train();
    const one = experiments[0]!;
    const rows = Array.from({ length: 10 }, (_, i) => features.map((_, column) => valueAt(one, i, column)));
    const [cpu] = predictNext(rows, fitted, 'simd');
    expect(Math.abs(cpu!.predicted - valueAt(one, 10, targetColumns[0]!))).toBeLessThan(0.003);
  });
});

describe('a recommendation', () => {
  const current = { cpu_cores_value: 0.03, mem_bytes_value: 2e7, replica_count: 2, load_users: 21 };

  it('has a buffer, the raw prediction, the experiment used, and a probability', async () => {
    const answer = recommend(modelOf(await train()), current, 'simd');
    expect(answer).toMatchObject({ status: 'success', buffers: { cpu: 1.2, memory: 1.15, replicas: 1 } });
    expect(answer.recommendations!.cpu_cores).toBeCloseTo(answer.unbuffered!.cpu_cores * 1.2, 12);
    expect(answer.recommendations!.memory_bytes / answer.unbuffered!.memory_bytes).toBeCloseTo(1.15, 6);
    expect(answer.recommendations!.replicas).toBe(2);
    expect(answer.window_from).toMatchObject({ experiment: 'cart_checkout_replicas_2_users_21', distance: 0 });
    expect(answer.confidence).toBe(Math.min(...Object.values(answer.targets!).map(({ confidence }) => confidence)));
    const { members, predicted } = answer.targets!.cpu;
    expect(predicted).toBeCloseTo(
      members.reduce((sum, { weight, prediction }) => sum + weight * prediction, 0),
      12,
    );
  });

  it('is not given without a similar experiment', async () => {
    const model = modelOf(await train());
    expect(recommend(model, { ...current, replica_count: 64 }, 'simd')).toMatchObject({
      status: 'abstained',
      recommendations: null,
      reason: expect.stringMatching(/too different from 64 replicas/),
    });
    expect(recommend(model, { ...current, cpu_cores_value: 5 }, 'simd')).toMatchObject({
      status: 'abstained',
      confidence: null,
      reason: expect.stringMatching(/^cpu_cores_value is 5; the maximum in the training experiments was/),
    });
    expect(recommend(model, { ...current, scenario: 'siege' }, 'simd')).toMatchObject({
      status: 'abstained',
      reason: 'no experiment with scenario siege',
    });
  });
});

describe('the library', () => {
  it('returns what was saved', async () => {
    const directory = temporaryDirectory();
    const model = modelOf(await train());
    expect(await saveModel(directory, model)).toBe(join(directory, 'cart_lstm_prophet_pipeline.json'));
    expect(await loadModel(directory, 'cart')).toEqual(model);
    expect(await listModels(directory)).toEqual([{ service: 'cart', model }]);
    await expect(loadModel(directory, 'other')).rejects.toThrow(/no trained model of other/);
  });

  it.each([
    ['a changed number', (text: string) => text.replace('"samples":', '"samples":1'), /is damaged: checksum mismatch/],
    ['an end that is missing', (text: string) => text.slice(0, -20), /is damaged: checksum mismatch/],
    [
      'a newer schema',
      (text: string) => text.replace('"schema_version":1', '"schema_version":2'),
      /has schema 2, newer than this version supports/,
    ],
    ['nothing in it', () => '', /is damaged: invalid header/],
  ])('reports a file with %s, and lists the others', async (_name, change, message) => {
    const directory = temporaryDirectory();
    const model = modelOf(await train());
    await saveModel(directory, model);
    await saveModel(directory, { ...model, service: 'front' });
    const file = join(directory, modelFile('cart'));
    writeFileSync(file, change(readFileSync(file, 'utf8')));
    await expect(loadModel(directory, 'cart')).rejects.toThrow(message);
    const [bad, good] = await listModels(directory);
    expect(bad).toEqual({ service: 'cart', error: expect.stringMatching(message) });
    expect(good).toMatchObject({ service: 'front', model: { samples: model.samples } });
    rmSync(directory, { recursive: true });
  });

  it('identifies experiments by their content', async () => {
    const { experiments } = await data();
    const before = fingerprintOf(experiments);
    expect(fingerprintOf(experiments)).toBe(before);
    experiments[3]!.values[7] = 1;
    expect(fingerprintOf(experiments)).not.toBe(before);
  });
});
