import { seededRandom } from '#kernel/rng.ts';
import type { LabelledWindows } from '../lstm/train.ts';
import { type Experiment, features, targets } from './experiments.ts';

/** Windows for training: each within one experiment; scaling is computed from the training part only. */

/** Scaling: range of each feature, typical change of each target. */
export type Scaling = { low: number[]; high: number[]; change: number[] };

/** Experiments for training, for validation (stopping, weights, intervals), and for testing. */
export type Split = { train: Experiment[]; validation: Experiment[]; test: Experiment[] };
/** Part of each experiment, by id. */
export type Parts = Record<string, keyof Split>;

/**
 * Random split by seed: three fifths, one fifth, one fifth. Experiments with a known part keep it: training data must
 * never become test data when experiments are added.
 */
export function splitExperiments(experiments: Experiment[], seed: number, known: Parts = {}): Split {
  const random = seededRandom(seed);
  const order = experiments.map((experiment) => ({ experiment, at: random() })).sort((a, b) => a.at - b.at);
  const split: Split = { train: [], validation: [], test: [] };
  for (const { experiment } of order) {
    const part = known[experiment.id];
    if (part) split[part].push(experiment);
  }
  const fifth = Math.max(1, Math.round(experiments.length / 5));
  for (const { experiment } of order) {
    if (known[experiment.id]) continue;
    const part = split.test.length < fifth ? 'test' : split.validation.length < fifth ? 'validation' : 'train';
    split[part].push(experiment);
  }
  return split;
}

export const partsOf = (split: Split): Parts =>
  Object.fromEntries(
    (['train', 'validation', 'test'] as const).flatMap((part) => split[part].map(({ id }) => [id, part] as const)),
  );

const columnOf = (target: (typeof targets)[number]): number => features.indexOf(target);
export const targetColumns: number[] = targets.map(columnOf);

export const valueAt = ({ values }: Experiment, row: number, column: number): number =>
  values[row * features.length + column]!;

export function scalingOf(experiments: Experiment[]): Scaling {
  const over = (column: number, pick: (a: number, b: number) => number) =>
    experiments.reduce(
      (found, { values, rows }) => {
        for (let row = 0; row < rows; row += 1) found = pick(found, values[row * features.length + column]!);
        return found;
      },
      valueAt(experiments[0]!, 0, column),
    );
  const usualChange = (column: number) => {
    let [total, count] = [0, 0];
    for (const experiment of experiments)
      for (let row = 1; row < experiment.rows; row += 1, count += 1)
        total += Math.abs(valueAt(experiment, row, column) - valueAt(experiment, row - 1, column));
    return total / Math.max(1, count) || 1;
  };
  return {
    low: features.map((_, column) => over(column, Math.min)),
    high: features.map((_, column) => over(column, Math.max)),
    change: targetColumns.map(usualChange),
  };
}

export const scaled = ({ low, high }: Scaling, column: number, value: number): number =>
  high[column]! > low[column]! ? (value - low[column]!) / (high[column]! - low[column]!) : 0;

/** A window: the rows of an experiment before `next`, which is the row to predict. */
export type Place = { experiment: Experiment; next: number };

export const placesIn = (experiments: Experiment[], window: number): Place[] =>
  experiments.flatMap((experiment) =>
    Array.from({ length: Math.max(0, experiment.rows - window) }, (_, i) => ({ experiment, next: window + i })),
  );

const maxChange = 10;

/** Windows and, by target, the change to the next row relative to the typical change. */
export function windowsOf(experiments: Experiment[], window: number, scaling: Scaling): LabelledWindows {
  const rows = experiments.reduce((total, experiment) => total + experiment.rows, 0);
  const values = new Float32Array(rows * features.length);
  const starts: number[] = [];
  const labels: number[] = [];
  let first = 0;
  for (const experiment of experiments) {
    for (let row = 0; row < experiment.rows; row += 1)
      for (let column = 0; column < features.length; column += 1)
        values[(first + row) * features.length + column] = scaled(scaling, column, valueAt(experiment, row, column));
    for (let next = window; next < experiment.rows; next += 1) {
      starts.push(first + next - window);
      for (const [i, column] of targetColumns.entries()) {
        const change = (valueAt(experiment, next, column) - valueAt(experiment, next - 1, column)) / scaling.change[i]!;
        labels.push(Math.max(-maxChange, Math.min(maxChange, change)));
      }
    }
    first += experiment.rows;
  }
  return { values, rows, starts: Int32Array.from(starts), targets: Float32Array.from(labels) };
}
