import type { KernelBuild } from '../lstm/kernels.ts';

/** What can be set about a service's model. Apart from the model, which only threads and recommendations load. */

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

/** Fewer windows than this teach a network of this size nothing. */
export const fewestWindows = 100;
