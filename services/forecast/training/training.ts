import { basename, join } from 'node:path';
import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound, publicText } from '#kernel/errors.ts';
import { fileFacts } from '#kernel/files.ts';
import type { Log } from '#kernel/log.ts';
import type { WorkerPool } from '#kernel/worker-pool.ts';
import type { Queue } from '#store/queue.ts';
import type { TrainTask } from '../forecast.worker.ts';
import { toKeras } from '../lstm/keras-files.ts';
import type { KernelBuild } from '../lstm/kernels.ts';
import type { Epoch } from '../lstm/train.ts';
import { checkServiceName, type Experiment, loadTrainingData, targets } from './experiments.ts';
import { createTrainingJobs, type JobProgress } from './jobs.ts';
import {
  fingerprintOf,
  lastWindows,
  listModels,
  loadModel,
  modelFile,
  type SavedModel,
  saveModel,
} from './model-library.ts';
import type { Evaluation, Trained } from './pipeline.ts';
import { minWindows, pipelineDefaults } from './pipeline-settings.ts';
import type { SharedModels } from './shared-models.ts';
import { decayOf, evaluationAnswer, infoOf, noModel, progressOf } from './training-answers.ts';
import type {
  EvaluationAnswer,
  ModelInfo,
  RecommendationAnswer,
  RecommendationBatch,
  RecommendationRequest,
  RecommendationsAnswer,
  TrainRequest,
  TrainResult,
} from './training-schemas.ts';
import { placesIn } from './windows.ts';

/** Models of services: trained from experiments, stored in the library, evaluated, used for recommendations. */
export type Training = ReturnType<typeof createTraining>;

type Deps = {
  pool: WorkerPool;
  queue: Queue;
  /** Models of other instances with the same store; null without any. */
  shared: SharedModels | null;
  experimentsDirectory: string;
  modelsDirectory: string;
  build: KernelBuild;
  /** `auto` is `wasm`: many times faster (docs/adr/0011). */
  engine: 'auto' | 'wasm' | 'tfjs-node';
  /** Multipliers applied to predicted CPU, memory and replicas. */
  buffers: number[];
  version: string;
  clock: Clock;
  log: Log;
};

export function createTraining(deps: Deps) {
  const { pool, queue, shared, experimentsDirectory, modelsDirectory, build, clock } = deps;
  const jobs = createTrainingJobs(queue, async (service, request, signal, onProgress) =>
    runTraining(deps, service, await loadTrainingData(experimentsDirectory, service), request, signal, onProgress),
  );
  const latest = latestModels(deps);
  const one = async (service: string, request: RecommendationRequest): Promise<RecommendationAnswer> => {
    const { recommend } = await loadRecommender();
    return recommend(await latest(service), request, build);
  };
  const train = async (service: string, request: TrainRequest) => {
    // Invalid training data is refused before the job is queued.
    const { experiments } = await loadTrainingData(experimentsDirectory, service);
    refuseTooLittle(experiments, request.window ?? pipelineDefaults.window);
    return jobs.start(service, request);
  };
  return {
    /** Starts training. @throws TowerError `not_found`, `invalid` for too little data, `conflict` */
    train,
    jobs,
    /** Evaluates the stored model on experiments it was not trained on, including later ones. */
    evaluate: async (service: string, retrain: boolean): Promise<EvaluationAnswer> => {
      const model = await current(deps, service);
      const { experiments, notes } = await loadTrainingData(experimentsDirectory, service);
      const judges = experiments.filter(({ id }) => (model.fitted.parts[id] ?? 'test') === 'test');
      if (placesIn(judges, model.fitted.window).length === 0)
        throw invalid(`no experiments of ${service} are left for an evaluation`, { service });
      const task = { experiments: judges, fitted: model.fitted, build };
      const evaluation = await pool.run<Evaluation>('runEvaluation', task, {
        signal: AbortSignal.timeout(evaluationMs),
      });
      const reason = decayOf(evaluation, model.evaluation);
      const job = reason !== null && retrain ? ((await jobs.open(service)) ?? (await train(service, {}))) : null;
      return evaluationAnswer(model, evaluation, reason, job?.id ?? null, notes, clock.now());
    },
    recommend: one,
    /** One failure does not affect the others. */
    recommendAll: async ({ requests }: RecommendationBatch): Promise<RecommendationsAnswer> => {
      const answer: RecommendationsAnswer = { recommendations: [], failures: [] };
      for (const { service, current_metrics } of requests)
        await one(service, current_metrics).then(
          (each) => answer.recommendations.push(each),
          (error: unknown) => answer.failures.push({ service, error: publicText(error) }),
        );
      return answer;
    },
    models: async (): Promise<ModelInfo[]> => {
      await fetchShared(shared, null, deps.log);
      const all = await listModels(modelsDirectory);
      return all.map((listed) => ('error' in listed ? { ...noModel, ...listed } : infoOf(listed.model)));
    },
    model: async (service: string): Promise<ModelInfo> => infoOf(await current(deps, service)),
    /** The network in the format of TF.js and Keras. */
    keras: async (service: string) => {
      const { shape, weights } = (await current(deps, service)).fitted;
      return toKeras(shape, weights);
    },
  };
}

/** While the store is unavailable, the local models are used. */
async function fetchShared(shared: SharedModels | null, service: string | null, log: Log): Promise<void> {
  await shared?.fetch(service).catch((error: unknown) => {
    log.warn({ err: error }, 'failed to read the models of other instances');
  });
}

/** The model of a service, including one trained by another instance. */
async function current({ shared, modelsDirectory, log }: Deps, service: string): Promise<SavedModel> {
  checkServiceName(service);
  await fetchShared(shared, service, log);
  return loadModel(modelsDirectory, service);
}

/** Models by file; each is read and verified once until its file changes. */
function latestModels({ shared, modelsDirectory: directory, log }: Deps): (service: string) => Promise<SavedModel> {
  const known = new Map<string, { modifiedAt: number; model: SavedModel }>();
  return async (service) => {
    checkServiceName(service);
    await fetchShared(shared, service, log);
    const facts = await fileFacts(join(directory, modelFile(service)));
    const kept = known.get(service);
    if (kept && kept.modifiedAt === facts?.modifiedAt) return kept.model;
    known.delete(service);
    const model = await loadModel(directory, service);
    if (facts) known.set(service, { modifiedAt: facts.modifiedAt, model });
    return model;
  };
}

/** Loaded with the first recommendation: it imports the network. */
const loadRecommender = () => import('./recommend.ts');

const evaluationMs = 120_000;

function refuseTooLittle(experiments: Experiment[], window: number): void {
  const windows = placesIn(experiments, window).length;
  // Three fifths are used for training.
  if (experiments.length < 5 || windows * 0.6 < minWindows)
    throw invalid(
      `${experiments.length} experiments with ${windows} windows of ${window} steps are too few: at least 5 experiments and ${Math.ceil(minWindows / 0.6)} windows are required; use a shorter window or longer experiments`,
      { parameter: 'window', experiments: experiments.length, windows },
    );
}

async function runTraining(
  deps: Deps,
  service: string,
  { experiments, notes }: { experiments: Experiment[]; notes: string[] },
  request: TrainRequest,
  signal: AbortSignal,
  onProgress: (progress: JobProgress) => void,
): Promise<TrainResult> {
  const { pool, modelsDirectory, build, buffers, version, clock } = deps;
  const begun = clock.now();
  const before = request.warm_start === false ? null : await current(deps, service).catch(() => null);
  const { window = pipelineDefaults.window, epochs = pipelineDefaults.epochs, seed = pipelineDefaults.seed } = request;
  const warmEpochs = request.epochs ?? pipelineDefaults.warmEpochs;
  const settings = { ...pipelineDefaults, window, epochs, warmEpochs, seed, build };
  const engine = await engineOf(deps);
  const task: Omit<TrainTask, 'progress'> = { experiments, settings, buffers, before: before?.fitted ?? null, engine };
  const onEpoch = (message: unknown) => onProgress(progressOf(message as Epoch));
  const trained = await pool.run<Trained>('runTraining', task, { signal, onProgress: onEpoch });
  const seconds = (clock.now() - begun) / 1000;
  const { evaluation, fitted, samples, history } = trained;
  const model: SavedModel = {
    service,
    trained_at: new Date(clock.now()).toISOString(),
    library_version: version,
    fingerprint: fingerprintOf(experiments),
    samples,
    training_seconds: seconds,
    fitted,
    evaluation,
    endings: lastWindows(experiments, window),
    notes,
  };
  const path = await saveModel(modelsDirectory, model);
  // If the store is unavailable, the model is published at its next use.
  await deps.shared
    ?.publish(service)
    .catch((error: unknown) =>
      deps.log.warn({ err: error, service }, 'failed to publish a trained model; retrying at its next use'),
    );
  const scores = (i: number) => evaluation.methods[targets[i]!]!['fused']!;
  return {
    status: 'success',
    model_path: `models/${basename(path)}`,
    training_time: seconds < 90 ? `${seconds.toFixed(1)} seconds` : `${(seconds / 60).toFixed(1)} minutes`,
    training_seconds: seconds,
    data_samples: samples,
    experiments: experiments.length,
    epochs: history.length,
    engine,
    warm_start: trained.warm,
    model_performance: {
      cpu_model_mse: scores(0).mse,
      memory_model_mse: scores(1).mse,
      replica_model_mse: scores(2).mse,
    },
    fusion_results: await fusionResults(model, build),
    notes,
  };
}

/** tfjs-node if it is configured and works; the log says why it does not. */
async function engineOf({ engine, log }: Deps): Promise<TrainTask['engine']> {
  if (engine !== 'tfjs-node') return 'wasm';
  const { unavailableReason } = await import('../lstm/tfjs-node.ts');
  const failure = await unavailableReason();
  if (failure === null) return 'tfjs-node';
  log.warn(
    { reason: failure },
    'tfjs-node cannot be used (npm install @tensorflow/tfjs-node); using the built-in engine',
  );
  return 'wasm';
}

/** The prediction after the last step of the last test experiment. */
async function fusionResults(model: SavedModel, build: KernelBuild): Promise<TrainResult['fusion_results']> {
  const { recommend } = await loadRecommender();
  const ending = model.endings.find(({ id }) => id === model.evaluation.experiments.at(-1)!) ?? model.endings.at(-1)!;
  if (!ending) throw notFound(`no experiment of ${model.service} is as long as the window`);
  const current = {
    cpu_cores_value: ending.rows.at(-1)![2]!,
    mem_bytes_value: ending.rows.at(-1)![3]!,
    replica_count: ending.replicas,
    load_users: ending.users,
    scenario: ending.scenario,
  };
  const { unbuffered } = recommend(model, current, build);
  return {
    cpu_prediction: unbuffered!.cpu_cores,
    memory_prediction: unbuffered!.memory_bytes,
    replica_prediction: unbuffered!.replicas,
  };
}
