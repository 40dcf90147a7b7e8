import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { errors, tags } from '#http/route-schemas.ts';
import type { Acquisition } from '#services/acquisition/acquisition.ts';
import {
  DeleteQuery,
  ExperimentAnswer,
  ExperimentList,
  ExperimentParams,
  ExperimentsDeleted,
  ExperimentsQuery,
  TrainingData,
  TrainingParams,
} from '#services/acquisition/experiments/experiment-schemas.ts';
import {
  MetricsQuery,
  PrometheusStatus,
  RangeAnswer,
  RangeQuery,
  WorkloadMetrics,
  WorkloadParams,
} from '#services/acquisition/schemas.ts';

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });

/** Metrics of workloads from Prometheus, and load experiments. */
export async function acquisitionRoutes(
  instance: FastifyInstance,
  { acquisition }: { acquisition: Acquisition },
): Promise<void> {
  prometheusRoutes(instance, acquisition);
  experimentRoutes(instance, acquisition);
}

function prometheusRoutes(instance: FastifyInstance, acquisition: Acquisition): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/acquisition/prometheus',
    {
      config: reading,
      schema: {
        ...about('Whether Prometheus is configured and reachable'),
        response: { 200: PrometheusStatus, ...errors() },
      },
    },
    async () => acquisition.testConnection(),
  );
  app.get(
    '/api/v1/acquisition/metrics/:namespace/:service',
    {
      config: reading,
      schema: {
        ...about('Metrics of a workload: the columns of experiment files, and additional ones'),
        params: WorkloadParams,
        querystring: MetricsQuery,
        response: { 200: WorkloadMetrics, ...errors(400, 503) },
      },
    },
    async (request) => acquisition.metrics(request.params, request.query),
  );
  app.get(
    '/api/v1/acquisition/range',
    {
      config: reading,
      schema: {
        ...about('Run a PromQL range query; gaps stay null'),
        querystring: RangeQuery,
        response: { 200: RangeAnswer, ...errors(400, 503) },
      },
    },
    async (request) => acquisition.range(request.query),
  );
}

function experimentRoutes(instance: FastifyInstance, { experiments }: Acquisition): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/api/v1/acquisition/experiments';
  app.get(
    path,
    {
      config: reading,
      schema: {
        ...about('List load experiments with their quality grades'),
        querystring: ExperimentsQuery,
        response: { 200: ExperimentList, ...errors(400) },
      },
    },
    async (request) => experiments.list(request.query),
  );
  app.get(
    `${path}/:experiment_id`,
    {
      config: reading,
      schema: {
        ...about('One experiment: quality checks, and values after cleaning'),
        params: ExperimentParams,
        querystring: ExperimentsQuery.pick({ step_seconds: true }),
        response: { 200: ExperimentAnswer, ...errors(400, 404) },
      },
    },
    async (request) => experiments.one(request.params.experiment_id, request.query),
  );
  app.get(
    '/api/v1/acquisition/training-data/:service',
    {
      config: reading,
      schema: {
        ...about('Cleaned, concatenated data of all usable experiments of a service'),
        params: TrainingParams,
        response: { 200: TrainingData, ...errors(400, 404) },
      },
    },
    async (request) => experiments.forTraining(request.params.service),
  );
  app.delete(
    path,
    {
      config: { access: 'admin' },
      schema: {
        ...about('Delete the files of experiments'),
        querystring: DeleteQuery,
        response: { 200: ExperimentsDeleted, ...errors(400) },
      },
    },
    async (request) => experiments.clear(request.query.service),
  );
}
