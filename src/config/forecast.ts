import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of forecasts and trained models. */
export const forecastSettings = z.object({
  RECOMMENDATION_BUFFER_CPU: number(1.2, 1, 10, false).describe('Multiplier applied to predicted CPU'),
  RECOMMENDATION_BUFFER_MEMORY: number(1.15, 1, 10, false).describe('Multiplier applied to predicted memory'),
  RECOMMENDATION_BUFFER_REPLICAS: number(1, 1, 10, false).describe('Multiplier applied to predicted replicas'),
  FORECAST_WORKERS: number(0, 0, 256).describe(
    'Number of forecast threads, besides one for training; 0: number of cores - 1',
  ),
  FORECAST_TIMEOUT_SECONDS: number(60, 1, 3600).describe('Timeout of one forecast or backtest'),
  FORECAST_QUEUE: number(64, 1, 100_000).describe('Maximum number of queued forecasts; further ones get 503'),
  FORECAST_MAX_PER_CLIENT: number(16, 1, 100_000).describe(
    'Maximum number of unfinished forecasts of one client; further ones get 429',
  ),
  FORECAST_ENGINE: z
    .enum(['auto', 'wasm', 'tfjs-node'], 'must be auto, wasm or tfjs-node')
    .default('auto')
    .describe(
      'Engine that trains LSTMs: wasm (built in), tfjs-node (24 to 30 times slower; requires npm install @tensorflow/tfjs-node), or auto, which is wasm',
    ),
  FORECAST_KERNELS: z
    .enum(['simd', 'fma', 'plain'], 'must be simd, fma or plain')
    .default('simd')
    .describe(
      'LSTM kernels: simd is bit-identical on all machines; fma is up to 25 % faster, and its last digits differ between machines; plain is slow',
    ),
});
