import type { MessagePort } from 'node:worker_threads';
import { backtest } from './engine/backtest.ts';
import { forecast } from './engine/engine.ts';
import type { EngineSettings } from './engine/engine-settings.ts';
import type { Series } from './engine/series.ts';
import type { KernelBuild } from './lstm/kernels.ts';
import { trainInChild } from './lstm/tfjs-node.ts';
import { type Epoch, trainLstm } from './lstm/train.ts';
import type { Experiment } from './training/experiments.ts';
import { evaluate, trainPipeline } from './training/pipeline.ts';
import type { Fitted } from './training/pipeline-members.ts';
import type { PipelineSettings } from './training/pipeline-settings.ts';

/** Functions of the worker threads; `pool.run` calls them by name. */

export type ForecastTask = { series: Series; settings: EngineSettings };
export type BacktestTask = ForecastTask & { windows: number; progress: MessagePort | null };

export const runForecast = ({ series, settings }: ForecastTask) => forecast(series, settings);

export const runBacktest = ({ series, settings, windows, progress }: BacktestTask) =>
  backtest(series, settings, windows, (done) => progress?.postMessage({ done, of: windows }));

export type TrainTask = {
  experiments: Experiment[];
  settings: PipelineSettings;
  buffers: number[];
  before: Fitted | null;
  engine: 'wasm' | 'tfjs-node';
  progress: MessagePort | null;
};

export const runTraining = ({ experiments, settings, buffers, before, engine, progress }: TrainTask) => {
  const onEpoch = (epoch: Epoch) => {
    progress?.postMessage(epoch);
    return true;
  };
  return trainPipeline(experiments, settings, buffers, before, (shape, windows, net) =>
    engine === 'tfjs-node'
      ? trainInChild(shape, windows, net, onEpoch)
      : trainLstm(shape, windows, net, settings.build, () => performance.now(), onEpoch),
  );
};

export type EvaluateTask = { experiments: Experiment[]; fitted: Fitted; build: KernelBuild };

export const runEvaluation = ({ experiments, fitted, build }: EvaluateTask) => evaluate(experiments, fitted, build);
