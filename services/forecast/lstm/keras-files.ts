import { invalid } from '#kernel/errors.ts';
import { type LstmShape, layoutOf } from './parameter-layout.ts';
import type { Weights } from './train.ts';

/**
 * Networks in the format of TF.js and Keras: `model.json` (topology and manifest) and one binary file of 32-bit floats.
 * Files of the `tensorflowjs` converter for a Keras model of this shape can be read too.
 */
export type KerasFiles = { json: unknown; data: Uint8Array };

type Layer = { class_name: string; config: Record<string, unknown> };
type Manifest = { paths: string[]; weights: { name: string; shape: number[]; dtype: string }[] }[];
type ModelJson = {
  modelTopology?: { model_config?: { class_name?: string; config?: { layers?: Layer[] } | Layer[] } };
  weightsManifest?: Manifest;
};

export function toKeras(shape: LstmShape, weights: Weights): KerasFiles {
  const layers: Layer[] = shape.units.flatMap((units, i) => [
    layer('LSTM', `lstm_${i + 1}`, {
      units,
      activation: 'tanh',
      recurrent_activation: 'sigmoid',
      use_bias: true,
      unit_forget_bias: true,
      return_sequences: i < shape.units.length - 1,
      ...(i === 0 ? { batch_input_shape: [null, shape.window, shape.features] } : {}),
    }),
    layer('Dropout', `dropout_${i + 1}`, { rate: shape.dropout }),
  ]);
  layers.push(
    layer('Dense', 'dense_1', { units: shape.dense, activation: 'relu', use_bias: true }),
    layer('Dense', 'dense_2', { units: shape.outputs, activation: 'linear', use_bias: true }),
  );
  const manifest = weights.map(({ name, shape: size }) => ({ name, shape: size, dtype: 'float32' }));
  return {
    json: {
      format: 'layers-model',
      generatedBy: 'control-tower',
      modelTopology: {
        keras_version: 'tfjs-layers 4.22.0',
        backend: 'tensor_flow.js',
        model_config: { class_name: 'Sequential', config: { name: 'sequential_1', layers } },
      },
      weightsManifest: [{ paths: ['weights.bin'], weights: manifest }],
    },
    data: Buffer.concat(weights.map(({ values }) => littleEndian(values))),
  };
}

const layer = (class_name: string, name: string, config: Record<string, unknown>): Layer => ({
  class_name,
  config: { name, trainable: true, dtype: 'float32', ...config },
});

function littleEndian(values: Float32Array): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes;
}

/**
 * Reads the network of a `model.json` and its weights.
 * @throws TowerError `invalid`: not LSTM, Dropout and Dense layers in this order, other activations than supported
 *   (TF.js's default `hardSigmoid` among them), or missing or surplus weights
 */
export function fromKeras({ json, data }: KerasFiles): { shape: LstmShape; weights: Weights } {
  const { modelTopology, weightsManifest } = json as ModelJson;
  const config = modelTopology?.model_config?.config;
  const layers = (Array.isArray(config) ? config : config?.layers)?.filter(
    ({ class_name }) => class_name !== 'InputLayer',
  );
  if (!layers || !weightsManifest) throw refused('it has no modelTopology of layers, or no weightsManifest');
  const shape = shapeOf(layers);
  const wanted = layoutOf(shape, 1, 0).all;
  const given = weightsManifest.flatMap(({ weights }) => weights);
  if (given.length !== wanted.length) throw refused(`it has ${given.length} weights instead of ${wanted.length}`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  const weights = wanted.map((place, i) => {
    const { name, shape: size, dtype } = given[i]!;
    const expected = place.stored === 1 ? [place.columns] : [place.rows, place.columns];
    if (dtype !== 'float32' || JSON.stringify(size) !== JSON.stringify(expected))
      throw refused(`the weight ${name} is ${dtype} [${size}], not float32 [${expected}]`);
    const count = place.rows * place.columns;
    if (offset + count * 4 > data.byteLength) throw refused(`its weights end within ${name}`);
    const values = Float32Array.from({ length: count }, (_, at) => view.getFloat32(offset + at * 4, true));
    offset += count * 4;
    return { name: place.name, shape: expected, values };
  });
  if (offset !== data.byteLength) throw refused(`it has ${data.byteLength - offset} surplus bytes of weights`);
  return { shape, weights };
}

function shapeOf(layers: Layer[]): LstmShape {
  const lstms = layers.filter(({ class_name }) => class_name === 'LSTM');
  const dense = layers.filter(({ class_name }) => class_name === 'Dense');
  const others = layers.filter(({ class_name }) => !['LSTM', 'Dropout', 'Dense'].includes(class_name));
  const [first] = lstms;
  if (!first || dense.length !== 2 || others.length > 0)
    throw refused('it is not LSTM layers with Dropout, then two Dense layers');
  const input = (first.config['batch_input_shape'] ?? first.config['batch_shape']) as (number | null)[] | undefined;
  const [, window, features] = input ?? [];
  if (!window || !features) throw refused('its first layer has no input shape [null, window, features]');
  for (const { config } of lstms) {
    if (config['activation'] !== 'tanh' || config['recurrent_activation'] !== 'sigmoid' || config['use_bias'] === false)
      throw refused(`${config['name']} must have activation tanh, recurrent_activation sigmoid and a bias`);
  }
  const [hidden, output] = dense.map(({ config }) => config);
  if (hidden!['activation'] !== 'relu' || output!['activation'] !== 'linear')
    throw refused('its Dense layers must have activation relu, then linear');
  const rate = layers.find(({ class_name }) => class_name === 'Dropout')?.config['rate'];
  return {
    window,
    features,
    units: lstms.map(({ config }) => Number(config['units'])),
    dense: Number(hidden!['units']),
    outputs: Number(output!['units']),
    dropout: typeof rate === 'number' ? rate : 0,
  };
}

const refused = (why: string) => invalid(`model.json cannot be used: ${why}`, { parameter: 'model' });
