import type { Command } from 'commander';
import { invalid, TowerError } from '#kernel/errors.ts';
import type { EvaluationAnswer, ModelInfo, TrainingJob } from '#services/forecast/training/training-schemas.ts';
import type { CliContext } from '../context.ts';
import { followJob } from '../follow-job.ts';
import { card, table } from '../table.ts';
import { addTrainExperimentCommands } from './train-experiments.ts';

type TrainFlags = { service?: string; services?: string; window?: string; epochs?: string; fresh?: boolean };

/** `tower train`: runs load experiments of services, and trains models from them. */
export function addTrainCommands(program: Command, context: CliContext): void {
  const train = program.command('train').description('run load experiments and train models of services');
  train
    .command('models')
    .description('train models and wait for them')
    .option('--service <name>', 'one service')
    .option('--services <names>', 'several, comma-separated')
    .option('--window <steps>', 'number of steps in the input window; default 10')
    .option('--epochs <number>', 'maximum number of epochs')
    .option('--fresh', 'train from scratch even if there is a model')
    .action(async (flags: TrainFlags) => {
      const names = [flags.service ?? '', ...(flags.services ?? '').split(',')]
        .map((name) => name.trim())
        .filter(Boolean);
      if (names.length === 0) throw invalid('set --service or --services');
      const jobs = await trainAll(context, names, flags);
      const failed = jobs.filter(({ status }) => status !== 'succeeded');
      if (failed.length > 0)
        throw new TowerError('internal', `not trained: ${failed.map(({ service }) => service).join(', ')}`);
    });
  addTrainExperimentCommands(train, context);
  addJobCommands(train, context);
  train
    .command('evaluate')
    .description('evaluate a model on experiments it was not trained on')
    .requiredOption('--service <name>', 'name of the service')
    .option('--retrain', 'train it again if it has decayed')
    .action(async ({ service, retrain }: { service: string; retrain?: boolean }) => {
      const path = `/api/v1/services/${encodeURIComponent(service)}/evaluate`;
      context.print(
        await context.tower().post<EvaluationAnswer>(path, { retrain_if_decayed: retrain === true }),
        evaluationText,
      );
    });
  train
    .command('list')
    .description('list trained models')
    .action(async () => {
      context.print(await context.tower().get<ModelInfo[]>('/api/v1/forecast/models'), (models) =>
        models.length === 0
          ? 'No trained models.'
          : table(
              ['SERVICE', 'TRAINED', 'WINDOWS', 'INPUT STEPS', 'ERROR'],
              models.map(({ service, trained_at, data_samples, window, error }) => [
                service,
                trained_at,
                data_samples,
                window,
                error,
              ]),
            ),
      );
    });
}

/** A service that cannot be trained does not stop the others. */
async function trainAll(context: CliContext, names: string[], flags: TrainFlags): Promise<TrainingJob[]> {
  const jobs: TrainingJob[] = [];
  const refused: unknown[] = [];
  for (const name of names)
    await trainOne(context, name, bodyOf(flags)).then(
      (job) => jobs.push(job),
      (error: unknown) => refused.push(error),
    );
  if (jobs.length > 0) context.print(jobs, (all) => all.map(jobText).join('\n\n'));
  if (refused.length > 0) throw refused[0];
  return jobs;
}

function addJobCommands(train: Command, context: CliContext): void {
  train
    .command('jobs')
    .description('training jobs, newest first')
    .action(async () => {
      context.print(await context.tower().get<TrainingJob[]>('/api/v1/forecast/jobs'), (jobs) =>
        table(
          ['JOB', 'SERVICE', 'STATUS', 'EPOCH', 'ERROR'],
          jobs.map(({ id, service, status, progress, error }) => [
            id,
            service,
            status,
            progress && `${progress.epoch}/${progress.epochs}`,
            error,
          ]),
        ),
      );
    });
  train
    .command('cancel <job>')
    .description('cancel a training job')
    .action(async (job: string) => {
      context.print(
        await context.tower().delete<TrainingJob>(`/api/v1/forecast/jobs/${encodeURIComponent(job)}`),
        jobText,
      );
    });
}

const bodyOf = ({ window, epochs, fresh }: TrainFlags): object => ({
  ...(window === undefined ? {} : { window: Number(window) }),
  ...(epochs === undefined ? {} : { epochs: Number(epochs) }),
  ...(fresh ? { warm_start: false } : {}),
});

/** Starts a job and follows it to its end; Ctrl-C cancels it. */
async function trainOne(context: CliContext, service: string, body: object): Promise<TrainingJob> {
  const tower = context.tower();
  const job = await tower.post<TrainingJob>(`/api/v1/services/${encodeURIComponent(service)}/train`, body);
  return followJob(context, '/api/v1/forecast/jobs', job, ({ progress, status }) =>
    context.progress(progress === null || status !== 'running' ? '' : barOf(service, progress)),
  );
}

const barWidth = 24;

function barOf(service: string, { epoch, epochs, loss, eta_seconds }: NonNullable<TrainingJob['progress']>): string {
  const full = Math.round((epoch / epochs) * barWidth);
  return `${service}  ${'█'.repeat(full)}${'░'.repeat(barWidth - full)}  epoch ${epoch}/${epochs}  loss ${loss.toFixed(4)}  at most ${Math.ceil(eta_seconds)} s left`;
}

function jobText({ service, status, result, error }: TrainingJob): string {
  if (!result)
    return card([
      ['service', service],
      ['status', status],
      ['error', error],
    ]);
  return card([
    ['service', service],
    ['status', status],
    ['model', result.model_path],
    ['training time', result.training_time],
    ['training windows', result.data_samples],
    ['experiments', result.experiments],
    ['epochs', result.epochs],
    ...result.notes.map((note): [string, unknown] => ['note', note]),
  ]);
}

const short = (value: number | null): number | null => (value === null ? null : Number(value.toPrecision(4)));
const percent = (share: number): string => `${Math.round(share * 100)} %`;

function evaluationText({
  methods,
  fusion_performance,
  windows,
  experiments,
  decayed,
  decay_reason,
  retraining_job,
}: EvaluationAnswer): string {
  const rows = Object.entries(methods).flatMap(([target, each]) =>
    Object.entries(each).map(([name, { mse, mae, r2 }]) => [target, name, short(mae), short(mse), short(r2)]),
  );
  const { overall_confidence, prediction_accuracy } = fusion_performance;
  return [
    table(['TARGET', 'METHOD', 'MAE', 'MSE', 'R2'], rows),
    '',
    `${windows} windows of ${experiments.length} experiments it was not trained on`,
    `recommendations sufficed in ${percent(prediction_accuracy)} of the cases; stated probability: ${percent(overall_confidence)}`,
    decayed ? `decayed since training: ${decay_reason}` : 'no decay since training',
    ...(retraining_job === null ? [] : [`training job ${retraining_job} was started`]),
  ].join('\n');
}
