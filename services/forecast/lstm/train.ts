import { normal, type Random, seededRandom } from '#kernel/rng.ts';
import type { KernelBuild } from './kernels.ts';
import { maxRows, type Network, openNetwork } from './network.ts';
import { elementOf, type LstmShape, layoutOf } from './parameter-layout.ts';

/** Training: batches, loss, gradient clipping, Adam, early stopping. One seed determines all randomness. */

/**
 * Windows of one table: `values` has `rows` × features, row-major; window i starts at row `starts[i]`; `targets` has
 * one row of outputs per window.
 */
export type Windows = { values: Float32Array; rows: number; starts: Int32Array };
export type LabelledWindows = Windows & { targets: Float32Array };

/** Weights with Keras' names and layout: matrices row-major, gates in the order i, f, g, o. */
export type Weights = { name: string; shape: number[]; values: Float32Array }[];

/** `levels`: quantiles; the outputs are all steps of the first level, then of the second, and so on. */
export type Loss = { kind: 'mse' } | { kind: 'pinball'; levels: number[] };

export type TrainSettings = {
  epochs: number;
  batch: number;
  rate: number;
  loss: Loss;
  /** Maximum Euclidean norm of the gradient of all weights together; 0 = no clipping. */
  clipNorm: number;
  /** Share of the windows, the latest ones, used as the validation set for early stopping; 0 = all epochs are run. */
  validationShare: number;
  /** Epochs without a better validation loss before training stops. */
  patience: number;
  shuffle: boolean;
  seed: number;
  /** Initial weights for a warm start. */
  from: Weights | null;
};

export type Epoch = { epoch: number; epochs: number; loss: number; validationLoss: number | null; seconds: number };
export type Trained = { shape: LstmShape; weights: Weights; history: Epoch[]; bestEpoch: number };

/**
 * Trains a network of this shape. `onEpoch` is called after every epoch; training stops if it returns false. Sources:
 * BPTT as in Graves 2012 (ch. 4), Adam by Kingma and Ba 2015, dropout by Srivastava et al. 2014.
 */
export function trainLstm(
  shape: LstmShape,
  data: LabelledWindows,
  settings: TrainSettings,
  build: KernelBuild,
  now: () => number,
  onEpoch: (epoch: Epoch) => boolean = () => true,
): Trained {
  const random = seededRandom(settings.seed);
  const net = openNetwork(shape, build, data.rows);
  net.setTable(data.values, data.rows);
  setWeights(net, settings.from ?? initialWeights(shape, random));
  seedDropout(net, random);
  const count = data.starts.length;
  const held = Math.floor(count * settings.validationShare);
  const order = Int32Array.from({ length: count - held }, (_, i) => i);
  const validation = Int32Array.from({ length: held }, (_, i) => count - held + i);
  const history: Epoch[] = [];
  let best = { loss: Number.POSITIVE_INFINITY, epoch: settings.epochs, weights: null as Weights | null };
  const steps = { taken: 0 };
  for (let epoch = 1; epoch <= settings.epochs; epoch += 1) {
    const begun = now();
    if (settings.shuffle) shuffle(order, random);
    const loss = runEpoch(net, data, order, settings, steps);
    const validationLoss = held > 0 ? lossOver(net, data, validation, settings.loss) : null;
    const seconds = (now() - begun) / 1000;
    const done = { epoch, epochs: settings.epochs, loss, validationLoss, seconds };
    history.push(done);
    if (validationLoss !== null && validationLoss < best.loss)
      best = { loss: validationLoss, epoch, weights: getWeights(net) };
    if (!onEpoch(done)) break;
    if (validationLoss !== null && epoch - best.epoch >= settings.patience) break;
  }
  return {
    shape,
    weights: best.weights ?? getWeights(net),
    history,
    bestEpoch: best.weights ? best.epoch : history.length,
  };
}

/** One epoch over the windows in this order. @returns the mean loss */
function runEpoch(
  net: Network,
  data: LabelledWindows,
  order: Int32Array,
  settings: TrainSettings,
  steps: { taken: number },
): number {
  let total = 0;
  for (let from = 0; from < order.length; from += settings.batch) {
    const batch = order.subarray(from, from + settings.batch);
    for (let part = 0; part < batch.length; part += maxRows) {
      const picked = batch.subarray(part, part + maxRows);
      const outputs = net.forward(startsOf(data, picked), true);
      const { sum, gradients } = lossOf(outputs, data.targets, picked, net.shape.outputs, settings.loss, batch.length);
      total += sum;
      net.backward(gradients);
    }
    steps.taken += 1;
    step(net, settings, steps.taken);
  }
  return total / order.length;
}

const startsOf = (data: Windows, picked: Int32Array): Int32Array => picked.map((i) => data.starts[i] as number);

function lossOver(net: Network, data: LabelledWindows, picked: Int32Array, loss: Loss): number {
  let total = 0;
  for (let from = 0; from < picked.length; from += maxRows) {
    const part = picked.subarray(from, from + maxRows);
    const outputs = net.forward(startsOf(data, part), false);
    total += lossOf(outputs, data.targets, part, net.shape.outputs, loss, picked.length).sum;
  }
  return total / picked.length;
}

/** Sum over windows of the mean loss over outputs, and its gradients for a batch of the given size. */
function lossOf(
  outputs: Float64Array,
  targets: Float32Array,
  picked: Int32Array,
  width: number,
  loss: Loss,
  batch: number,
) {
  const gradients = new Float64Array(outputs.length);
  // Targets have one row of steps; with quantiles each level is compared with that row.
  const steps = loss.kind === 'mse' ? width : width / loss.levels.length;
  let sum = 0;
  for (const [b, window] of picked.entries())
    for (let k = 0; k < width; k += 1) {
      const error = (outputs[b * width + k] as number) - (targets[window * steps + (k % steps)] as number);
      const level = loss.kind === 'mse' ? 0.5 : (loss.levels[Math.floor(k / steps)] as number);
      if (loss.kind === 'mse') {
        sum += (error * error) / width;
        gradients[b * width + k] = (2 * error) / (width * batch);
      } else {
        sum += Math.max(-level * error, (1 - level) * error) / width;
        gradients[b * width + k] = (error > 0 ? 1 - level : -level) / (width * batch);
      }
    }
  return { sum, gradients };
}

const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-7];

function step({ kernels, places }: Network, { rate, clipNorm }: TrainSettings, taken: number): void {
  const { at, gradient, mean, square, elements } = places.parameters;
  const norm = clipNorm > 0 ? Math.sqrt(kernels.sumSquares(gradient, elements)) : 0;
  const factor = norm > clipNorm ? clipNorm / norm : 1;
  const corrections = [1 / (1 - beta1 ** taken), 1 / (1 - beta2 ** taken)] as const;
  kernels.adam(at, gradient, mean, square, elements, factor, rate, beta1, beta2, epsilon, ...corrections);
}

/** @returns outputs, by window */
export function predictLstm(shape: LstmShape, weights: Weights, data: Windows, build: KernelBuild): Float64Array {
  const net = openNetwork(shape, build, data.rows);
  net.setTable(data.values, data.rows);
  setWeights(net, weights);
  const results = new Float64Array(data.starts.length * shape.outputs);
  for (let from = 0; from < data.starts.length; from += maxRows)
    results.set(net.forward(data.starts.subarray(from, from + maxRows), false), from * shape.outputs);
  return results;
}

/**
 * Keras' initialisation: Glorot uniform kernels, orthogonal recurrent kernels, zero biases except 1 for the forget
 * gate.
 */
export function initialWeights(shape: LstmShape, random: Random): Weights {
  return layoutOf(shape, 1, 0).all.map(({ name, rows, columns }) => {
    const units = columns / 4;
    if (name.endsWith('recurrent_kernel'))
      return { name, shape: [rows, columns], values: orthogonal(rows, columns, random) };
    if (name.endsWith('bias')) {
      const isForget = (i: number) => name.startsWith('lstm') && i >= units && i < 2 * units;
      return {
        name,
        shape: [columns],
        values: Float32Array.from({ length: columns }, (_, i) => (isForget(i) ? 1 : 0)),
      };
    }
    const limit = Math.sqrt(6 / (rows + columns));
    const values = Float32Array.from({ length: rows * columns }, () => (2 * random() - 1) * limit);
    return { name, shape: [rows, columns], values };
  });
}

/** Orthonormal rows from normal draws by Gram-Schmidt (Saxe et al. 2014). */
function orthogonal(rows: number, columns: number, random: Random): Float32Array {
  const made: Float64Array[] = [];
  while (made.length < rows) {
    const row = Float64Array.from({ length: columns }, () => normal(random));
    // Twice, against rounding errors.
    for (let again = 0; again < 2; again += 1)
      for (const other of made) {
        const dot = row.reduce((total, value, i) => total + value * (other[i] as number), 0);
        for (let i = 0; i < columns; i += 1) row[i] = (row[i] as number) - dot * (other[i] as number);
      }
    const length = Math.hypot(...row);
    if (length > 1e-6) made.push(row.map((value) => value / length));
  }
  return Float32Array.from(made.flatMap((row) => [...row]));
}

/** @throws RangeError if names or shapes differ from the network's */
export function setWeights({ kernels, places }: Network, weights: Weights): void {
  for (const [index, place] of places.all.entries()) {
    const given = weights[index];
    if (given?.values.length !== place.rows * place.columns)
      throw new RangeError(`${place.name} needs ${place.rows} × ${place.columns} weights`);
    for (const [i, value] of given.values.entries())
      kernels.floats[elementOf(place, Math.floor(i / place.columns), i % place.columns)] = value;
  }
}

export function getWeights({ kernels, places }: Network): Weights {
  return places.all.map((place) => ({
    name: place.name,
    shape: place.stored === 1 ? [place.columns] : [place.rows, place.columns],
    values: Float32Array.from(
      { length: place.rows * place.columns },
      (_, i) => kernels.floats[elementOf(place, Math.floor(i / place.columns), i % place.columns)] as number,
    ),
  }));
}

function seedDropout({ kernels, places }: Network, random: Random): void {
  // xorshift must not start at zero.
  for (let lane = 0; lane < 4; lane += 1)
    kernels.ints[places.randomState / 4 + lane] = Math.floor(random() * 0x7fffffff) + 1;
}

/** Fisher-Yates shuffle. */
export function shuffle(order: Int32Array, random: Random): void {
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
}
