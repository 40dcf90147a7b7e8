import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Config, experimentsDirectoryOf } from '#config/config.ts';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { forecastRoutes } from '#routes/forecast.ts';
import { forecastTrainingRoutes } from '#routes/forecast-training.ts';
import type { Access } from '#services/access/access.ts';
import { createForecast, forecastWorker } from '#services/forecast/forecast.ts';
import { createSharedModels } from '#services/forecast/training/shared-models.ts';
import { createTraining } from '#services/forecast/training/training.ts';
import type { Area, Frame } from './area.ts';

/** Forecasts and trained models, computed in worker threads. */
export function forecastArea(frame: Frame, { access }: { access: Access }) {
  const { config, store, queue, version, clock, log, defer } = frame;
  const build = config.FORECAST_KERNELS;
  const pool = createWorkerPool(forecastWorker, {
    threads: threadsOf(config),
    queue: config.FORECAST_QUEUE,
    perClient: config.FORECAST_MAX_PER_CLIENT,
  });
  defer('forecast threads', () => pool.close());
  // Training takes long: with a thread of its own it does not delay forecasts.
  const trainingPool = createWorkerPool(forecastWorker, { threads: 1, queue: config.FORECAST_QUEUE });
  defer('training thread', () => trainingPool.close());
  const modelsDirectory = join(config.DATA_DIRECTORY, 'models');
  const training = createTraining({
    pool: trainingPool,
    experimentsDirectory: experimentsDirectoryOf(config),
    modelsDirectory,
    queue,
    shared: store.engine === 'postgres' ? createSharedModels(store, modelsDirectory) : null,
    build,
    engine: config.FORECAST_ENGINE,
    buffers: [
      config.RECOMMENDATION_BUFFER_CPU,
      config.RECOMMENDATION_BUFFER_MEMORY,
      config.RECOMMENDATION_BUFFER_REPLICAS,
    ],
    version,
    clock,
    log,
  });
  const forecast = createForecast({ pool, timeoutMs: config.FORECAST_TIMEOUT_SECONDS * 1000, build });
  const area: Area = {
    name: 'forecast',
    routes: async (app) => {
      await app.register(forecastRoutes, { forecast });
      await app.register(forecastTrainingRoutes, { training, access, clock });
    },
  };
  return { forecast, training, area };
}

/** 0 = one less than there are cores, which the event loop keeps. */
export const threadsOf = ({ FORECAST_WORKERS: workers }: Config): number =>
  workers || Math.max(1, availableParallelism() - 1);
