import { basename, join } from 'node:path';
import type { Clock } from '../../src/kernel/clock.ts';
import { invalid, notFound } from '../../src/kernel/errors.ts';
import { fileFacts } from '../../src/kernel/files.ts';
import type { Log } from '../../src/kernel/log.ts';
import type { WorkerPool } from '../../src/kernel/worker-pool.ts';
import { checkServiceName, type Experiment, loadTrainingData, targets } from './experiments.ts';
import type { TrainTask } from './forecast.worker.ts';
import { createTrainingJobs, type JobProgress } from './jobs.ts';
import { endingsOf, fingerprintOf, listModels, loadModel, modelFile, type SavedModel, saveModel } from './library.ts';
import { toKeras } from './lstm/keras-files.ts';
import type { KernelBuild } from './lstm/kernels.ts';
import type { Epoch } from './lstm/train.ts';
import type { Evaluation, Trained } from './pipeline.ts';
import { fewestWindows, pipelineDefaults } from './pipeline-settings.ts';
import type {
  EvaluationAnswer,
  ModelInfo,
  RecommendationRequest,
  TrainRequest,
  TrainResult,
} from './training-schemas.ts';
import { placesIn } from './windows.ts';

/** Models of services: trained from experiments, kept in the library, evaluated, asked for recommendations. */
export type Training = ReturnType<typeof createTraining>;

type Deps = {
  pool: WorkerPool;
  experimentsFolder: string;
  modelsFolder: string;
  build: KernelBuild;
  /** `auto` is `wasm`: many times faster (docs/adr/0011). */
  engine: 'auto' | 'wasm' | 'tfjs-node';
  /** Recommended CPU, memory and replicas in times of the predicted ones. */
  buffers: number[];
  version: string;
  clock: Clock;
  log: Log;
};

export function createTraining(deps: Deps) {
  const { pool, experimentsFolder, modelsFolder, build, clock } = deps;
  const jobs = createTrainingJobs<TrainResult>(deps);
  const latest = latestModels(modelsFolder);
  const train = async (service: string, request: TrainRequest) => {
    const data = await loadTrainingData(experimentsFolder, service);
    refuseTooLittle(data.experiments, request.window ?? pipelineDefaults.window);
    return jobs.start(service, (signal, onProgress) => runTraining(deps, service, data, request, signal, onProgress));
  };
  return {
    /** Begins to train a service's model. @throws TowerError `not_found`, `invalid` where the experiments are too few or short, `conflict` */
    train,
    jobs,
    /** How the stored model does on experiments it was not trained on, those that came later among them. */
    evaluate: async (service: string, retrain: boolean): Promise<EvaluationAnswer> => {
      const model = await loadModel(modelsFolder, service);
      const { experiments, notes } = await loadTrainingData(experimentsFolder, service);
      const judges = experiments.filter(({ id }) => (model.fitted.parts[id] ?? 'test') === 'test');
      if (placesIn(judges, model.fitted.window).length === 0)
        throw invalid(`no experiment of ${service} is left to judge its model by`, { service });
      const task = { experiments: judges, fitted: model.fitted, build };
      const evaluation = await pool.run<Evaluation>('runEvaluation', task, {
        signal: AbortSignal.timeout(evaluationMs),
      });
      const reason = decayOf(evaluation, model.evaluation);
      const job = reason !== null && retrain ? (jobs.running(service) ?? (await train(service, {}))) : null;
      return evaluationAnswer(model, evaluation, reason, job?.id ?? null, notes, clock.now());
    },
    recommend: async (service: string, request: RecommendationRequest) => {
      const { recommend } = await loadRecommender();
      return recommend(await latest(service), request, build);
    },
    models: async (): Promise<ModelInfo[]> =>
      (await listModels(modelsFolder)).map((listed) =>
        'error' in listed ? { ...noModel, ...listed } : infoOf(listed.model),
      ),
    model: async (service: string): Promise<ModelInfo> => infoOf(await loadModel(modelsFolder, service)),
    /** The network as TF.js and Keras read it. */
    keras: async (service: string) => {
      const { shape, weights } = (await loadModel(modelsFolder, service)).fitted;
      return toKeras(shape, weights);
    },
    stop: () => jobs.stop(),
  };
}

/** Models as their files stand, each read and checked once until its file changes. */
function latestModels(folder: string): (service: string) => Promise<SavedModel> {
  const known = new Map<string, { modifiedAt: number; model: SavedModel }>();
  return async (service) => {
    checkServiceName(service);
    const facts = await fileFacts(join(folder, modelFile(service)));
    const kept = known.get(service);
    if (kept && kept.modifiedAt === facts?.modifiedAt) return kept.model;
    known.delete(service);
    const model = await loadModel(folder, service);
    if (facts) known.set(service, { modifiedAt: facts.modifiedAt, model });
    return model;
  };
}

/** Loaded with the first recommendation: it brings the network along. */
const loadRecommender = () => import('./recommend.ts');

const evaluationMs = 120_000;

function refuseTooLittle(experiments: Experiment[], window: number): void {
  const windows = placesIn(experiments, window).length;
  // Three fifths of them learn.
  if (experiments.length < 5 || windows * 0.6 < fewestWindows)
    throw invalid(
      `${experiments.length} experiments with ${windows} windows of ${window} steps are too few to train on: it takes 5 experiments and ${Math.ceil(fewestWindows / 0.6)} windows; a shorter window or longer experiments give more`,
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
  const { pool, modelsFolder, build, buffers, version, clock } = deps;
  const begun = clock.now();
  const before = request.warm_start === false ? null : await loadModel(modelsFolder, service).catch(() => null);
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
    endings: endingsOf(experiments, window),
    notes,
  };
  const path = await saveModel(modelsFolder, model);
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

/** tfjs-node where it is asked for and works; the log says why it does not. */
async function engineOf({ engine, log }: Deps): Promise<TrainTask['engine']> {
  if (engine !== 'tfjs-node') return 'wasm';
  const { troubleOf } = await import('./lstm/tfjs-node.ts');
  const trouble = await troubleOf();
  if (trouble === null) return 'tfjs-node';
  log.warn(
    { reason: trouble },
    'tfjs-node cannot be used (npm install @tensorflow/tfjs-node); the engine of this program trains instead',
  );
  return 'wasm';
}

/** What it predicts after the last step of the experiment that was held back last. */
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

const progressOf = ({ epoch, epochs, loss, validationLoss, seconds }: Epoch): JobProgress => ({
  epoch,
  epochs,
  loss,
  validation_loss: validationLoss,
  eta_seconds: Math.round((epochs - epoch) * seconds * 10) / 10,
});

/**
 * Why the model should be trained again; null where it does as well as it did. Measured against persistence, for an error
 * grows with the load, and that alone is no decay.
 */
function decayOf(now: Evaluation, then: Evaluation): string | null {
  const errors = ({ methods }: Evaluation, target: string) =>
    [methods[target]!['fused']!.mae, methods[target]!['persistence']!.mae] as const;
  for (const target of targets) {
    const [[today, plain], [before, plainBefore]] = [errors(now, target), errors(then, target)];
    // Where persistence makes no error at all there is nothing to measure against.
    if (plain === 0 || plainBefore === 0) continue;
    if (today / plain > (before / plainBefore) * 1.25)
      return `the mean error of ${target} is ${(today / plain).toFixed(2)} times persistence’s; it was ${(before / plainBefore).toFixed(2)} times when the model was trained`;
  }
  return null;
}

function evaluationAnswer(
  model: SavedModel,
  { methods, ...evaluation }: Evaluation,
  reason: string | null,
  job: string | null,
  notes: string[],
  now: number,
): EvaluationAnswer {
  const fused = (i: number) => methods[targets[i]!]!['fused']!;
  return {
    service_name: model.service,
    evaluation_date: new Date(now).toISOString(),
    model_performance: { cpu_model: fused(0), memory_model: fused(1), replica_model: fused(2) },
    fusion_performance: { overall_confidence: evaluation.confidence, prediction_accuracy: evaluation.sufficed },
    methods,
    windows: evaluation.windows,
    experiments: evaluation.experiments,
    trained_at: model.trained_at,
    decayed: reason !== null,
    decay_reason: reason,
    retraining_job: job,
    notes,
  };
}

const noModel = {
  trained_at: null,
  library_version: null,
  fingerprint: null,
  data_samples: null,
  window: null,
  weights: null,
  training_seconds: null,
  error: null,
};

const infoOf = ({
  service,
  trained_at,
  library_version,
  fingerprint,
  samples,
  fitted,
  training_seconds,
}: SavedModel): ModelInfo => ({
  service,
  trained_at,
  library_version,
  fingerprint,
  data_samples: samples,
  training_seconds,
  window: fitted.window,
  weights: Object.fromEntries(
    targets.map((target, i) => [
      target,
      Object.fromEntries(fitted.fusion[i]!.map(({ name, weight }) => [name, weight])),
    ]),
  ),
  error: null,
});
