import { z } from 'zod';
import { wholeBetween } from '../schemas.ts';

/** HTTP schemas of training, the model library and recommendations. */

// Sums of larger values could overflow.
const anyNumber = z.number('must be a number').min(-1e18, 'must be at least -1e18').max(1e18, 'must be at most 1e18');
const measured = (max: number) =>
  z.number('must be a number').min(0, 'must not be negative').max(max, `must be at most ${max}`);

export const TrainRequest = z
  .strictObject({
    window: wholeBetween(2, 60).optional().describe('Input window in steps; default 10'),
    epochs: wholeBetween(1, 200).optional(),
    seed: wholeBetween(0, 2 ** 31 - 1).optional(),
    warm_start: z
      .boolean('must be true or false')
      .optional()
      .describe('false: train from scratch even if there is a model'),
  })
  .meta({ id: 'TrainRequest', examples: [{ window: 10 }] });
export type TrainRequest = z.infer<typeof TrainRequest>;

export const TrainResult = z.object({
  status: z.literal('success'),
  model_path: z.string().describe('Under DATA_DIRECTORY'),
  training_time: z.string(),
  training_seconds: z.number(),
  data_samples: z.number().describe('Number of training windows'),
  experiments: z.number(),
  epochs: z.number(),
  warm_start: z.boolean(),
  engine: z.enum(['wasm', 'tfjs-node']),
  model_performance: z
    .object({ cpu_model_mse: z.number(), memory_model_mse: z.number(), replica_model_mse: z.number() })
    .describe('On test experiments'),
  fusion_results: z.object({
    cpu_prediction: z.number(),
    memory_prediction: z.number(),
    replica_prediction: z.number(),
  }),
  notes: z.array(z.string()),
});
export type TrainResult = z.infer<typeof TrainResult>;

export const TrainingJob = z
  .object({
    id: z.string(),
    service: z.string(),
    status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']),
    attempts: z.int().describe('Number of starts: above 1 if an instance died while running it'),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
    progress: z
      .object({
        epoch: z.number(),
        epochs: z.number(),
        loss: z.number(),
        validation_loss: z.number().nullable(),
        eta_seconds: z.number(),
      })
      .nullable(),
    result: TrainResult.nullable(),
    error: z.string().nullable(),
  })
  .meta({
    id: 'TrainingJob',
    examples: [
      {
        id: '0b7c4f0e-6a34-4f0e-9d0a-2f5a3b1c8d9e',
        service: 'frontend',
        status: 'running',
        attempts: 1,
        created_at: '2026-11-20T10:30:00.000Z',
        finished_at: null,
        progress: { epoch: 3, epochs: 15, loss: 0.41, validation_loss: 0.38, eta_seconds: 2.4 },
        result: null,
        error: null,
      },
    ],
  });
export type TrainingJob = z.infer<typeof TrainingJob>;

const scores = z.object({ mse: z.number(), mae: z.number(), r2: z.number().nullable() });
const exampleScores = { mse: 0.0000012, mae: 0.0002, r2: 0.91 };

export const EvaluateRequest = z
  .strictObject({ retrain_if_decayed: z.boolean('must be true or false').default(false) })
  .meta({ id: 'EvaluateRequest', examples: [{ retrain_if_decayed: false }] });

export const EvaluationAnswer = z
  .object({
    service_name: z.string(),
    evaluation_date: z.iso.datetime(),
    model_performance: z.object({ cpu_model: scores, memory_model: scores, replica_model: scores }),
    fusion_performance: z.object({
      overall_confidence: z.number().describe('Stated probability that its recommendations suffice'),
      prediction_accuracy: z.number().describe('Observed frequency'),
    }),
    methods: z
      .record(z.string(), z.record(z.string(), scores))
      .describe('By target and method; includes persistence and the fixed 0.4/0.6 blend'),
    windows: z.number(),
    experiments: z.array(z.string()).describe('Experiments used for evaluation, none of them for training'),
    trained_at: z.iso.datetime(),
    decayed: z.boolean(),
    decay_reason: z.string().nullable(),
    retraining_job: z.string().nullable(),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'EvaluationAnswer',
    examples: [
      {
        service_name: 'frontend',
        evaluation_date: '2026-11-20T10:30:00.000Z',
        model_performance: { cpu_model: exampleScores, memory_model: exampleScores, replica_model: exampleScores },
        fusion_performance: { overall_confidence: 0.93, prediction_accuracy: 0.94 },
        methods: { cpu_cores_value: { persistence: exampleScores, fused: exampleScores } },
        windows: 412,
        experiments: ['frontend_browsing_replicas_2_users_30'],
        trained_at: '2026-11-20T10:00:00.000Z',
        decayed: false,
        decay_reason: null,
        retraining_job: null,
        notes: [],
      },
    ],
  });
export type EvaluationAnswer = z.infer<typeof EvaluationAnswer>;

const currentMetrics = {
  cpu_cores_value: measured(1e6).describe('Cores used'),
  mem_bytes_value: measured(1e15),
  replica_count: wholeBetween(1, 100_000),
  load_users: measured(1e9),
  scenario: z.string('must be a string').max(100).optional().describe('Only experiments with this scenario'),
  net_rx_bytes_value: anyNumber.optional(),
  net_tx_bytes_value: anyNumber.optional(),
  pod_restarts_value: anyNumber.optional(),
  replica_count_value: measured(100_000).optional().describe('Current number of replicas; default: replica_count'),
  node_cpu_util_value: anyNumber.optional(),
  node_mem_util_value: anyNumber.optional(),
  network_activity_rate_value: anyNumber.optional(),
  processing_intensity_value: anyNumber.optional(),
  service_stability_value: anyNumber.optional(),
  resource_pressure_value: anyNumber.optional(),
};
const exampleMetrics = { cpu_cores_value: 0.0001, mem_bytes_value: 10_000_000, replica_count: 2, load_users: 50 };

export const RecommendationRequest = z
  .strictObject(currentMetrics)
  .meta({ id: 'RecommendationRequest', examples: [exampleMetrics] });
export type RecommendationRequest = z.infer<typeof RecommendationRequest>;

export const ShortRecommendationRequest = z
  .strictObject({ service: z.string('must be a string'), current_metrics: z.strictObject(currentMetrics) })
  .meta({ id: 'ShortRecommendationRequest', examples: [{ service: 'frontend', current_metrics: exampleMetrics }] });

const amounts = z.object({ cpu_cores: z.number(), memory_bytes: z.number(), replicas: z.number() });
const TargetRecommendation = z.object({
  predicted: z.number(),
  recommended: z.number(),
  confidence: z.number(),
  lower: z
    .number()
    .nullable()
    .describe(
      'Lower end of the 90 % interval of the next step, from errors on validation experiments; null if too few',
    ),
  upper: z.number().nullable(),
  prophet_contribution: z.number(),
  lstm_contribution: z.number(),
  members: z.array(
    z.object({ name: z.string(), weight: z.number(), left_out: z.string().nullable(), prediction: z.number() }),
  ),
});
const exampleTold = {
  predicted: 0.000102,
  recommended: 0.000122,
  confidence: 0.95,
  lower: 0.000091,
  upper: 0.000114,
  prophet_contribution: 0.0001,
  lstm_contribution: 0.000103,
  members: [{ name: 'lstm', weight: 1, left_out: null, prediction: 0.000103 }],
};

export const RecommendationAnswer = z
  .object({
    service_name: z.string(),
    status: z.enum(['success', 'abstained']),
    reason: z.string().nullable().describe('Why there is no recommendation'),
    recommendations: amounts.nullable(),
    unbuffered: amounts.nullable().describe('Prediction without the buffers'),
    buffers: z.object({ cpu: z.number(), memory: z.number(), replicas: z.number() }).nullable(),
    confidence: z
      .number()
      .nullable()
      .describe(
        'Probability that the next step needs no more, from errors on validation experiments; the minimum of the three',
      ),
    targets: z
      .object({ cpu: TargetRecommendation, memory: TargetRecommendation, replicas: TargetRecommendation })
      .nullable(),
    window_from: z
      .object({
        experiment: z.string(),
        scenario: z.string(),
        replica_count: z.number(),
        load_users: z.number(),
        distance: z.number(),
      })
      .nullable()
      .describe('The experiment whose last steps are used as history; distance in doublings of replicas and users'),
    model: z.object({ trained_at: z.iso.datetime(), fingerprint: z.string(), window: z.number() }),
  })
  .meta({
    id: 'RecommendationAnswer',
    examples: [
      {
        service_name: 'frontend',
        status: 'success',
        reason: null,
        recommendations: { cpu_cores: 0.000122, memory_bytes: 11_500_000, replicas: 2 },
        unbuffered: { cpu_cores: 0.000102, memory_bytes: 10_000_000, replicas: 2.01 },
        buffers: { cpu: 1.2, memory: 1.15, replicas: 1 },
        confidence: 0.95,
        targets: { cpu: exampleTold, memory: exampleTold, replicas: exampleTold },
        window_from: {
          experiment: 'frontend_browsing_replicas_2_users_50',
          scenario: 'browsing',
          replica_count: 2,
          load_users: 50,
          distance: 0,
        },
        model: { trained_at: '2026-11-20T10:00:00.000Z', fingerprint: '9f2c', window: 10 },
      },
    ],
  });
export type RecommendationAnswer = z.infer<typeof RecommendationAnswer>;

export const RecommendationBatch = z
  .strictObject({
    requests: z
      .array(ShortRecommendationRequest, 'must be an array')
      .min(1, 'must have at least one element')
      .max(100, 'must have at most 100 elements'),
  })
  .meta({
    id: 'RecommendationBatch',
    examples: [{ requests: [{ service: 'frontend', current_metrics: exampleMetrics }] }],
  });
export type RecommendationBatch = z.infer<typeof RecommendationBatch>;

export const RecommendationsAnswer = z
  .object({
    recommendations: z.array(RecommendationAnswer),
    failures: z.array(z.object({ service: z.string(), error: z.string() })),
  })
  .meta({
    id: 'RecommendationsAnswer',
    examples: [{ recommendations: [], failures: [{ service: 'frontend', error: 'no trained model of frontend' }] }],
  });
export type RecommendationsAnswer = z.infer<typeof RecommendationsAnswer>;

export const ModelInfo = z
  .object({
    service: z.string(),
    trained_at: z.iso.datetime().nullable(),
    library_version: z.string().nullable(),
    fingerprint: z.string().nullable().describe('SHA-256 of the training experiments'),
    data_samples: z.number().nullable(),
    training_seconds: z.number().nullable(),
    window: z.number().nullable(),
    weights: z
      .record(z.string(), z.record(z.string(), z.number()))
      .nullable()
      .describe('Weights of the members, by target'),
    error: z.string().nullable().describe('Why its file cannot be used'),
  })
  .meta({
    id: 'TrainedModel',
    examples: [
      {
        service: 'frontend',
        trained_at: '2026-11-20T10:00:00.000Z',
        library_version: '0.4.0',
        fingerprint: '9f2c',
        data_samples: 1401,
        training_seconds: 4.2,
        window: 10,
        weights: { cpu_cores_value: { lstm: 0.4, ridge: 0.3, persistence: 0.3 } },
        error: null,
      },
    ],
  });
export type ModelInfo = z.infer<typeof ModelInfo>;
export const ModelList = z.array(ModelInfo).meta({ examples: [[]] });
