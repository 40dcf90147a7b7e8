import { renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectory } from '#kernel/files.ts';
import { normal, type Random, seededRandom } from '#kernel/rng.ts';

/**
 * Writes the sample registry: an SQLite file in MLflow's own schema, so that an instance without MLflow runs the same
 * code as one with a real store. The same day gives the same file. It has teams, stages, aliases, a model with aliases
 * only, models without metrics or description, daily values after training for production versions, and one model
 * (`credit-default-risk`) whose accuracy really falls over the last 30 days.
 */
export function writeSample(path: string, now: number): void {
  makeDirectory(dirname(path));
  const draft = `${path}.${process.pid}.tmp`;
  rmSync(draft, { force: true });
  const file = new DatabaseSync(draft);
  try {
    file.exec('pragma journal_mode = off; pragma synchronous = off; begin');
    file.exec(schema);
    fill(file, Math.floor(now / day) * day);
    file.exec('commit');
  } finally {
    file.close();
  }
  renameSync(draft, path);
}

const day = 86_400_000;
const productionDays = 60;

const classifiers = ['accuracy', 'precision', 'recall', 'f1_score'];
const regressors = ['rmse', 'mae', 'r2'];

/** name, team, task, how production is marked: by stage, by alias, or not at all. */
const sampleRegistry: [string, string, 'classification' | 'regression', 'stage' | 'alias' | 'none'][] = [
  ['churn-predictor', 'growth', 'classification', 'stage'],
  ['credit-default-risk', 'lending', 'classification', 'stage'],
  ['fraud-detector', 'payments', 'classification', 'alias'],
  ['chargeback-classifier', 'payments', 'classification', 'stage'],
  ['delivery-eta', 'logistics', 'regression', 'stage'],
  ['route-cost', 'logistics', 'regression', 'alias'],
  ['demand-forecast-daily', 'supply', 'regression', 'stage'],
  ['demand-forecast-hourly', 'supply', 'regression', 'alias'],
  ['stockout-risk', 'supply', 'classification', 'stage'],
  ['price-elasticity', 'pricing', 'regression', 'stage'],
  ['dynamic-pricing', 'pricing', 'regression', 'alias'],
  ['ad-click-through', 'marketing', 'classification', 'stage'],
  ['lead-scoring', 'marketing', 'classification', 'alias'],
  ['campaign-uplift', 'marketing', 'regression', 'none'],
  ['customer-lifetime-value', 'growth', 'regression', 'stage'],
  ['next-best-offer', 'growth', 'classification', 'alias'],
  ['support-ticket-router', 'support', 'classification', 'stage'],
  ['sentiment-reviews', 'support', 'classification', 'alias'],
  ['spam-filter', 'support', 'classification', 'stage'],
  ['document-classifier', 'operations', 'classification', 'alias'],
  ['invoice-amount', 'operations', 'regression', 'none'],
  ['energy-load', 'facilities', 'regression', 'stage'],
  ['machine-failure', 'facilities', 'classification', 'stage'],
  ['sensor-anomaly', 'facilities', 'classification', 'none'],
  ['Genome: variant caller', 'research', 'classification', 'stage'],
  ['image/defect-detector', 'quality', 'classification', 'alias'],
  ['search-ranking', 'search', 'regression', 'stage'],
  ['query-intent', 'search', 'classification', 'alias'],
];

function fill(file: DatabaseSync, today: number): void {
  const random = seededRandom(20_240_229);
  const insert = inserter(file);
  const teams = [...new Set(sampleRegistry.map(([, team]) => team))];
  for (const [index, team] of teams.entries()) {
    insert.experiment(index + 1, `${team}-models`, 'active', today - 400 * day);
    insert.experimentTag(index + 1, 'team', team);
  }
  insert.experiment(teams.length + 1, 'retired-prototypes', 'deleted', today - 500 * day);
  for (const [name, team, task, production] of sampleRegistry) {
    const versions = 2 + Math.floor(random() * 5);
    const bornAt = today - Math.floor(200 + random() * 150) * day;
    insert.model(
      name,
      bornAt,
      today - productionDays * day,
      name === 'invoice-amount' ? '' : `${task} model of the ${team} team`,
    );
    insert.modelTag(name, 'team', team);
    for (let version = 1; version <= versions; version += 1) {
      const age = versions - version;
      const createdAt =
        today - Math.floor(productionDays + 15 + age * 25 + random() * 8) * day + Math.floor(random() * 8) * 3_600_000;
      const runId = hex(random, 32);
      insert.run(runId, teams.indexOf(team) + 1, createdAt - 2 * 3_600_000, createdAt - 600_000, `train-${version}`);
      const stage = production === 'stage' ? (['Production', 'Staging', 'None'][age] ?? 'Archived') : 'None';
      insert.version(name, version, createdAt, stage, runId, `${name} ${version}`);
      insert.versionTag(name, version, 'task', task);
      if (random() > 0.3) insert.versionTag(name, version, 'validated', 'true');
      if (name === 'invoice-amount') continue;
      const lives = age === 0 && production !== 'none';
      for (const metric of task === 'classification' ? classifiers : regressors) {
        writeHistory(insert, random, {
          runId,
          metric,
          createdAt,
          today: lives ? today : null,
          fades: name === 'credit-default-risk' && lives,
        });
      }
    }
    if (production === 'alias') {
      insert.alias(name, 'champion', versions);
      if (versions > 1) insert.alias(name, 'challenger', versions - 1);
    }
  }
}

type History = { runId: string; metric: string; createdAt: number; today: number | null; fades: boolean };

/** Ten epochs within the run, then one value a day until today for a version in production. */
function writeHistory(insert: ReturnType<typeof inserter>, random: Random, history: History): void {
  const { runId, metric, createdAt, today, fades } = history;
  const error = metric === 'rmse' || metric === 'mae';
  const level = error ? 2 + random() * 6 : 0.84 + random() * 0.1;
  const noise = error ? level * 0.02 : 0.004;
  let step = 0;
  for (; step < 10; step += 1) {
    const progress = 1 - Math.exp(-(step + 1) / 3);
    const value = error ? level * (2 - progress) : level * (0.7 + 0.3 * progress);
    insert.metric(runId, metric, value + noise * normal(random), createdAt - 7_000_000 + step * 600_000, step);
  }
  const last = today === null ? 0 : productionDays;
  for (let ago = last; today !== null && ago > 0; ago -= 1, step += 1) {
    const loss = fades && ago <= 30 ? (30 - ago) * 0.004 : 0;
    const value = level - loss + noise * normal(random);
    insert.metric(runId, metric, error ? value : Math.min(value, 0.999), today - ago * day + 3_600_000, step);
  }
  insert.lastMetric(runId, metric);
}

const hex = (random: Random, length: number): string =>
  Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');

function inserter(file: DatabaseSync) {
  const into = (table: string, columns: string) => {
    const statement = file.prepare(`insert into ${table} (${columns}) values (${columns.split(',').map(() => '?')})`);
    return (...values: (string | number)[]) => void statement.run(...values);
  };
  const experiment = into(
    'experiments',
    'experiment_id,name,lifecycle_stage,creation_time,last_update_time,artifact_location',
  );
  const model = into('registered_models', 'name,creation_time,last_updated_time,description');
  const version = into(
    'model_versions',
    'name,version,creation_time,last_updated_time,current_stage,run_id,description,source,status',
  );
  const run = into('runs', 'run_uuid,experiment_id,start_time,end_time,name,status,lifecycle_stage,artifact_uri');
  const metric = into('metrics', 'run_uuid,key,value,timestamp,step,is_nan');
  const last = file.prepare(`insert into latest_metrics (run_uuid,key,value,timestamp,step,is_nan)
    select run_uuid,key,value,timestamp,step,is_nan from metrics where run_uuid = ? and key = ? order by step desc limit 1`);
  return {
    experiment: (id: number, name: string, stage: string, at: number) =>
      experiment(id, name, stage, at, at, `sample/${id}`),
    experimentTag: into('experiment_tags', 'experiment_id,key,value'),
    model,
    modelTag: into('registered_model_tags', 'name,key,value'),
    alias: into('registered_model_aliases', 'name,alias,version'),
    version: (name: string, number: number, at: number, stage: string, runId: string, description: string) =>
      version(name, number, at, at, stage, runId, description, `runs:/${runId}/model`, 'READY'),
    versionTag: into('model_version_tags', 'name,version,key,value'),
    run: (id: string, experimentId: number, from: number, to: number, name: string) =>
      run(id, experimentId, from, to, name, 'FINISHED', 'active', `sample/${id}`),
    metric: (runId: string, key: string, value: number, at: number, step: number) =>
      metric(runId, key, Number(value.toFixed(4)), at, step, 0),
    lastMetric: (runId: string, key: string) => void last.run(runId, key),
  };
}

const schema = `
create table experiments (experiment_id integer primary key, name text, artifact_location text, lifecycle_stage text, creation_time integer, last_update_time integer);
create table experiment_tags (experiment_id integer, key text, value text);
create table registered_models (name text primary key, creation_time integer, last_updated_time integer, description text);
create table registered_model_tags (name text, key text, value text);
create table registered_model_aliases (name text, alias text, version integer);
create table model_versions (name text, version integer, creation_time integer, last_updated_time integer, description text, current_stage text, source text, run_id text, status text, primary key (name, version));
create table model_version_tags (name text, version integer, key text, value text);
create table runs (run_uuid text primary key, experiment_id integer, name text, status text, lifecycle_stage text, start_time integer, end_time integer, artifact_uri text);
create table params (run_uuid text, key text, value text);
create table tags (run_uuid text, key text, value text);
create table latest_metrics (run_uuid text, key text, value real, timestamp integer, step integer, is_nan integer, primary key (run_uuid, key));
create table metrics (run_uuid text, key text, value real, timestamp integer, step integer, is_nan integer);
create index metrics_of_run on metrics (run_uuid, key);
`;
