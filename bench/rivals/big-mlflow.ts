import { createServer } from 'node:http';
import { manyRows } from '../../test/support/rows.ts';

/** Answers MLflow's bulk reads for a registry of any size, fast enough not to dominate the measurement. */
const [port, models] = process.argv.slice(2).map(Number);
const rows = manyRows(models ?? 0, 5);
const tags = (record: Record<string, string>) => Object.entries(record).map(([key, value]) => ({ key, value }));
const runs = new Map(
  rows.runs.map((run) => [
    run.runId,
    {
      info: {
        run_id: run.runId,
        experiment_id: '1',
        status: 'FINISHED',
        start_time: 1,
        end_time: 2000,
        lifecycle_stage: 'active',
      },
      data: { metrics: Object.entries(run.metrics).map(([key, value]) => ({ key, value, timestamp: 1000, step: 1 })) },
    },
  ]),
);
const lists: Record<string, unknown[]> = {
  experiments: [{ experiment_id: '1', name: 'bench', lifecycle_stage: 'active' }],
  'registered-models': rows.models.map((item) => ({
    name: item.name,
    creation_timestamp: item.createdAt,
    tags: tags(item.tags),
    aliases: [{ alias: 'champion', version: '5' }],
  })),
  'model-versions': rows.versions.map((item) => ({
    name: item.name,
    version: item.version,
    creation_timestamp: item.createdAt,
    last_updated_timestamp: item.updatedAt,
    current_stage: 'None',
    source: item.source,
    run_id: item.runId,
    status: 'READY',
    tags: tags(item.tags),
  })),
};

createServer(async (request, response) => {
  const url = new URL(request.url ?? '/', 'http://big');
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  response.setHeader('content-type', 'application/json');
  const name = url.pathname.split('/').at(-2) ?? '';
  if (name === 'runs') {
    const { filter = '()' } = JSON.parse(Buffer.concat(chunks).toString()) as { filter?: string };
    const ids = filter
      .slice(filter.indexOf('(') + 1, -1)
      .split(',')
      .map((id) => id.slice(1, -1));
    response.end(JSON.stringify({ runs: ids.flatMap((id) => runs.get(id) ?? []) }));
    return;
  }
  const from = Number(url.searchParams.get('page_token') ?? 0);
  const to = from + Number(url.searchParams.get('max_results'));
  const items = lists[name] ?? [];
  const field = name.replaceAll('-', '_');
  response.end(
    JSON.stringify({ [field]: items.slice(from, to), ...(to < items.length ? { next_page_token: String(to) } : {}) }),
  );
}).listen(port, '127.0.0.1');
