import type { Kernels } from './kernel-functions.ts';
import { type KernelBuild, openKernels } from './kernels.ts';
import { type LstmShape, layoutOf, type ParameterBlock, type ParameterLayout } from './parameter-layout.ts';

/**
 * LSTM layers; the last one's final state goes through a dense layer with ReLU to the outputs. Forward pass and
 * backpropagation through time, written once over the kernels. Rows are time-major: row t * count + b is step t of
 * window b.
 */
export type Network = {
  shape: LstmShape;
  kernels: Kernels;
  places: ParameterLayout;
  /** Sets the table from which windows are cut: rows × features, row-major. */
  setTable(values: ArrayLike<number>, rows: number): void;
  /** Forward pass of up to `maxRows` windows that start at these rows of the table. @returns outputs, by window */
  forward(starts: ArrayLike<number>, training: boolean): Float64Array;
  /** Backward pass: accumulates gradients of the last forward pass for the given output gradients, by window. */
  backward(outputGradients: ArrayLike<number>): void;
};

/** Windows per pass. More exceed the second-level cache; larger batches accumulate several passes. */
export const maxRows = 32;

/** @throws CompileError if this Node does not support the build's instructions */
export function openNetwork(shape: LstmShape, build: KernelBuild, tableRows: number): Network {
  const places = layoutOf(shape, maxRows, tableRows);
  const kernels = openKernels(build, places.bytes);
  const state: State = { shape, kernels, places, count: 0, dropped: false, tableStride: tableRows * 32 };
  return {
    shape,
    kernels,
    places,
    setTable: (values, rows) => setTable(state, values, rows),
    forward: (starts, training) => forward(state, starts, training),
    backward: (gradients) => backward(state, gradients),
  };
}

type State = {
  shape: LstmShape;
  kernels: Kernels;
  places: ParameterLayout;
  /** Windows of the last forward pass. */
  count: number;
  /** Whether the last forward pass applied dropout. */
  dropped: boolean;
  tableStride: number;
};

const panels = (width: number): number => Math.ceil(width / 8);

function setTable({ shape, kernels, places, tableStride }: State, values: ArrayLike<number>, rows: number): void {
  const { features } = shape;
  for (let row = 0; row < rows; row += 1)
    for (let feature = 0; feature < features; feature += 1) {
      const to = (places.table + (feature >> 3) * tableStride) / 4 + row * 8 + (feature & 7);
      kernels.floats[to] = values[row * features + feature] as number;
    }
}

function forward(state: State, starts: ArrayLike<number>, training: boolean): Float64Array {
  const { shape, kernels, places, tableStride } = state;
  const count = starts.length;
  state.count = count;
  state.dropped = training && shape.dropout > 0;
  kernels.ints.set(starts, places.starts / 4);
  kernels.gather(places.table, tableStride, panels(shape.features), places.starts, count, shape.window, places.input);
  let [input, width] = [places.input, shape.features];
  for (const [index, units] of shape.units.entries()) {
    layerForward(state, index, input, width);
    const layer = places.layers[index] as ParameterLayout['layers'][number];
    const last = index === shape.units.length - 1;
    if (!last && state.dropped)
      drop(state, layer.h, layer.dropped, layer.mask, panels(units) * shape.window * count * 8);
    input = state.dropped && !last ? layer.dropped : layer.h;
    width = units;
  }
  return head(state);
}

function layerForward({ shape, kernels, places, count }: State, index: number, input: number, width: number): void {
  const { kernel, recurrent, bias, z, c, h } = places.layers[index] as ParameterLayout['layers'][number];
  const h8 = panels(shape.units[index] as number);
  const rows = shape.window * count;
  const [stride, step] = [rows * 32, count * 32];
  kernels.gemm(input, stride, rows, panels(width), kernel.at, z, stride, 4 * h8, bias.at);
  for (let t = 0; t < shape.window; t += 1) {
    const at = t * step;
    if (t > 0) kernels.gemm(h + at - step, stride, count, h8, recurrent.at, z + at, stride, 4 * h8, 1);
    kernels.cellForward(z + at, stride, count, h8, t > 0 ? c + at - step : 0, c + at, h + at, stride);
  }
}

/** The final state of the last layer through both dense layers. */
function head(state: State): Float64Array {
  const { shape, kernels, places, count } = state;
  const layer = places.layers[shape.units.length - 1] as ParameterLayout['layers'][number];
  const h8 = panels(shape.units.at(-1)!);
  const size = count * 8;
  for (let p = 0; p < h8; p += 1) {
    const from = layer.h + (p * shape.window + shape.window - 1) * count * 32;
    const to = places.last + p * size * 4;
    if (state.dropped) drop(state, from, to, places.lastMask + p * size * 4, size);
    else kernels.floats.copyWithin(to / 4, from / 4, from / 4 + size);
  }
  const { dense, denseBias, output, outputBias } = places.weights;
  const [d8, o8] = [panels(shape.dense), panels(shape.outputs)];
  kernels.gemm(places.last, size * 4, count, h8, dense.at, places.hidden, size * 4, d8, denseBias.at);
  kernels.relu(places.hidden, d8 * size);
  kernels.gemm(places.hidden, size * 4, count, d8, output.at, places.outputs, size * 4, o8, outputBias.at);
  const results = new Float64Array(count * shape.outputs);
  for (let b = 0; b < count; b += 1)
    for (let k = 0; k < shape.outputs; k += 1)
      results[b * shape.outputs + k] = kernels.floats[
        places.outputs / 4 + ((k >> 3) * count + b) * 8 + (k & 7)
      ] as number;
  return results;
}

function drop({ shape, kernels, places }: State, x: number, y: number, mask: number, n: number): void {
  kernels.dropout(x, y, mask, n, Math.round(shape.dropout * 2 ** 32), 1 / (1 - shape.dropout), places.randomState);
}

function backward(state: State, outputGradients: ArrayLike<number>): void {
  const { shape, kernels, places, count } = state;
  const [d8, o8, h8] = [panels(shape.dense), panels(shape.outputs), panels(shape.units.at(-1)!)];
  const stride = count * 32;
  const dOut = places.outputs;
  kernels.floats.fill(0, dOut / 4, dOut / 4 + o8 * count * 8);
  for (let b = 0; b < count; b += 1)
    for (let k = 0; k < shape.outputs; k += 1)
      kernels.floats[dOut / 4 + ((k >> 3) * count + b) * 8 + (k & 7)] = outputGradients[
        b * shape.outputs + k
      ] as number;
  const { dense, denseBias, output, outputBias } = places.weights;
  gradientsOf(state, places.hidden, stride, count, d8, dOut, stride, o8, output, outputBias);
  kernels.transpose(output.at, d8, o8, places.transposed);
  kernels.gemm(dOut, stride, count, o8, places.transposed, places.hiddenGradient, stride, d8, 0);
  kernels.reluBackward(places.hiddenGradient, places.hidden, d8 * count * 8);
  gradientsOf(state, places.last, stride, count, h8, places.hiddenGradient, stride, d8, dense, denseBias);
  kernels.transpose(dense.at, h8, d8, places.transposed);
  const top = places.layers.at(-1)!;
  // The gradient of the final state belongs to the rows of the last step in each panel.
  const [layerStride, lastRow] = [shape.window * count * 32, (shape.window - 1) * count * 32];
  kernels.gemm(places.hiddenGradient, stride, count, d8, places.transposed, top.dh + lastRow, layerStride, h8, 0);
  if (state.dropped)
    for (let p = 0; p < h8; p += 1) {
      const at = top.dh + lastRow + p * layerStride;
      kernels.multiply(at, places.lastMask + p * stride, at, count * 8);
    }
  for (let index = shape.units.length - 1; index >= 0; index -= 1) layerBackward(state, index);
}

function layerBackward(state: State, index: number): void {
  const { shape, kernels, places, count } = state;
  const layer = places.layers[index] as ParameterLayout['layers'][number];
  const h8 = panels(shape.units[index] as number);
  const rows = shape.window * count;
  const [stride, step] = [rows * 32, count * 32];
  const top = index === shape.units.length - 1;
  kernels.transpose(layer.recurrent.at, h8, 4 * h8, places.transposed);
  kernels.floats.fill(0, places.carry / 4, places.carry / 4 + h8 * count * 8);
  for (let t = shape.window - 1; t >= 0; t -= 1) {
    const at = t * step;
    // The layer above sees only the final state of the top layer, but every step of lower layers.
    if (t < shape.window - 1)
      kernels.gemm(
        layer.z + at + step,
        stride,
        count,
        4 * h8,
        places.transposed,
        layer.dh + at,
        stride,
        h8,
        top ? 0 : 1,
      );
    const before = t > 0 ? layer.c + at - step : 0;
    kernels.cellBackward(layer.z + at, stride, count, h8, before, layer.c + at, layer.dh + at, stride, places.carry);
  }
  const below = places.layers[index - 1];
  const width = index === 0 ? shape.features : (shape.units[index - 1] as number);
  const input = below ? (state.dropped ? below.dropped : below.h) : places.input;
  gradientsOf(state, input, stride, rows, panels(width), layer.z, stride, 4 * h8, layer.kernel, layer.bias);
  const later = layer.z + step;
  kernels.gemmTransposed(layer.h, stride, rows - count, h8, later, stride, 4 * h8, layer.recurrent.gradient);
  if (!below) return;
  kernels.transpose(layer.kernel.at, panels(width), 4 * h8, places.transposed);
  kernels.gemm(layer.z, stride, rows, 4 * h8, places.transposed, below.dh, stride, panels(width), 0);
  if (state.dropped) kernels.multiply(below.dh, below.mask, below.dh, panels(width) * rows * 8);
}

/** Gradients of one weight matrix and its biases. */
function gradientsOf(
  { kernels }: State,
  a: number,
  aStride: number,
  m: number,
  k8: number,
  d: number,
  dStride: number,
  n8: number,
  weights: ParameterBlock,
  bias: ParameterBlock,
): void {
  kernels.gemmTransposed(a, aStride, m, k8, d, dStride, n8, weights.gradient);
  kernels.sumRows(d, dStride, m, n8, bias.gradient);
}
