import type * as Tf from '@tensorflow/tfjs';
import { seededRandom } from '#kernel/rng.ts';
import { toKeras } from './keras-files.ts';
import type { LstmShape } from './parameter-layout.ts';
import {
  type Epoch,
  initialWeights,
  type LabelledWindows,
  shuffle,
  type Trained,
  type TrainSettings,
  type Weights,
} from './train.ts';

/**
 * The same training by TensorFlow.js; all its packages share one API. Weights have the layout of `Weights`. Dropout is
 * TF.js's own and cannot be seeded.
 * @throws RangeError for a loss of several quantiles
 */
export async function trainTfjs(
  tf: typeof Tf,
  shape: LstmShape,
  data: LabelledWindows,
  settings: TrainSettings,
  now: () => number,
  onEpoch: (epoch: Epoch) => boolean = () => true,
): Promise<Trained> {
  const random = seededRandom(settings.seed);
  const from = settings.from ?? initialWeights(shape, random);
  // Our training draws these numbers for dropout; drawing them here too gives the same order of windows.
  for (let lane = 0; lane < 4; lane += 1) random();
  const net = await loadNet(tf, shape, from);
  const adam = tf.train.adam(settings.rate, 0.9, 0.999, 1e-7);
  const count = data.starts.length;
  const held = Math.floor(count * settings.validationShare);
  const order = Int32Array.from({ length: count - held }, (_, i) => i);
  const validation = Int32Array.from({ length: held }, (_, i) => count - held + i);
  const history: Epoch[] = [];
  let best = { loss: Number.POSITIVE_INFINITY, epoch: settings.epochs, weights: null as Weights | null };
  for (let epoch = 1; epoch <= settings.epochs; epoch += 1) {
    const begun = now();
    if (settings.shuffle) shuffle(order, random);
    let total = 0;
    for (let at = 0; at < order.length; at += settings.batch) {
      const picked = order.subarray(at, at + settings.batch);
      total += step(tf, net, adam, shape, data, picked, settings) * picked.length;
      // Lets abort messages arrive.
      await new Promise(setImmediate);
    }
    const validationLoss =
      held > 0 ? tf.tidy(() => lossOf(tf, net, shape, data, validation, settings, false).dataSync()[0]!) : null;
    const done = {
      epoch,
      epochs: settings.epochs,
      loss: total / order.length,
      validationLoss,
      seconds: (now() - begun) / 1000,
    };
    history.push(done);
    if (validationLoss !== null && validationLoss < best.loss)
      best = { loss: validationLoss, epoch, weights: weightsOf(net, from) };
    if (!onEpoch(done) || (validationLoss !== null && epoch - best.epoch >= settings.patience)) break;
  }
  const weights = best.weights ?? weightsOf(net, from);
  net.dispose();
  return { shape, weights, history, bestEpoch: best.weights ? best.epoch : history.length };
}

/** The network with these weights. */
function loadNet(tf: typeof Tf, shape: LstmShape, weights: Weights): Promise<Tf.LayersModel> {
  const { json, data } = toKeras(shape, weights);
  const { modelTopology, weightsManifest } = json as {
    modelTopology: object;
    weightsManifest: { weights: Tf.io.WeightsManifestEntry[] }[];
  };
  const weightSpecs = weightsManifest.flatMap(({ weights }) => weights);
  return tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData: new Uint8Array(data).buffer }));
}

const weightsOf = (net: Tf.LayersModel, like: Weights): Weights =>
  net.getWeights().map((tensor, i) => ({ ...like[i]!, values: Float32Array.from(tensor.dataSync()) }));

/** One step of Adam on these windows. @returns the mean loss */
function step(
  tf: typeof Tf,
  net: Tf.LayersModel,
  adam: Tf.Optimizer,
  shape: LstmShape,
  data: LabelledWindows,
  picked: Int32Array,
  settings: TrainSettings,
): number {
  return tf.tidy(() => {
    const { value, grads } = adam.computeGradients(() => lossOf(tf, net, shape, data, picked, settings, true));
    const norm =
      settings.clipNorm > 0
        ? Math.sqrt(Object.values(grads).reduce((sum, grad) => sum + grad.square().sum().dataSync()[0]!, 0))
        : 0;
    const factor = norm > settings.clipNorm ? settings.clipNorm / norm : 1;
    adam.applyGradients(Object.fromEntries(Object.entries(grads).map(([name, grad]) => [name, grad.mul(factor)])));
    return value.dataSync()[0]!;
  });
}

function lossOf(
  tf: typeof Tf,
  net: Tf.LayersModel,
  { window, features, outputs }: LstmShape,
  data: LabelledWindows,
  picked: Int32Array,
  { loss }: TrainSettings,
  training: boolean,
): Tf.Scalar {
  const inputs = new Float32Array(picked.length * window * features);
  const targets = new Float32Array(picked.length * outputs);
  for (const [b, i] of picked.entries()) {
    const start = data.starts[i]! * features;
    inputs.set(data.values.subarray(start, start + window * features), b * window * features);
    targets.set(data.targets.subarray(i * outputs, (i + 1) * outputs), b * outputs);
  }
  const predicted = net.apply(tf.tensor3d(inputs, [picked.length, window, features]), { training }) as Tf.Tensor2D;
  const error = predicted.sub(tf.tensor2d(targets, [picked.length, outputs]));
  if (loss.kind === 'mse') return error.square().mean();
  const [level, ...more] = loss.levels;
  if (level === undefined || more.length > 0) throw new RangeError('TF.js trains for one quantile');
  return tf.maximum(error.mul(-level), error.mul(1 - level)).mean();
}
