import { TowerError } from '#kernel/errors.ts';
import type { HttpAnswer, HttpClient, Query } from '#kernel/http-client.ts';
import { createPageGuard } from '#kernel/page-guard.ts';
import { implausible, record, records, text } from './mlflow-json.ts';

/** Pagination of MLflow's searches, and its error answers. */

export const api = '/api/2.0/mlflow';
export const experimentsPerPage = 1000;

type Json = Record<string, unknown>;

/** All items of a search. @throws `unavailable` */
export async function readAll(
  client: HttpClient,
  path: string,
  query: Query,
  field: string,
  signal: AbortSignal,
): Promise<Json[]> {
  const all: Json[] = [];
  for await (const page of pages(client, { get: path, query }, field, signal)) all.push(...page);
  return all;
}

type Search = { get: string; query: Query } | { post: string; body: Json };

/**
 * Pages of a search, which only a missing token ends: MLflow's permission filter empties pages and keeps their tokens.
 * @throws `unavailable` also for a token that repeats, and for too many pages
 */
export async function* pages(
  client: HttpClient,
  search: Search,
  field: string,
  signal: AbortSignal,
): AsyncGenerator<Json[]> {
  const guard = createPageGuard('MLflow');
  let token: string | undefined;
  do {
    const answer =
      'get' in search
        ? await client.get(search.get, { ...search.query, page_token: token }, signal)
        : await client.post(search.post, token ? { ...search.body, page_token: token } : search.body, signal);
    const json = record(expectJson(answer));
    // MLflow writes an empty list as {}.
    if (Object.keys(json).length > 0 && !(field in json) && !('next_page_token' in json))
      throw implausible(`an object without ${field}`);
    const items = records(json[field]);
    if (items.length > 0) yield items;
    token = text(json['next_page_token']);
    if (token) guard(token);
  } while (token);
}

/** @throws TowerError with the error text of MLflow, or of the proxy that answered instead */
export function expectJson(answer: HttpAnswer): unknown {
  if (answer.status === 200 && answer.json !== undefined) return answer.json;
  const message = plainLine(errorCodeOf(answer.json) || answer.text);
  throw new TowerError('unavailable', explain(answer.status, message), { cause: new Error(answer.text.slice(0, 500)) });
}

function explain(status: number, message: string): string {
  if (status === 200) return 'MLFLOW_TRACKING_URI did not answer with JSON; is it the address of an MLflow server?';
  if (status === 401)
    return 'MLflow refused the credentials (401); check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN';
  if (status === 403) return `MLflow denied permission (403: ${message})`;
  if (status === 404) return 'MLFLOW_TRACKING_URI has no MLflow API (404); check the path prefix';
  if (status >= 300 && status < 400) return `MLFLOW_TRACKING_URI redirects (${status}); set it to the final address`;
  return `MLflow answered ${status}${message ? ` (${message})` : ''}`;
}

function errorCodeOf(json: unknown): string {
  const code = (json as { error_code?: unknown } | null | undefined)?.error_code;
  return typeof code === 'string' ? code : '';
}

const plainLine = (body: string): string => (body.includes('<') ? '' : body.trim().split('\n')[0]?.slice(0, 120)) ?? '';

/** Removes duplicates; of items with one key the last wins. */
export function unique<T>(items: T[], keyOf: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [keyOf(item), item])).values()];
}
