import type { Weighted } from '../engine/fusion.ts';
import { solveCholesky } from '../engine/linear.ts';
import { anyValue } from '../engine/support.ts';
import type { KernelBuild } from '../lstm/kernels.ts';
import type { LstmShape } from '../lstm/parameter-layout.ts';
import { predictLstm, type Weights } from '../lstm/train.ts';
import { prophet } from '../members/prophet.ts';
import { type Experiment, features, targets } from './experiments.ts';
import {
  type Parts,
  type Place,
  placesIn,
  type Scaling,
  scaled,
  targetColumns,
  valueAt,
  windowsOf,
} from './windows.ts';

/** Members of a service's model: each predicts the next step. */

export type Fitted = {
  window: number;
  shape: LstmShape;
  weights: Weights;
  scaling: Scaling;
  /** Coefficients by target: inputs of the last rows, then a constant. */
  ridge: Float64Array[];
  /** Weights by target. */
  fusion: Weighted[][];
  /** Errors of the fused prediction on the validation part (actual − predicted), sorted, by target. */
  residuals: Float64Array[];
  buffers: number[];
  /** Split of the training data: experiments keep their part when the model is trained again. */
  parts: Parts;
};

/** Predictions of the next row, by target, method and window. */
export type Predictions = Record<string, Float64Array>[];

const ridgeRows = 3;
const ridgePenalty = 10;

export function predictAll(
  experiments: Experiment[],
  { window, shape, weights, scaling, ridge }: Fitted,
  build: KernelBuild,
): { places: Place[]; predictions: Predictions } {
  const places = placesIn(experiments, window);
  const changes = predictLstm(shape, weights, windowsOf(experiments, window, scaling), build);
  const predictions = targetColumns.map((column, target) => {
    const last = Float64Array.from(places, ({ experiment, next }) => valueAt(experiment, next - 1, column));
    const usual = scaling.change[target]!;
    return {
      persistence: last,
      ridge: Float64Array.from(
        places,
        (place, i) => last[i]! + usual * dot(ridge[target]!, ridgeInputs(place, scaling)),
      ),
      prophet: Float64Array.from(places, (place) => trendOf(place, window, column)),
      lstm: Float64Array.from(places, (_, i) => last[i]! + usual * changes[i * targets.length + target]!),
    };
  });
  return { places, predictions };
}

/** The next value of a piecewise linear trend through the window; experiments have no calendar. */
function trendOf({ experiment, next }: Place, window: number, column: number): number {
  const values = Float64Array.from({ length: window }, (_, i) => valueAt(experiment, next - window + i, column));
  const trend = prophet({ n_changepoints: 3 }).fit(
    { values, periods: [], step: null, grid: null, support: anyValue },
    1,
  );
  return trend.predict(1)[0]!;
}

function ridgeInputs({ experiment, next }: Place, scaling: Scaling): number[] {
  const rows = Array.from({ length: ridgeRows }, (_, back) =>
    features.map((_, column) => scaled(scaling, column, valueAt(experiment, next - 1 - back, column))),
  );
  return [...rows.flat(), 1];
}

const dot = (a: Float64Array, b: number[]): number => b.reduce((total, value, i) => total + value * a[i]!, 0);

/** Coefficients of the change to the next row, relative to the typical change. */
export function fitRidge(places: Place[], target: number, scaling: Scaling): Float64Array {
  const size = ridgeRows * features.length + 1;
  const [gram, cross] = [new Float64Array(size * size), new Float64Array(size)];
  for (const place of places) {
    const inputs = ridgeInputs(place, scaling);
    const column = targetColumns[target]!;
    const change =
      (valueAt(place.experiment, place.next, column) - valueAt(place.experiment, place.next - 1, column)) /
      scaling.change[target]!;
    for (let i = 0; i < size; i += 1) {
      cross[i] = cross[i]! + inputs[i]! * change;
      for (let j = 0; j < size; j += 1) gram[i * size + j] = gram[i * size + j]! + inputs[i]! * inputs[j]!;
    }
  }
  for (let i = 0; i < size; i += 1) gram[i * size + i] = gram[i * size + i]! + ridgePenalty;
  return solveCholesky(gram, size, cross, 1);
}
