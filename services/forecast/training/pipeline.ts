import { blend, fixedShares, type Weighted, weigh } from '../engine/fusion.ts';
import { meanAbsoluteError } from '../engine/scores.ts';
import type { KernelBuild } from '../lstm/kernels.ts';
import type { LstmShape } from '../lstm/parameter-layout.ts';
import type { Epoch, LabelledWindows, Trained as TrainedNet, TrainSettings } from '../lstm/train.ts';
import { type Experiment, features, targets } from './experiments.ts';
import { type Fitted, fitRidge, predictAll } from './pipeline-members.ts';
import { minWindows, type PipelineSettings } from './pipeline-settings.ts';
import {
  type Place,
  partsOf,
  placesIn,
  scalingOf,
  splitExperiments,
  targetColumns,
  valueAt,
  windowsOf,
} from './windows.ts';

/**
 * The capacity model of one service: predicts CPU, memory and replicas of the next step from the last steps of an
 * experiment. Persistence, a ridge regression, a Prophet-style trend and one LSTM for all three targets, weighted on
 * validation experiments.
 */

/** Scores on the test experiments. `r2` is null if the target is constant there. */
export type TargetScores = { mse: number; mae: number; r2: number | null };
export type Evaluation = {
  windows: number;
  experiments: string[];
  /** By target, then by method: persistence, ridge, prophet, lstm, fixed_blend, fused. */
  methods: Record<string, Record<string, TargetScores>>;
  /** Stated probability that a recommendation suffices, and the observed frequency. */
  confidence: number;
  observedCoverage: number;
};

export type Trained = {
  fitted: Fitted;
  evaluation: Evaluation;
  samples: number;
  history: Epoch[];
  warm: boolean;
};

/** Trains the network: by our own kernels, or by TensorFlow.js. */
export type TrainNet = (
  shape: LstmShape,
  windows: LabelledWindows,
  settings: TrainSettings,
) => TrainedNet | Promise<TrainedNet>;

/**
 * Trains on three fifths of the experiments, chooses weights on one fifth, tests on one fifth.
 * @throws RangeError if there are too few experiments or windows
 */
export async function trainPipeline(
  experiments: Experiment[],
  settings: PipelineSettings,
  buffers: number[],
  before: Fitted | null,
  trainNet: TrainNet,
): Promise<Trained> {
  const { window, build } = settings;
  const warm =
    before !== null &&
    before.window === window &&
    JSON.stringify(before.shape.units) === JSON.stringify(settings.units);
  const split = splitExperiments(experiments, settings.seed, warm ? before.parts : {});
  const { train, validation, test } = split;
  const usable = placesIn(train, window).length;
  if (
    train.length === 0 ||
    usable < minWindows ||
    placesIn(validation, window).length === 0 ||
    placesIn(test, window).length === 0
  )
    throw new RangeError(
      `${experiments.length} experiments have ${usable} training windows of ${window} steps; ${minWindows} are required: use longer experiments or a shorter window`,
    );
  const scaling = warm ? before.scaling : scalingOf(train);
  const shape: LstmShape = {
    window,
    features: features.length,
    units: settings.units,
    dense: settings.dense,
    outputs: targets.length,
    dropout: settings.dropout,
  };
  const windows = windowsOf(train, window, scaling);
  const { weights, history } = await trainNet(shape, windows, netSettings(settings, warm ? before : null));
  const ridge = targetColumns.map((_, target) => fitRidge(placesIn(train, window), target, scaling));
  const blank: Fitted = {
    window,
    shape,
    weights,
    scaling,
    ridge,
    fusion: [],
    residuals: [],
    buffers,
    // Missing experiments may come back, so their part is kept.
    parts: { ...(warm ? before.parts : {}), ...partsOf(split) },
  };
  const fitted = weighOn(validation, blank, build);
  return {
    fitted,
    evaluation: evaluate(test, fitted, build),
    samples: usable,
    history,
    warm,
  };
}

function netSettings(settings: PipelineSettings, before: Fitted | null): TrainSettings {
  return {
    epochs: before ? Math.min(settings.warmEpochs, settings.epochs) : settings.epochs,
    batch: settings.batch,
    rate: before ? settings.rate / 2 : settings.rate,
    // Median instead of mean: single jumps would distort the mean.
    loss: { kind: 'pinball', levels: [0.5] },
    clipNorm: 1,
    validationShare: 0.15,
    patience: settings.patience,
    shuffle: true,
    seed: settings.seed,
    from: before?.weights ?? null,
  };
}

function weighOn(validation: Experiment[], blank: Fitted, build: KernelBuild): Fitted {
  const { places, predictions } = predictAll(validation, blank, build);
  const fusion = predictions.map((methods, target) =>
    weigh(
      Object.entries(methods).map(([name, predicted]) => {
        const error = meanAbsoluteError(actualsOf(places, target), predicted);
        return { name, forecasts: [], error, failure: null, earliest: null };
      }),
    ),
  );
  const residuals = predictions.map((methods, target) => {
    const fused = fuse(methods, fusion[target]!, places.length);
    return fused.map((value, i) => actualOf(places[i]!, target) - value).sort();
  });
  return { ...blank, fusion, residuals };
}

const actualOf = ({ experiment, next }: Place, target: number): number =>
  valueAt(experiment, next, targetColumns[target]!);

const actualsOf = (places: Place[], target: number): Float64Array =>
  Float64Array.from(places, (place) => actualOf(place, target));

const fuse = (methods: Record<string, Float64Array>, weights: Weighted[], count: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) =>
    weights.reduce((total, { name, weight }) => total + (weight > 0 ? weight * methods[name]![i]! : 0), 0),
  );

/** Scores of every method on experiments that the model was not trained on. */
export function evaluate(experiments: Experiment[], fitted: Fitted, build: KernelBuild): Evaluation {
  const { places, predictions } = predictAll(experiments, fitted, build);
  let [stated, sufficient] = [0, 0];
  const methods = predictions.map((each, target) => {
    const fused = fuse(each, fitted.fusion[target]!, places.length);
    const fixed = blend([fixedShares.prophet, fixedShares.lstm], [each['prophet']!, each['lstm']!]);
    for (const [i, value] of fused.entries()) {
      const recommended = recommendedOf(fitted, target, value);
      stated += probabilityOf(fitted, target, value, recommended);
      sufficient += actualOf(places[i]!, target) <= recommended ? 1 : 0;
    }
    const actual = actualsOf(places, target);
    return Object.fromEntries(
      Object.entries({ ...each, fixed_blend: fixed, fused }).map(([name, values]) => [name, scoresOf(actual, values)]),
    );
  });
  const all = places.length * targets.length;
  return {
    windows: places.length,
    experiments: experiments.map(({ id }) => id),
    methods: Object.fromEntries(targets.map((target, i) => [target, methods[i]!])),
    confidence: stated / all,
    observedCoverage: sufficient / all,
  };
}

function scoresOf(actual: Float64Array, predicted: Float64Array): TargetScores {
  const n = actual.length;
  const mean = actual.reduce((total, value) => total + value / n, 0);
  const spread = actual.reduce((total, value) => total + (value - mean) ** 2 / n, 0);
  const mse = actual.reduce((total, value, i) => total + (value - predicted[i]!) ** 2 / n, 0);
  return { mse, mae: meanAbsoluteError(actual, predicted), r2: spread > 0 ? 1 - mse / spread : null };
}

const [memoryTarget, replicaTarget] = [1, 2];

/** The prediction with its buffer; bytes and replicas are integers, replicas at least one. */
export function recommendedOf({ buffers }: Fitted, target: number, predicted: number): number {
  const buffered = Math.max(0, predicted) * buffers[target]!;
  if (target === memoryTarget) return Math.ceil(buffered);
  return target === replicaTarget ? Math.max(1, Math.round(buffered)) : buffered;
}

/** Probability that the next value is at most this one, from the errors on validation experiments. */
export function probabilityOf({ residuals }: Fitted, target: number, predicted: number, limit: number): number {
  const errors = residuals[target]!;
  // A prediction of 1.9999998 replicas is not an error.
  const needed = (error: number) => (target === replicaTarget ? Math.round(predicted + error) : predicted + error);
  const within = errors.reduce((count, error) => count + (needed(error) <= limit ? 1 : 0), 0);
  // Laplace's rule: one more on either side, since unseen is not impossible.
  return (within + 1) / (errors.length + 2);
}

/**
 * Interval of the next value, by the conformal quantiles of the errors on validation experiments; null if they are too
 * few for the level.
 */
export function intervalOf(
  { residuals }: Fitted,
  target: number,
  predicted: number,
  level = 0.9,
): { lower: number | null; upper: number | null } {
  const errors = residuals[target]!;
  const rank = Math.floor(((errors.length + 1) * (1 - level)) / 2);
  if (rank < 1) return { lower: null, upper: null };
  const [low, high] = [predicted + errors[rank - 1]!, predicted + errors[errors.length - rank]!];
  const whole = (value: number) => (target === replicaTarget ? Math.round(value) : value);
  return { lower: Math.max(0, whole(low)), upper: Math.max(0, whole(high)) };
}

/** The three predictions for the step after a window of rows, and those of each member. */
export function predictNext(
  rows: number[][],
  fitted: Fitted,
  build: KernelBuild,
): { predicted: number; members: Record<string, number> }[] {
  const values = Float64Array.from([...rows, rows.at(-1)].flat());
  const experiment: Experiment = {
    id: '',
    scenario: '',
    replicas: 0,
    users: 0,
    rows: rows.length + 1,
    values,
    successRate: null,
  };
  const { predictions } = predictAll([experiment], fitted, build);
  return predictions.map((methods, target) => ({
    predicted: fuse(methods, fitted.fusion[target]!, 1)[0]!,
    members: Object.fromEntries(Object.entries(methods).map(([name, [value]]) => [name, value!])),
  }));
}
