import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { Forecaster } from '../capacity/forecast-demand.ts';
import type { Bounds } from './bounds.ts';
import type { Prices } from './cost.ts';

/** Dependencies of recommendations. */
export type SizeDeps = {
  history: History;
  /** Forecast engine. */
  forecaster: Forecaster;
  pool: WorkerPool;
  prices: Prices;
  bounds: Bounds;
};
