import { z } from 'zod';
import { isoTime } from '#kernel/clock.ts';
import { choiceText, integerText } from '#kernel/query-schemas.ts';
import type { ExperimentRow, ModelVersion } from './snapshot/snapshot.ts';
import { stageSources, stages } from './snapshot/stages.ts';
import type { Run as RunRead } from './sources/source.ts';

/** JSON of the registry, with the field names of the documented API; the only place where rows become JSON. */

export const time = z.iso.datetime().nullable().describe('ISO 8601, UTC; null if MLflow does not record it');
const Tags = z.record(z.string(), z.string());
const Metrics = z
  .record(z.string(), z.number().nullable())
  .describe('Last value of each metric; null for NaN and infinity');
export const StageName = z.enum(stages);
export const ModelTypeName = z.enum(['classifier', 'regressor']);

const exampleVersion = {
  name: 'churn-predictor',
  version: '3',
  stage: 'Production' as const,
  creation_timestamp: '2026-09-05T07:00:00.000Z',
  last_updated_timestamp: '2026-09-05T07:00:00.000Z',
  description: 'churn-predictor 3',
  tags: { task: 'classification', validated: 'true' },
  metrics: { accuracy: 0.9371, f1_score: 0.8964, precision: 0.9172, recall: 0.8765 },
  metric_sources: {
    accuracy: 'run' as const,
    f1_score: 'run' as const,
    precision: 'run' as const,
    recall: 'run' as const,
  },
  model_id: null,
  model_type: 'classifier' as const,
  run_id: '0d6c35d3a1f24f0fa0c1b8ea7b3c1e55',
  current_stage: 'Production' as const,
  stage_source: 'stage' as const,
  aliases: ['champion'],
  status: 'READY',
  source: 'runs:/0d6c35d3a1f24f0fa0c1b8ea7b3c1e55/model',
  experiment_id: '1',
  run_status: 'FINISHED',
  run_deleted: false,
};

export const ModelInfo = z
  .object({
    name: z.string(),
    version: z.string(),
    stage: StageName.describe('Effective stage: the stage in MLflow, else the one of its aliases'),
    creation_timestamp: time,
    last_updated_timestamp: time,
    description: z.string(),
    tags: Tags,
    metrics: Metrics,
    metric_sources: z
      .record(z.string(), z.enum(['logged_model', 'run']))
      .describe(
        'Where each metric is from: the logged model (MLflow 3) that the version was registered from, or its run',
      ),
    model_id: z.string().nullable().describe('The logged model (MLflow 3) that the version was registered from'),
    model_type: ModelTypeName.nullable().describe(
      'From the tags model_type, type, task or task_type; null without them',
    ),
    run_id: z.string().nullable(),
    current_stage: StageName.describe('Stage in MLflow'),
    stage_source: z.enum(stageSources),
    aliases: z.array(z.string()),
    status: z.string().describe('READY, PENDING_REGISTRATION or FAILED_REGISTRATION'),
    source: z.string(),
    experiment_id: z.string().nullable(),
    run_status: z.string().nullable().describe('null if the run does not exist'),
    run_deleted: z.boolean(),
    registry: z.string().optional().describe('Name of the registry, if there are several'),
  })
  .meta({ id: 'ModelInfo' });
export type ModelInfo = z.infer<typeof ModelInfo>;

export const ModelList = z
  .array(ModelInfo.partial().meta({ id: 'PartialModelInfo' }))
  .meta({ examples: [[exampleVersion]] });

export const Experiment = z
  .object({
    experiment_id: z.string(),
    name: z.string(),
    artifact_location: z.string(),
    lifecycle_stage: z.string().describe('active or deleted'),
    creation_time: time,
    last_update_time: time,
    tags: Tags,
    registry: z.string().optional().describe('Name of the registry, if there are several'),
  })
  .meta({ id: 'Experiment' });
export type Experiment = z.infer<typeof Experiment>;

export const ExperimentList = z.array(Experiment.partial().meta({ id: 'PartialExperiment' })).meta({
  examples: [
    [
      {
        experiment_id: '1',
        name: 'growth-models',
        artifact_location: 'sample/1',
        lifecycle_stage: 'active',
        creation_time: '2025-10-16T00:00:00.000Z',
        last_update_time: '2025-10-16T00:00:00.000Z',
        tags: { team: 'growth' },
      },
    ],
  ],
});

export const Run = z
  .object({
    run_id: z.string(),
    experiment_id: z.string(),
    status: z.string().describe('RUNNING, SCHEDULED, FINISHED, FAILED or KILLED'),
    start_time: time,
    end_time: time.describe('null while the run is active'),
    metrics: Metrics,
    params: z.record(z.string(), z.string()),
    tags: Tags,
    run_name: z.string(),
  })
  .meta({ id: 'Run' });
export type Run = z.infer<typeof Run>;

export const RunList = z.array(Run).meta({
  examples: [
    [
      {
        run_id: '0d6c35d3a1f24f0fa0c1b8ea7b3c1e55',
        experiment_id: '1',
        status: 'FINISHED',
        start_time: '2026-09-05T05:00:00.000Z',
        end_time: '2026-09-05T06:50:00.000Z',
        metrics: { accuracy: 0.9371 },
        params: { learning_rate: '0.001' },
        tags: { 'mlflow.user': 'dana' },
        run_name: 'train-3',
      },
    ],
  ],
});

/** Query of every list of model versions; `list-query.ts` validates the values. */
const one = z.string().max(512, 'must have at most 512 characters');
const many = z.union([one, z.array(one).max(20, 'must not be repeated more than 20 times')]);
export const PageQuery = z.strictObject({
  limit: integerText(1).optional().describe('Maximum number of entries; at most MAX_MODELS_RETURNED'),
  page_token: z
    .string()
    .max(4096, 'must have at most 4096 characters')
    .optional()
    .describe('Page token: the value from the Link header or x-next-page-token'),
  fields: one.optional().describe('Comma-separated fields to return, e.g. name,version,metrics.accuracy'),
  order_by: one.optional().describe('Field and asc or desc, e.g. "metrics.accuracy desc"; default: name and version'),
  name: one.optional().describe('Exactly this name'),
  search: one.optional().describe('Case-insensitive part of the name'),
  tag: many.optional().describe('key or key=value; can be repeated'),
});
export const ModelListQuery = PageQuery.extend({
  metric: many.optional().describe('metric, or metric and a bound, e.g. accuracy>=0.9; can be repeated'),
  alias: one.optional().describe('Versions with exactly this alias'),
  stage: choiceText(stages).optional().describe('Effective stage, see by'),
  by: choiceText(['effective', 'stage', 'alias'])
    .optional()
    .describe('Source of the stage: effective (default), stage or alias'),
});
export type ModelListQuery = z.infer<typeof ModelListQuery>;
/** Query of lists restricted to one stage. */
export const StageListQuery = ModelListQuery.omit({ stage: true });
export const RunsQuery = z.strictObject({
  limit: integerText(1, 1000).optional().describe('Maximum number of runs, default 100'),
});

const metricSources = ({ metrics, loggedModel }: ModelVersion): ModelInfo['metric_sources'] =>
  Object.fromEntries(
    Object.keys(metrics).map((name) => [
      name,
      loggedModel && Object.hasOwn(loggedModel.metrics, name) ? 'logged_model' : 'run',
    ]),
  );

export const modelInfo = (version: ModelVersion): ModelInfo => ({
  ...(version.registry === undefined ? {} : { registry: version.registry }),
  name: version.name,
  version: version.version,
  stage: version.stage,
  creation_timestamp: isoTime(version.createdAt),
  last_updated_timestamp: isoTime(version.updatedAt),
  description: version.description,
  tags: version.tags,
  metrics: version.metrics,
  metric_sources: metricSources(version),
  model_id: version.modelId,
  model_type: version.modelType,
  run_id: version.runId,
  current_stage: version.currentStage,
  stage_source: version.stageSource,
  aliases: version.aliases,
  status: version.status,
  source: version.source,
  experiment_id: version.run?.experimentId ?? null,
  run_status: version.run?.status ?? null,
  run_deleted: version.run?.deleted ?? false,
});

export const experiment = (row: ExperimentRow): Experiment => ({
  ...(row.registry === undefined ? {} : { registry: row.registry }),
  experiment_id: row.experimentId,
  name: row.name,
  artifact_location: row.artifactLocation,
  lifecycle_stage: row.lifecycleStage,
  creation_time: isoTime(row.createdAt),
  last_update_time: isoTime(row.updatedAt),
  tags: row.tags,
});

export const runInfo = (run: RunRead): Run => ({
  run_id: run.runId,
  experiment_id: run.experimentId,
  status: run.status,
  start_time: isoTime(run.startedAt),
  end_time: isoTime(run.endedAt),
  metrics: run.metrics,
  params: run.params,
  tags: run.tags,
  run_name: run.name,
});
