import { DatabaseSync } from 'node:sqlite';
import { manyRows } from '../../test/support/rows.ts';

/**
 * Fills a real MLflow store (SQLite, schema created by MLflow) with models, runs, and ten metrics, params and tags per
 * run.
 */
export function fillMlflow(path: string, models: number, versionsPerModel: number): void {
  const rows = manyRows(models, versionsPerModel, 10);
  const file = new DatabaseSync(path);
  file.exec('pragma busy_timeout = 20000; begin immediate');
  const into = (table: string, columns: string) => {
    const statement = file.prepare(`insert into ${table} (${columns}) values (${columns.split(',').map(() => '?')})`);
    return (...values: (string | number)[]) => void statement.run(...values);
  };
  const experiment = into(
    'experiments',
    'experiment_id,name,artifact_location,lifecycle_stage,creation_time,last_update_time',
  );
  const model = into('registered_models', 'name,creation_time,last_updated_time,description');
  const alias = into('registered_model_aliases', 'name,alias,version');
  const version = into(
    'model_versions',
    'name,version,creation_time,last_updated_time,current_stage,source,run_id,status,description',
  );
  const versionTag = into('model_version_tags', 'name,version,key,value');
  const run = into(
    'runs',
    'run_uuid,experiment_id,name,status,start_time,end_time,lifecycle_stage,artifact_uri,source_type,user_id',
  );
  const last = into('latest_metrics', 'run_uuid,key,value,timestamp,step,is_nan');
  const metric = into('metrics', 'run_uuid,key,value,timestamp,step,is_nan');
  const param = into('params', 'run_uuid,key,value');
  const tag = into('tags', 'run_uuid,key,value');
  const at = 1_780_000_000_000;
  experiment(77, 'bench', 's3://bench', 'active', at, at);
  for (const item of rows.models) {
    model(item.name, at, at, item.description);
    for (const [name, number] of Object.entries(item.aliases)) alias(item.name, name, Number(number));
  }
  for (const item of rows.runs) {
    run(item.runId, 77, 'train', 'FINISHED', at, at + 1000, 'active', 's3://bench', 'LOCAL', 'dana');
    for (const [key, value] of Object.entries(item.metrics)) {
      last(item.runId, key, value ?? 0, at, 1, 0);
      metric(item.runId, key, value ?? 0, at, 1, 0);
      param(item.runId, key, String(value));
      tag(item.runId, key, String(value));
    }
  }
  for (const item of rows.versions) {
    version(
      item.name,
      Number(item.version),
      item.createdAt ?? at,
      item.updatedAt ?? at,
      'None',
      item.source,
      item.runId ?? '',
      'READY',
      '',
    );
    for (const [key, value] of Object.entries(item.tags)) versionTag(item.name, Number(item.version), key, value);
  }
  file.exec('commit');
  file.close();
}
