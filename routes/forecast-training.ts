import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { jobRoutes } from '#http/job-routes.ts';
import { errors, tags } from '#http/route-schemas.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Access } from '#services/access/access.ts';
import type { Training } from '#services/forecast/training/training.ts';
import {
  EvaluateRequest,
  EvaluationAnswer,
  ModelInfo,
  ModelList,
  RecommendationAnswer,
  RecommendationBatch,
  RecommendationRequest,
  RecommendationsAnswer,
  ShortRecommendationRequest,
  TrainingJob,
  TrainRequest,
} from '#services/forecast/training/training-schemas.ts';

type Deps = { training: Training; access: Access; clock: Clock };

const reading = { access: 'read' } as const;
/** A POST that only computes: not audited. */
const asking = { access: 'read', audited: false } as const;
const about = (summary: string) => ({ tags: [tags.forecast], summary });
const ofService = z.object({ service: z.string('must be a string') });

/** Models of services: train, follow, list, evaluate, recommend. */
export async function forecastTrainingRoutes(instance: FastifyInstance, deps: Deps): Promise<void> {
  serviceRoutes(instance, deps);
  recommendationRoutes(instance, deps);
  jobRoutes(instance, deps, {
    path: '/api/v1/forecast/jobs',
    tag: tags.forecast,
    Job: TrainingJob,
    jobs: deps.training.jobs,
    cancelling: 'operate',
    summaries: {
      list: 'List training jobs, newest first',
      one: 'Get a training job',
      cancel: 'Cancel a training job; finished jobs are unchanged',
      events: 'Stream the progress of a training job (SSE)',
    },
  });
  modelRoutes(instance, deps);
  kerasRoutes(instance, deps);
}

function serviceRoutes(instance: FastifyInstance, { training }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/api/v1/services/:service';
  app.post(
    `${path}/train`,
    {
      config: { access: 'operate' },
      schema: {
        ...about('Start a job that trains a service’s model from its experiments'),
        params: ofService,
        body: TrainRequest.nullish(),
        response: { 202: TrainingJob, ...errors(400, 404, 409) },
      },
    },
    async (request, reply) => {
      const job = await training.train(request.params.service, request.body ?? {});
      return reply.code(202).header('location', `/api/v1/forecast/jobs/${job.id}`).send(job);
    },
  );
  app.post(
    `${path}/evaluate`,
    {
      // It may start a training.
      config: { access: 'operate' },
      schema: {
        ...about('Evaluate a service’s model on experiments it was not trained on'),
        params: ofService,
        body: EvaluateRequest.nullish(),
        response: { 200: EvaluationAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request) => training.evaluate(request.params.service, request.body?.retrain_if_decayed ?? false),
  );
  app.post(
    `${path}/recommendation`,
    {
      config: asking,
      schema: {
        ...about('Recommend CPU, memory and replicas for the next step, from current metrics'),
        params: ofService,
        body: RecommendationRequest,
        response: { 200: RecommendationAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request) => training.recommend(request.params.service, request.body),
  );
}

function recommendationRoutes(instance: FastifyInstance, { training }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.post(
    '/recommendations',
    {
      config: asking,
      schema: {
        ...about('Recommend, with service and current metrics in the body'),
        body: ShortRecommendationRequest,
        response: { 200: RecommendationAnswer, ...errors(400, 404, 503) },
      },
    },
    async (request) => training.recommend(request.body.service, request.body.current_metrics),
  );
  app.post(
    '/recommendations/batch',
    {
      config: asking,
      schema: {
        ...about('Recommend for several services; failures do not affect the others'),
        body: RecommendationBatch,
        response: { 200: RecommendationsAnswer, ...errors(400) },
      },
    },
    async (request) => training.recommendAll(request.body),
  );
}

function modelRoutes(instance: FastifyInstance, { training }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/api/v1/forecast/models';
  app.get(
    path,
    {
      config: reading,
      schema: {
        ...about('List trained models, including damaged files with the reason'),
        response: { 200: ModelList, ...errors() },
      },
    },
    async () => training.models(),
  );
  app.get(
    `${path}/:service`,
    {
      config: reading,
      schema: {
        ...about('Get a trained model'),
        params: ofService,
        response: { 200: ModelInfo, ...errors(400, 404, 503) },
      },
    },
    async (request) => training.model(request.params.service),
  );
}

function kerasRoutes(instance: FastifyInstance, { training }: Deps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const path = '/api/v1/forecast/models';
  app.get(
    `${path}/:service/model.json`,
    {
      config: reading,
      schema: {
        ...about('The network in the format of TF.js and Keras; its weights are in weights.bin'),
        params: ofService,
        response: { 200: KerasJson, ...errors(400, 404, 503) },
      },
    },
    async (request) => (await training.keras(request.params.service)).json as z.infer<typeof KerasJson>,
  );
  app.get(
    `${path}/:service/weights.bin`,
    {
      config: reading,
      schema: {
        ...about('Weights of the network: 32-bit floats in the order of model.json'),
        params: ofService,
        produces: ['application/octet-stream'],
        response: {
          200: z
            .string()
            .describe('Bytes')
            .meta({ examples: ['…'] }),
          ...errors(400, 404, 503),
        },
      },
    },
    async (request, reply) => {
      const { data } = await training.keras(request.params.service);
      return reply.type('application/octet-stream').send(data as unknown as string);
    },
  );
}

const KerasJson = z
  .looseObject({ format: z.string(), modelTopology: z.unknown(), weightsManifest: z.array(z.unknown()) })
  .meta({ examples: [{ format: 'layers-model', modelTopology: {}, weightsManifest: [] }] });
