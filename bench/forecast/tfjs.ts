import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import type { LstmShape } from '#services/forecast/lstm/parameter-layout.ts';
import type { LabelledWindows } from '#services/forecast/lstm/train.ts';

/**
 * Seconds per epoch of TF.js with its WebAssembly backend, extrapolated from the given number of windows (an epoch
 * takes most of a minute).
 */
export async function tfjsSeconds(
  shape: LstmShape,
  data: LabelledWindows,
  some: number,
  batch: number,
): Promise<number> {
  setWasmPaths(`${dirname(fileURLToPath(import.meta.resolve('@tensorflow/tfjs-backend-wasm')))}/`);
  await tf.setBackend('wasm');
  const recurrent = { recurrentActivation: 'sigmoid', recurrentInitializer: 'glorotUniform' } as const;
  const [first = 0, second = 0] = shape.units;
  const net = tf.sequential({
    layers: [
      tf.layers.lstm({ units: first, returnSequences: true, inputShape: [shape.window, shape.features], ...recurrent }),
      tf.layers.dropout({ rate: shape.dropout }),
      tf.layers.lstm({ units: second, ...recurrent }),
      tf.layers.dropout({ rate: shape.dropout }),
      tf.layers.dense({ units: shape.dense, activation: 'relu' }),
      tf.layers.dense({ units: shape.outputs }),
    ],
  });
  net.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
  const { window, features } = shape;
  const values = new Float32Array(some * window * features);
  for (let i = 0; i < some; i += 1)
    values.set(
      data.values.subarray(data.starts[i]! * features, (data.starts[i]! + window) * features),
      i * window * features,
    );
  const [x, y] = [tf.tensor3d(values, [some, window, features]), tf.tensor2d(data.targets.slice(0, some), [some, 1])];
  const epoch = async () => {
    const begun = performance.now();
    await net.fit(x, y, { epochs: 1, batchSize: batch, shuffle: false, verbose: 0 });
    return (performance.now() - begun) / 1000;
  };
  await epoch();
  return (Math.min(await epoch(), await epoch()) * data.starts.length) / some;
}
