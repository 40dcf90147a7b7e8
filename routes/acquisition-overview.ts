import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { errors, tags } from '#http/route-schemas.ts';
import type { Acquisition } from '#services/acquisition/acquisition.ts';
import {
  CollectionAnswer,
  CollectionStatus,
  HealthAnswer,
  StatusQuery,
  SystemHealth,
  SystemQuery,
} from '#services/acquisition/overview-schemas.ts';
import { WorkloadList, WorkloadsParams } from '#services/acquisition/schemas.ts';

const reading = { access: 'read' } as const;
const about = (summary: string) => ({ tags: [tags.rightsizing], summary });

/** Health and progress of data collection, and the workloads of the cluster. */
export async function acquisitionOverviewRoutes(
  instance: FastifyInstance,
  { acquisition }: { acquisition: Acquisition },
): Promise<void> {
  healthRoutes(instance, acquisition);
  progressRoutes(instance, acquisition);
}

function healthRoutes(instance: FastifyInstance, { overview }: Acquisition): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/acquisition/health',
    {
      config: reading,
      schema: {
        ...about('Health of Kubernetes, Prometheus, data and models'),
        response: { 200: HealthAnswer, ...errors() },
      },
    },
    async () => overview.health(),
  );
  app.get(
    '/api/v1/acquisition/system',
    {
      config: reading,
      schema: {
        ...about('Status of Kubernetes and Prometheus, workloads of a namespace, and resource usage of this machine'),
        querystring: SystemQuery,
        response: { 200: SystemHealth, ...errors(400) },
      },
    },
    async (request) => overview.system(request.query.namespace),
  );
}

function progressRoutes(instance: FastifyInstance, { overview, cluster }: Acquisition): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    '/api/v1/acquisition/collection',
    {
      config: reading,
      schema: {
        ...about('Progress of the experiments'),
        response: { 200: CollectionAnswer, ...errors(400) },
      },
    },
    async () => overview.collection(),
  );
  app.get(
    '/api/v1/acquisition/status',
    {
      config: reading,
      schema: {
        ...about('Experiments and models by service'),
        querystring: StatusQuery,
        response: { 200: CollectionStatus, ...errors(400) },
      },
    },
    async (request) => overview.status(request.query.service),
  );
  app.get(
    '/api/v1/acquisition/workloads/:namespace',
    {
      config: reading,
      schema: {
        ...about('Deployments and StatefulSets of a namespace: replicas, requests, limits, autoscalers'),
        params: WorkloadsParams,
        response: { 200: WorkloadList, ...errors(400, 503) },
      },
    },
    async (request) => cluster.workloads(request.params.namespace),
  );
}
