import { createServer } from 'node:http';

/** An MLflow with one model whose alias moves at every POST /move. */
let version = 0;
const at = 1_700_000_000_000;
const answers: Record<string, () => object> = {
  'experiments/search': () => ({ experiments: [{ experiment_id: '1', name: 'e', lifecycle_stage: 'active' }] }),
  'registered-models/search': () => ({
    registered_models: [
      {
        name: 'DNA',
        creation_timestamp: at,
        last_updated_timestamp: at,
        aliases: [{ alias: 'count', version: String(version) }],
      },
    ],
  }),
  'model-versions/search': () => ({
    model_versions: [{ name: 'DNA', version: '1', creation_timestamp: at, current_stage: 'None', status: 'READY' }],
  }),
};
createServer((request, response) => {
  if (request.url === '/move') version += 1;
  const known = Object.entries(answers).find(([call]) => request.url?.includes(call))?.[1];
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(known?.() ?? {}));
}).listen(Number(process.argv[2]), '127.0.0.1');
