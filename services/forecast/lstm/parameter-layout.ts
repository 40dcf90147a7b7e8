/** Memory layout of a network. */

/**
 * `window`: steps per window; `features`: columns per step; `units`: one LSTM layer each; `dense`: width of the layer
 * before the outputs; `dropout`: dropout rate after each LSTM layer during training.
 */
export type LstmShape = {
  window: number;
  features: number;
  units: number[];
  dense: number;
  outputs: number;
  dropout: number;
};

/** One weight matrix or vector: `rows` × `columns` (`gates` equal parts, each padded separately), and its gradient. */
export type ParameterBlock = {
  name: string;
  at: number;
  gradient: number;
  rows: number;
  columns: number;
  gates: number;
  /** Rows including padding; 1 for a bias. */
  stored: number;
};

type Layer = {
  kernel: ParameterBlock;
  recurrent: ParameterBlock;
  bias: ParameterBlock;
  z: number;
  c: number;
  h: number;
  dh: number;
  mask: number;
  dropped: number;
};

export type ParameterLayout = {
  /** Weights are contiguous; gradients and Adam's two moments have the same layout. */
  parameters: { at: number; gradient: number; mean: number; square: number; elements: number };
  /** All weight matrices, in Keras' order. */
  all: ParameterBlock[];
  layers: Layer[];
  weights: { dense: ParameterBlock; denseBias: ParameterBlock; output: ParameterBlock; outputBias: ParameterBlock };
  input: number;
  last: number;
  lastMask: number;
  hidden: number;
  hiddenGradient: number;
  outputs: number;
  carry: number;
  transposed: number;
  starts: number;
  randomState: number;
  table: number;
  bytes: number;
};

const padded = (width: number): number => Math.ceil(width / 8) * 8;
const sizeOf = (place: ParameterBlock): number => place.stored * padded(place.columns / place.gates) * place.gates;

export function layoutOf(shape: LstmShape, maxRows: number, tableRows: number): ParameterLayout {
  const { all, layers, weights } = weightsOf(shape);
  const elements = all.reduce((total, place) => total + sizeOf(place), 0);
  // Lower addresses hold the kernels' constants; 0 and 1 have a special meaning.
  let free = 1024;
  const take = (count: number): number => {
    const at = free;
    free += Math.ceil((count * 4) / 64) * 64;
    return at;
  };
  const parameters = {
    at: take(elements),
    gradient: take(elements),
    mean: take(elements),
    square: take(elements),
    elements,
  };
  let offset = 0;
  for (const place of all) {
    place.at = parameters.at + offset;
    place.gradient = parameters.gradient + offset;
    offset += sizeOf(place) * 4;
  }
  const rows = shape.window * maxRows;
  const widest = Math.max(
    ...shape.units.map(padded),
    padded(shape.features),
    padded(shape.dense),
    padded(shape.outputs),
  );
  const placed = layers.map((layer, index) => {
    const h = padded(shape.units[index] as number) * rows;
    return { ...layer, z: take(4 * h), c: take(h), h: take(h), dh: take(h), mask: take(h), dropped: take(h) };
  });
  return {
    parameters,
    all,
    layers: placed,
    weights,
    input: take(padded(shape.features) * rows),
    last: take(widest * maxRows),
    lastMask: take(widest * maxRows),
    hidden: take(widest * maxRows),
    hiddenGradient: take(widest * maxRows),
    outputs: take(widest * maxRows),
    carry: take(widest * maxRows),
    transposed: take(Math.max(...all.map(sizeOf))),
    starts: take(maxRows),
    randomState: take(4),
    table: take(padded(shape.features) * tableRows),
    bytes: free,
  };
}

function weightsOf(shape: LstmShape) {
  const all: ParameterBlock[] = [];
  const place = (name: string, rows: number, columns: number, gates = 1): ParameterBlock => {
    const stored = name.endsWith('/bias') ? 1 : padded(rows);
    const made = { name, at: 0, gradient: 0, rows, columns, gates, stored };
    all.push(made);
    return made;
  };
  let width = shape.features;
  const layers = shape.units.map((units, index) => {
    const layer = {
      kernel: place(`lstm_${index + 1}/kernel`, width, 4 * units, 4),
      recurrent: place(`lstm_${index + 1}/recurrent_kernel`, units, 4 * units, 4),
      bias: place(`lstm_${index + 1}/bias`, 1, 4 * units, 4),
    };
    width = units;
    return layer;
  });
  const weights = {
    dense: place('dense_1/kernel', width, shape.dense),
    denseBias: place('dense_1/bias', 1, shape.dense),
    output: place('dense_2/kernel', shape.dense, shape.outputs),
    outputBias: place('dense_2/bias', 1, shape.outputs),
  };
  return { all, layers, weights };
}

/** Memory element of (row, column) of a matrix, considering panels and padding of gates. */
export function elementOf(place: ParameterBlock, row: number, column: number): number {
  const perGate = place.columns / place.gates;
  const inPanels = Math.floor(column / perGate) * padded(perGate) + (column % perGate);
  return place.at / 4 + ((inPanels >> 3) * place.stored + row) * 8 + (inPanels & 7);
}
