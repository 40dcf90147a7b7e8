import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { whenTestIsOver } from '../support/cleanup.ts';

type Json = Record<string, unknown>;

/** Content of the fake server, in MLflow's JSON. */
export type FakeRegistry = {
  experiments: Json[];
  models: Json[];
  versions: Json[];
  runs: { info: Json; data: Json }[];
  /** `${run_id} ${metric}` -> points */
  histories: Record<string, Json[]>;
  loggedModels: Record<string, Json>;
};

export type Answer = { status: number; type?: string; body?: string; headers?: Record<string, string> };

export type FakeMlflow = {
  url: string;
  registry: FakeRegistry;
  /** `METHOD /path` of every call, in order. */
  calls: string[];
  requests: { path: string; query: URLSearchParams; body: Json; headers: IncomingMessage['headers'] }[];
  /** Answers for calls whose path has this suffix; a function returns null for the normal answer. */
  instead: Record<string, Answer | ((request: { query: URLSearchParams; body: Json }) => Answer | null)>;
  /** No answers: connections are closed. */
  down: boolean;
  /** Called after a page was read and before it is sent, to change the registry between pages. */
  betweenPages: (path: string) => void;
  /** Maximum page size, whatever is requested. */
  maxPage: number;
  maxInFlight: number;
  hold: Promise<void> | null;
  close(): Promise<void>;
};

/**
 * Answers MLflow's bulk reads as the real server does: `{}` for no results, offset tokens over a live list, NaN as
 * text, 400 for missing parameters, HTML for unknown routes. `test/peers/fake.test.ts` reads from it with MLflow's own
 * client.
 */
export async function fakeMlflow(
  registry: Partial<FakeRegistry> = {},
  tls: { key: string; cert: string } | null = null,
): Promise<FakeMlflow> {
  const fake: FakeMlflow = {
    url: '',
    registry: { experiments: [], models: [], versions: [], runs: [], histories: {}, loggedModels: {}, ...registry },
    calls: [],
    requests: [],
    instead: {},
    down: false,
    betweenPages: () => undefined,
    maxPage: 1_000_000,
    maxInFlight: 0,
    hold: null,
    close: async () => undefined,
  };
  let inFlight = 0;
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    inFlight += 1;
    fake.maxInFlight = Math.max(fake.maxInFlight, inFlight);
    await handle(fake, request, response);
    inFlight -= 1;
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  fake.url = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  fake.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  whenTestIsOver(() => fake.close());
  return fake;
}

async function handle(fake: FakeMlflow, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://fake');
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  // The real server treats a malformed body as {}.
  const body = parse(text);
  fake.calls.push(`${request.method} ${url.pathname}`);
  fake.requests.push({ path: url.pathname, query: url.searchParams, body, headers: request.headers });
  await fake.hold;
  if (fake.down) {
    request.socket.destroy();
    return;
  }
  const override = Object.entries(fake.instead).find(([end]) => url.pathname.endsWith(end))?.[1];
  const instead = typeof override === 'function' ? override({ query: url.searchParams, body }) : override;
  const answer = instead ?? route(fake, url.pathname, url.searchParams, body);
  response.writeHead(answer.status, { 'content-type': answer.type ?? 'application/json', ...answer.headers });
  response.end(answer.body ?? '{}');
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return {};
  }
}

const html404: Answer = {
  status: 404,
  type: 'text/html; charset=utf-8',
  body: '<!doctype html><title>404 Not Found</title>',
};
const json = (value: unknown): Answer => ({ status: 200, body: JSON.stringify(value) });
export const mlflowError = (status: number, code: string, message: string): Answer => ({
  status,
  body: JSON.stringify({ error_code: code, message }),
});

function route(fake: FakeMlflow, path: string, query: URLSearchParams, body: Json): Answer {
  const { registry } = fake;
  if (path === '/health') return { status: 200, type: 'text/html', body: 'OK' };
  if (path === '/version') return { status: 200, type: 'text/html', body: '3.11.2' };
  const call = path.replace(/^\/(ajax-)?api\/2\.0\/mlflow\//, '');
  if (call === 'experiments/search') {
    const size = Number(query.get('max_results') ?? body['max_results'] ?? 0);
    if (!(size > 0)) return mlflowError(400, 'INVALID_PARAMETER_VALUE', 'max_results must be a positive integer');
    const all = (query.get('view_type') ?? body['view_type']) === 'ALL';
    const shown = registry.experiments.filter((item) => all || item['lifecycle_stage'] !== 'deleted');
    return page(fake, path, 'experiments', shown, size, query.get('page_token') ?? body['page_token']);
  }
  if (call === 'registered-models/search') {
    const size = Number(query.get('max_results') ?? 100);
    if (size > 1000) return mlflowError(400, 'INVALID_PARAMETER_VALUE', 'max_results too large');
    return page(fake, path, 'registered_models', named(registry.models, query), size, query.get('page_token'));
  }
  if (call === 'model-versions/search') {
    return page(
      fake,
      path,
      'model_versions',
      named(registry.versions, query),
      Number(query.get('max_results') ?? 200_000),
      query.get('page_token'),
    );
  }
  if (call === 'runs/search') return searchRuns(fake, path, body);
  if (call === 'runs/get') {
    const run = registry.runs.find(({ info }) => info['run_id'] === query.get('run_id'));
    return run ? json({ run }) : mlflowError(404, 'RESOURCE_DOES_NOT_EXIST', `Run ${query.get('run_id')} not found`);
  }
  if (call === 'metrics/get-history') {
    const points = registry.histories[`${query.get('run_id')} ${query.get('metric_key')}`] ?? [];
    // Without max_results, servers from 3.1.1 to 3.13 return nothing and always a next page token.
    if (!query.has('max_results')) return json({ next_page_token: 'eyJvZmZzZXQiOiAwfQ==' });
    return page(fake, path, 'metrics', points, Number(query.get('max_results')), query.get('page_token'));
  }
  if (path.endsWith('/ajax-api/2.0/mlflow/metrics/get-history-bulk')) {
    const rows = query.getAll('run_id').flatMap((id) => {
      const points = registry.histories[`${id} ${query.get('metric_key')}`] ?? [];
      return points.map((point) => ({ ...point, run_id: id }));
    });
    // A bare NaN as Python writes it, which is not valid JSON.
    return { status: 200, body: JSON.stringify({ metrics: rows }).replaceAll('"NaN"', 'NaN') };
  }
  if (call === 'logged-models/search') {
    const ids = [...String(body['filter']).matchAll(/'([^']+)'/g)].map(([, id]) => id ?? '');
    return json({ models: ids.flatMap((id) => registry.loggedModels[id] ?? []) });
  }
  const loggedModel = /^logged-models\/(.+)$/.exec(call)?.[1];
  if (loggedModel && registry.loggedModels[loggedModel]) return json({ model: registry.loggedModels[loggedModel] });
  if (loggedModel) return mlflowError(404, 'RESOURCE_DOES_NOT_EXIST', 'Logged model not found');
  return html404;
}

/** Filters by name; other filters are not supported here. */
function named(items: Json[], query: URLSearchParams): Json[] {
  const [, , name] = /^name = (['"])(.*)\1$/.exec(query.get('filter') ?? '') ?? [];
  return name === undefined ? items : items.filter((item) => item['name'] === name);
}

function searchRuns(fake: FakeMlflow, path: string, body: Json): Answer {
  const ids = body['experiment_ids'];
  // Numeric ids are ignored silently, and no ids means no runs.
  const experiments = new Set(Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : []);
  const filter = String(body['filter'] ?? '');
  const wanted = /run_id IN \((.*)\)/
    .exec(filter)?.[1]
    ?.split(',')
    .map((id) => id.slice(1, -1));
  const tags = [...filter.matchAll(/tags\.`([^`]+)` = (['"])(.*?)\2/g)].map(
    ([, key, , value]) => [key, value] as const,
  );
  const hasTags = (data: Json) =>
    tags.every(([key, value]) =>
      ((data['tags'] ?? []) as Json[]).some((tag) => tag['key'] === key && tag['value'] === value),
    );
  const all = body['run_view_type'] === 'ALL';
  const runs = fake.registry.runs.filter(
    ({ info, data }) =>
      hasTags(data) &&
      experiments.has(String(info['experiment_id'])) &&
      (all || info['lifecycle_stage'] !== 'deleted') &&
      (!wanted || wanted.includes(String(info['run_id']))),
  );
  return page(fake, path, 'runs', runs, Number(body['max_results'] ?? 1000), body['page_token']);
}

function page(fake: FakeMlflow, path: string, field: string, items: unknown[], size: number, token: unknown): Answer {
  const from = token ? (JSON.parse(Buffer.from(String(token), 'base64').toString()) as { offset: number }).offset : 0;
  const to = from + Math.min(size, fake.maxPage);
  const cut = items.slice(from, to);
  const more = to < items.length;
  fake.betweenPages(path);
  return json({
    ...(cut.length > 0 ? { [field]: cut } : {}),
    ...(more ? { next_page_token: Buffer.from(JSON.stringify({ offset: to })).toString('base64') } : {}),
  });
}
