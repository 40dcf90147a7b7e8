import type { KernelBuild } from '../lstm/kernels.ts';

/** Settings of a service's model. Separate from the model, which only worker threads and recommendations load. */

export type PipelineSettings = {
  window: number;
  units: number[];
  dense: number;
  dropout: number;
  epochs: number;
  warmEpochs: number;
  batch: number;
  rate: number;
  patience: number;
  seed: number;
  build: KernelBuild;
};

/** Chosen on frontend and cartservice (docs/adr/0011). */
export const pipelineDefaults: PipelineSettings = {
  window: 10,
  units: [64, 32],
  dense: 16,
  dropout: 0.2,
  epochs: 15,
  warmEpochs: 3,
  batch: 32,
  rate: 1e-3,
  patience: 4,
  seed: 1,
  build: 'simd',
};

/** Minimum number of windows to train a network of this size. */
export const minWindows = 100;
