import { notFound } from '#kernel/errors.ts';
import { wholeNumber } from '#kernel/query.ts';
import type { ExperimentAnswer, ExperimentList, ExperimentsQuery, TrainingData } from './experiment-schemas.ts';
import {
  deleteExperiments,
  type Experiment,
  experimentOrReason,
  listExperiments,
  loadExperiment,
} from './experiments.ts';
import { cleanExperiment, type Quality, validateQuality } from './quality.ts';

/** Reads and deletes collected experiments. */
export function createCollected(directory: string) {
  return {
    /** @throws TowerError `invalid` */
    list: async ({ service, step_seconds }: ExperimentsQuery): Promise<ExperimentList> => {
      const stepSeconds = stepOf(step_seconds);
      const experiments: ExperimentList['experiments'] = [];
      const unreadable: ExperimentList['unreadable'] = [];
      for (const id of await listExperiments(directory, service)) {
        const read = await experimentOrReason(directory, id);
        if (typeof read === 'string') unreadable.push({ experiment_id: id, error: read });
        else experiments.push(infoOf(read, validateQuality(read, stepSeconds)));
      }
      const count = (wanted: string) => experiments.filter(({ quality }) => quality === wanted).length;
      const failures = experiments.flatMap(({ failed_checks }) => failed_checks);
      return {
        experiments,
        total_experiments: experiments.length,
        data_quality: { high_quality: count('high'), medium_quality: count('medium'), low_quality: count('low') },
        failed_checks: Object.fromEntries(
          [...Map.groupBy(failures, (name) => name)].map(([name, all]) => [name, all.length]),
        ),
        unreadable,
      };
    },
    /** @throws TowerError `invalid`, `not_found` */
    one: async (id: string, { step_seconds }: Pick<ExperimentsQuery, 'step_seconds'>): Promise<ExperimentAnswer> => {
      const stepSeconds = stepOf(step_seconds);
      const experiment = await loadExperiment(directory, id);
      const quality = validateQuality(experiment, stepSeconds);
      const cleaned = cleanExperiment(experiment, stepSeconds);
      return {
        ...infoOf(experiment, quality),
        duration_minutes: experiment.durationMinutes,
        checks: quality.checks,
        cleaning: cleaned.done,
        columns: Object.fromEntries(
          Object.entries(cleaned.experiment.columns).map(([name, values]) => [
            name,
            Array.from(values, (value) => (Number.isNaN(value) ? null : value)),
          ]),
        ),
      };
    },
    /** Cleaned, concatenated data of all usable experiments of a service. @throws TowerError `invalid`, `not_found` */
    forTraining: (service: string): Promise<TrainingData> => processForTraining(directory, service),
    /** @throws TowerError `invalid` */
    clear: async (service: string | undefined): Promise<{ deleted: number }> => ({
      deleted: await deleteExperiments(directory, service),
    }),
  };
}

async function processForTraining(directory: string, service: string): Promise<TrainingData> {
  const ids = await listExperiments(directory, service);
  if (ids.length === 0) throw notFound(`no experiments of ${service}`, { service });
  const kept: Experiment[] = [];
  const left_out: TrainingData['left_out'] = [];
  for (const id of ids) {
    const read = await experimentOrReason(directory, id);
    const checks = typeof read === 'string' ? [] : validateQuality(read).checks;
    const why =
      typeof read === 'string' ? read : checks.find(({ passed, grade }) => !passed && grade === 'low')?.detail;
    if (typeof read === 'string' || why !== undefined) left_out.push({ experiment_id: id, reason: why ?? '' });
    else kept.push(cleanExperiment(read).experiment);
  }
  const names = [...new Set(kept.flatMap(({ columns }) => Object.keys(columns)))];
  const each = <Value>(value: (experiment: Experiment, row: number) => Value): Value[] =>
    kept.flatMap((experiment) => Array.from({ length: experiment.rows }, (_, row) => value(experiment, row)));
  const valueAt = (name: string) => each(({ columns }, row) => columns[name]?.[row] ?? Number.NaN);
  return {
    service,
    experiments: kept.length,
    left_out,
    rows: kept.reduce((sum, { rows }) => sum + rows, 0),
    context: {
      experiment_id: each(({ id }) => id),
      scenario: each(({ scenario }) => scenario),
      replica_count: each(({ replicas }) => replicas),
      load_users: each(({ users }) => users),
    },
    columns: Object.fromEntries(
      names.map((name) => [name, valueAt(name).map((value) => (Number.isNaN(value) ? null : value))]),
    ),
  };
}

const stepOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : wholeNumber('step_seconds', text, 1, 3600);

const infoOf = (experiment: Experiment, { grade, checks }: Quality): ExperimentList['experiments'][number] => ({
  experiment_id: experiment.id,
  service: experiment.service,
  scenario: experiment.scenario,
  replica_count: experiment.replicas,
  load_users: experiment.users,
  rows: experiment.rows,
  collection_start: experiment.startedAt,
  load_success_rate: experiment.loadTest?.successRate ?? null,
  quality: grade,
  failed_checks: checks.filter(({ passed }) => !passed).map(({ name }) => name),
});
