import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of forecasts and trained models. */
export const forecastSettings = z.object({
  RECOMMENDATION_BUFFER_CPU: number(1.2, 1, 10, false).describe('Recommended CPU in times of what is predicted'),
  RECOMMENDATION_BUFFER_MEMORY: number(1.15, 1, 10, false).describe('The same for memory'),
  RECOMMENDATION_BUFFER_REPLICAS: number(1, 1, 10, false).describe('The same for replicas'),
  FORECAST_WORKERS: number(0, 0, 256).describe(
    'Threads that forecast, beside one that trains; 0: one less than there are cores',
  ),
  FORECAST_TIMEOUT_SECONDS: number(60, 1, 3600).describe('Longest time for one forecast or backtest'),
  FORECAST_QUEUE: number(64, 1, 100_000).describe(
    'Forecasts that may wait for a thread; further ones are answered 503',
  ),
  FORECAST_ENGINE: z
    .enum(['auto', 'wasm', 'tfjs-node'], 'must be auto, wasm or tfjs-node')
    .default('auto')
    .describe(
      'What trains LSTMs: wasm (this program’s own; auto means it too), or tfjs-node, which is installed with npm install @tensorflow/tfjs-node and takes 24 to 30 times as long',
    ),
  FORECAST_KERNELS: z
    .enum(['simd', 'fma', 'plain'], 'must be simd, fma or plain')
    .default('simd')
    .describe(
      'LSTM kernels: simd gives the same bits on every machine, fma is a quarter faster at best and differs in the last digits between machines, plain is slow',
    ),
});
