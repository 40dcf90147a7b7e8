import type { FastifyInstance } from 'fastify';
import { createWorkerPool } from '#kernel/worker-pool.ts';
import { rightsizingRoutes } from '#routes/rightsizing.ts';
import { rightsizingApplyRoutes } from '#routes/rightsizing-apply.ts';
import type { Access } from '#services/access/access.ts';
import type { Cluster } from '#services/acquisition/kubernetes/cluster.ts';
import type { History } from '#services/acquisition/prometheus/history.ts';
import type { NoteOutcome } from '#services/rightsizing/apply/apply-jobs.ts';
import type { Forecaster } from '#services/rightsizing/capacity/forecast-demand.ts';
import { createRightsizing, rightsizingWorker } from '#services/rightsizing/rightsizing.ts';
import type { Area, Frame } from './area.ts';

type Needs = {
  access: Access;
  history: History;
  cluster: Cluster;
  forecaster: Forecaster;
  audit: NoteOutcome;
  threads: number;
  countRequests: (scope: FastifyInstance) => void;
};

/** Recommendations for Kubernetes workloads, computed on threads of their own, and their application. */
export function rightsizingArea(frame: Frame, needs: Needs) {
  const { config, queue, clock, log, metrics, defer } = frame;
  const { access, history, cluster, forecaster, audit, threads, countRequests } = needs;
  // One recommendation has several computations per container, so they are not counted per client.
  const pool = createWorkerPool(rightsizingWorker, { threads, queue: config.FORECAST_QUEUE });
  defer('rightsizing threads', () => pool.close());
  const applied = metrics.counter({
    name: 'tower_recommendations_applied_total',
    help: 'Applied recommendations by outcome: applied, undone (rolled back), failed',
    labels: ['outcome'],
  });
  const rightsizing = createRightsizing({
    history,
    cluster,
    forecaster,
    queue,
    audit,
    onApplied: (outcome, target, reason) => {
      applied.inc({ outcome });
      log.info({ ...target, outcome, reason }, 'finished applying a recommendation');
    },
    pool,
    prices: {
      currency: config.PRICE_CURRENCY,
      cpuCoreHour: config.PRICE_CPU_CORE_HOUR,
      memoryGibHour: config.PRICE_MEMORY_GIB_HOUR,
    },
    bounds: {
      minCpuCores: config.RIGHTSIZING_MIN_CPU_CORES,
      minMemoryBytes: config.RIGHTSIZING_MIN_MEMORY_MIB * 2 ** 20,
      maxCpuCores: config.RIGHTSIZING_MAX_CPU_CORES || undefined,
      maxMemoryBytes: config.RIGHTSIZING_MAX_MEMORY_MIB * 2 ** 20 || undefined,
    },
    timeoutMs: config.FORECAST_TIMEOUT_SECONDS * 1000,
    clock,
  });
  const area: Area = {
    name: 'rightsizing',
    routes: async (app) => {
      await app.register(async (scope) => {
        countRequests(scope);
        await scope.register(rightsizingRoutes, { rightsizing });
        await scope.register(rightsizingApplyRoutes, { rightsizing, access, clock });
      });
    },
  };
  return { rightsizing, area };
}
