import { once } from 'node:events';
import { expect, it } from 'vitest';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { peerProgram } from '../support/mlflow-server.ts';
import { start } from '../support/processes.ts';

/** Runs MLflow's own client against the fake server, so that tests against the fake are meaningful. */
const script = `
import json, sys
from mlflow import MlflowClient
from mlflow.entities import ViewType
client = MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1])
runs = client.search_runs(["1"], max_results=2)
print(json.dumps({
  "experiments": sorted(e.name for e in client.search_experiments(view_type=ViewType.ALL)),
  "active": [e.name for e in client.search_experiments()],
  "models": {m.name: dict(m.aliases) for m in client.search_registered_models()},
  "versions": [[v.name, v.version, v.current_stage, dict(v.tags)] for v in client.search_model_versions(max_results=2)],
  "runs": [[r.info.run_id, r.info.status, {k: str(v) for k, v in r.data.metrics.items()}] for r in runs],
  "more": runs.token is not None,
  "history": [[m.timestamp, str(m.value)] for m in client.get_metric_history("run1", "accuracy")],
}))`;

it.each(['mlflow2', 'mlflow3'])('the fake server is readable by the client of %s', async (peer) => {
  const python = peerProgram(peer, 'python');
  if (!python) return;
  const fake = await fakeMlflow(smallRegistry());
  fake.registry.histories['run1 accuracy'] = [
    { key: 'accuracy', value: 0.9, timestamp: 1000, step: 0 },
    { key: 'accuracy', value: 'NaN', timestamp: 2000, step: 1 },
  ];
  fake.instead['/api/2.0/mlflow/runs/get'] = { status: 200, body: JSON.stringify({ run: fake.registry.runs[0] }) };
  const client = start(python, ['-W', 'ignore', '-c', script, fake.url], { env: { MLFLOW_DISABLE_TELEMETRY: 'true' } });
  await once(client.child, 'exit');
  const answer = JSON.parse(client.output().trim().split('\n').at(-1) ?? '') as unknown;
  expect(answer, client.output()).toEqual({
    experiments: ['genomics', 'retired'],
    active: ['genomics'],
    models: {
      DNA: { champion: expect.anything() },
      aliased: { Champion: expect.anything(), gone: expect.anything() },
      empty: {},
    },
    versions: [
      ['DNA', expect.anything(), 'Production', { validated: 'true', type: 'classification' }],
      ['DNA', expect.anything(), 'Staging', {}],
    ],
    runs: [
      ['run1', 'FINISHED', { accuracy: '0.945', bad: 'nan' }],
      ['run2', 'FINISHED', { accuracy: '0.91', inf: 'inf' }],
    ],
    more: true,
    history: [
      [1000, '0.9'],
      [2000, 'nan'],
    ],
  });
});
