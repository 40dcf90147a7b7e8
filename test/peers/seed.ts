/** Fills a real MLflow through its REST API with all kinds of entries a registry can have. */
type Json = Record<string, unknown>;

export type Seeded = { runIds: Record<string, string>; experimentIds: Record<string, string>; refusedNames: string[] };

const hour = 3_600_000;
export const seededAt = Date.UTC(2026, 0, 10);

/** Valid names in a registry; newer servers reject those with `/` or `:`. */
export const oddNames = ['It\'s 100% "mine"', 'Detox: CAT', 'vision/defects', 'Größe 模型 🚀', ' leading blank'];

export async function seedMlflow(url: string): Promise<Seeded> {
  const call = caller(url);
  const experimentIds: Record<string, string> = {};
  for (const name of ['genomics', 'retired']) {
    const tags = name === 'genomics' ? [{ key: 'team', value: 'genomics' }] : [];
    experimentIds[name] = String((await call('POST', 'experiments/create', { name, tags }))['experiment_id']);
  }
  const genomics = experimentIds['genomics'] ?? '';
  const runIds: Record<string, string> = {};
  runIds['good'] = await makeRun(call, genomics, 'good', [
    ['accuracy', 0.91, 0],
    ['accuracy', 0.945, 1],
    ['val/loss', 0.123, 1],
    ['accuracy', 0.93, 40 * 24],
  ]);
  runIds['broken-metrics'] = await makeRun(call, genomics, 'broken-metrics', [
    ['accuracy', 'NaN', 0],
    ['gain', 'Infinity', 0],
    ['f1_score', 0.88, 1],
  ]);
  runIds['running'] = await makeRun(call, genomics, 'running', [['f1_score', 0.5, 1]], false);
  runIds['doomed'] = await makeRun(call, genomics, 'doomed', [['accuracy', 0.5, 1]]);
  runIds['retired'] = await makeRun(call, experimentIds['retired'] ?? '', 'retired', [['accuracy', 0.4, 1]]);

  const model = (name: string, tags: Json = {}) =>
    call('POST', 'registered-models/create', {
      name,
      tags: keyValues(tags),
      description: name === 'dna' ? 'Main model' : '',
    });
  const version = (name: string, runId: string | undefined, tags: Json = {}) =>
    call('POST', 'model-versions/create', {
      name,
      source: sourceOf(runId, tags),
      ...(runId ? { run_id: runId } : {}),
      tags: keyValues(tags),
    });

  await model('dna', { team: 'genomics' });
  for (const runId of [runIds['good'], runIds['broken-metrics'], runIds['doomed'], runIds['running']]) {
    await version('dna', runId, { validated: 'true', type: 'classification' });
  }
  for (let more = 5; more <= 11; more += 1) await version('dna', undefined);
  await call('POST', 'model-versions/transition-stage', {
    name: 'dna',
    version: '1',
    stage: 'production',
    archive_existing_versions: false,
  });
  await call('POST', 'model-versions/transition-stage', {
    name: 'dna',
    version: '2',
    stage: 'Staging',
    archive_existing_versions: false,
  });
  await call('POST', 'model-versions/transition-stage', {
    name: 'dna',
    version: '4',
    stage: 'Production',
    archive_existing_versions: false,
  });
  await call('POST', 'registered-models/alias', { name: 'dna', alias: 'champion', version: '1' });
  await call('POST', 'registered-models/alias', { name: 'dna', alias: 'dangling', version: '5' });
  await call('DELETE', 'model-versions/delete', { name: 'dna', version: '5' });

  await model('alias-only');
  await version('alias-only', runIds['good']);
  await version('alias-only', runIds['retired']);
  await call('POST', 'registered-models/alias', { name: 'alias-only', alias: 'prod-eu', version: '2' });
  await call('POST', 'registered-models/alias', { name: 'alias-only', alias: 'Challenger', version: '1' });
  await model('empty-model');
  await model('a-prompt', { 'mlflow.prompt.is_prompt': 'true' });
  await version('a-prompt', undefined, { 'mlflow.prompt.is_prompt': 'true', 'mlflow.prompt.text': 'Say {{this}}' });

  const refusedNames: string[] = [];
  for (const name of oddNames) {
    const made = await model(name)
      .then(() => version(name, runIds['good']))
      .then(
        () => true,
        () => false,
      );
    if (!made) refusedNames.push(name);
  }
  await call('POST', 'runs/delete', { run_id: runIds['doomed'] });
  await call('POST', 'experiments/delete', { experiment_id: experimentIds['retired'] });
  return { runIds, experimentIds, refusedNames };
}

async function makeRun(
  call: Caller,
  experimentId: string,
  name: string,
  metrics: [string, number | string, number][],
  ends = true,
): Promise<string> {
  const made = await call('POST', 'runs/create', {
    experiment_id: experimentId,
    run_name: name,
    start_time: seededAt,
    tags: [{ key: 'mlflow.user', value: 'dana' }],
  });
  const runId = String(((made['run'] as Json)['info'] as Json)['run_id']);
  for (const [key, value, hours] of metrics) {
    await call('POST', 'runs/log-metric', {
      run_id: runId,
      key,
      value,
      timestamp: seededAt + hours * hour,
      step: hours,
    });
  }
  await call('POST', 'runs/log-parameter', { run_id: runId, key: 'lr', value: '0.001' });
  if (ends) await call('POST', 'runs/update', { run_id: runId, status: 'FINISHED', end_time: seededAt + 2 * hour });
  return runId;
}

type Caller = (method: 'POST' | 'DELETE', path: string, body: Json) => Promise<Json>;

export function caller(url: string): Caller {
  return async (method, path, body) => {
    const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text) as Json;
  };
}

/** Prompts may only have the placeholder that newer servers accept. */
function sourceOf(runId: string | undefined, tags: Json): string {
  if ('mlflow.prompt.is_prompt' in tags) return 'dummy-source';
  return runId ? `runs:/${runId}/model` : 's3://models/elsewhere';
}

const keyValues = (tags: Json) => Object.entries(tags).map(([key, value]) => ({ key, value }));
