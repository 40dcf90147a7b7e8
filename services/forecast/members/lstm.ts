import { mean } from '#kernel/stats.ts';
import type { Series } from '../engine/series.ts';
import type { KernelBuild } from '../lstm/kernels.ts';
import type { LstmShape } from '../lstm/parameter-layout.ts';
import { predictLstm, type TrainSettings, trainLstm, type Weights } from '../lstm/train.ts';
import { correctionIndex, type Fitted, type Member } from './member.ts';

/**
 * An LSTM on the residuals of the seasonal naive forecast: inputs are the last seasonal differences, outputs the
 * corrections of the next steps. A raw LSTM is worse than the seasonal naive forecast; this one starts from it (ES-RNN
 * and LSTM-MSNet use the same idea).
 */
export type LstmSettings = {
  units: number[];
  dense: number;
  dropout: number;
  /** Input window in steps. */
  window: number;
  epochs: number;
  /** Epochs of a warm start. */
  warmEpochs: number;
  /** Every n-th window is used for training: neighbours share all but one step. */
  stride: number;
  batch: number;
  rate: number;
  seed: number;
  build: KernelBuild;
};

export const lstmDefaults: LstmSettings = {
  units: [16],
  dense: 16,
  dropout: 0.2,
  window: 24,
  epochs: 12,
  warmEpochs: 3,
  stride: 3,
  batch: 16,
  rate: 0.003,
  seed: 1,
  build: 'simd',
};

export const lstm = (settings: Partial<LstmSettings> = {}): Member => {
  const all = { ...lstmDefaults, ...settings };
  return {
    name: 'lstm',
    needs: ({ periods }, horizon) => (periods[0] ?? 1) + spanOf(all, Math.min(horizon, 2 * (periods[0] ?? 24))),
    fit: (series, horizon) => fitLstm(series, horizon, all, null),
  };
};

const minWindows = 50;
/** Minimum number of points besides the longest season. */
const spanOf = ({ window, stride }: LstmSettings, steps: number): number => window + steps + minWindows * stride;

/** The fitted state: weights, season lags, and the scale of the corrections. */
type FittedLstm = { shape: LstmShape; weights: Weights; lags: number[]; scale: number };

function fitLstm(series: Series, horizon: number, settings: LstmSettings, before: FittedLstm | null): Fitted {
  const { values, periods } = series;
  const steps = Math.min(horizon, 2 * (periods[0] ?? 24));
  // Skips seasons that leave too little to train on.
  const fitting = periods.filter((period) => period + spanOf(settings, steps) <= values.length);
  const lags = before?.lags ?? (fitting.length > 0 ? fitting : [1]);
  const base = lags.at(-1)!;
  const scale = before?.scale ?? scaleOf(values, lags[0]!);
  const features = lags.length + 1;
  const shape: LstmShape = {
    window: settings.window,
    features,
    units: settings.units,
    dense: settings.dense,
    outputs: steps,
    dropout: settings.dropout,
  };
  const first = base;
  const rows = values.length - first;
  const table = tableOf(values, lags, first, rows, scale);
  const newest = rows - settings.window - steps;
  const count = Math.floor(newest / settings.stride) + 1;
  if (count < minWindows) throw new RangeError('too few windows to train on');
  // Includes the newest window.
  const starts = Int32Array.from({ length: count }, (_, i) => newest - (count - 1 - i) * settings.stride);
  const targets = new Float32Array(count * steps);
  for (let i = 0; i < count; i += 1) {
    const end = first + starts[i]! + settings.window - 1;
    for (let h = 0; h < steps; h += 1)
      targets[i * steps + h] = clip((values[end + 1 + h]! - values[end + 1 - base + (h % base)]!) / scale);
  }
  const train: TrainSettings = {
    epochs: before ? settings.warmEpochs : settings.epochs,
    batch: settings.batch,
    rate: before ? settings.rate / 3 : settings.rate,
    loss: { kind: 'pinball', levels: [0.5] },
    clipNorm: 1,
    validationShare: 0,
    patience: 5,
    shuffle: true,
    seed: settings.seed,
    from: before?.weights ?? null,
  };
  const { weights } = trainLstm(shape, { values: table, rows, starts, targets }, train, settings.build, () => 0);
  return seen(series, { shape, weights, lags, scale }, settings);
}

const clip = (x: number): number => Math.max(-8, Math.min(8, x));

/** Differences to each previous season, and the last change, relative to the typical difference. */
function tableOf(values: Float64Array, lags: number[], first: number, rows: number, scale: number): Float32Array {
  const features = lags.length + 1;
  const table = new Float32Array(rows * features);
  for (let row = 0; row < rows; row += 1) {
    const at = first + row;
    for (const [i, lag] of lags.entries()) table[row * features + i] = clip((values[at]! - values[at - lag]!) / scale);
    table[row * features + lags.length] = clip((values[at]! - values[at - 1]!) / scale);
  }
  return table;
}

function seen(series: Series, fitted: FittedLstm, settings: LstmSettings): Fitted {
  const { values } = series;
  const { shape, weights, lags, scale } = fitted;
  const base = lags.at(-1)!;
  const cycle = Math.min(lags[0]!, shape.outputs);
  return {
    predict: (horizon) => {
      const table = tableOf(values, lags, values.length - shape.window, shape.window, scale);
      const shift = predictLstm(
        shape,
        weights,
        { values: table, rows: shape.window, starts: Int32Array.of(0) },
        settings.build,
      );
      return Float64Array.from(
        { length: horizon },
        (_, h) => values[values.length - base + (h % base)]! + shift[correctionIndex(h, shape.outputs, cycle)]! * scale,
      );
    },
    continued: (longer) => seen(longer, fitted, settings),
    refit: (longer) => fitLstm(longer, shape.outputs, settings, fitted),
  };
}

/** Typical difference to the previous season. */
const scaleOf = (values: Float64Array, period: number): number =>
  mean(Array.from(values.subarray(period), (value, i) => Math.abs(value - values[i]!))) || 1;
