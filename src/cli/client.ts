import { createParser } from 'eventsource-parser';
import { TowerError } from '#kernel/errors.ts';

/** HTTP client of a running server. */
export type TowerClient = {
  get<T>(path: string): Promise<T>;
  /** A whole list, page by page. */
  list<T>(path: string): Promise<T[]>;
  post<T>(path: string, body?: unknown): Promise<T>;
  put<T>(path: string, body: unknown): Promise<T>;
  delete<T>(path: string): Promise<T>;
  /** Server-sent events of a path until the server ends the stream; `lastId` = continue after this event. */
  follow(path: string, lastId: string | null): Promise<AsyncGenerator<Frame>>;
};

/** One server-sent event. */
type Frame = { id: string | null; event: string; data: string };

/** Maps failures to exit codes. */
export const exitCodes = { failed: 1, usage: 2, notFound: 3, conflict: 4, unavailable: 5, forbidden: 6 } as const;

/** @throws TowerError with the server's text; `unavailable` if there is no answer */
export function createTowerClient(
  baseUrl: string,
  { token, registry }: { token: string | undefined; registry: string | undefined },
): TowerClient {
  const credentials: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const ask = async (method: string, path: string, body?: unknown, more: Record<string, string> = {}) => {
    const url = new URL(path, baseUrl);
    if (registry !== undefined) url.searchParams.set('registry', registry);
    const response = await fetch(url, {
      method,
      headers: { ...credentials, ...more, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new TowerError(
        'unavailable',
        `cannot connect to ${new URL(baseUrl).origin}; start a server with "tower serve", or set --url or TOWER_URL`,
        { cause: error },
      );
    });
    if (response.ok) return response;
    const text = await response.text();
    const code = codeOf(response.status);
    const hint = code === 'unauthenticated' ? ' (set TOWER_TOKEN)' : '';
    throw new TowerError(code, `${detailOf(text) ?? `The server answered with status ${response.status}`}${hint}`);
  };
  const send = async (method: string, path: string, body?: unknown) => {
    const response = await ask(method, path, body);
    const next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1] ?? null;
    const value: unknown = await response.json().catch((error: unknown) => {
      throw new TowerError(
        'unavailable',
        `${new URL(baseUrl).origin} is not a Control Tower server; set the address with --url`,
        { cause: error },
      );
    });
    return { value, next };
  };
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> =>
    (await send(method, path, body)).value as T;
  const list = async <T>(path: string): Promise<T[]> => {
    const all: T[] = [];
    for (let page: string | null = path; page !== null; ) {
      const { value, next } = await send('GET', page);
      for (const item of value as T[]) all.push(item);
      page = next;
    }
    return all;
  };
  return {
    get: (path) => call('GET', path),
    list,
    post: (path, body) => call('POST', path, body),
    put: (path, body) => call('PUT', path, body),
    delete: (path) => call('DELETE', path),
    follow: async (path, lastId) =>
      framesOf(await ask('GET', path, undefined, lastId === null ? {} : { 'last-event-id': lastId })),
  };
}

/** The frames of a stream of server-sent events (WHATWG HTML, 9.2). */
async function* framesOf(response: Response): AsyncGenerator<Frame> {
  const frames: Frame[] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => void frames.push({ id: id ?? null, event: event ?? 'message', data }),
  });
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    parser.feed(chunk);
    yield* frames.splice(0);
  }
}

/** The exit code for an error, as documented in the README and in `tower --help`. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof TowerError)) return exitCodes.failed;
  if (error.code === 'invalid') return exitCodes.usage;
  if (error.code === 'not_found') return exitCodes.notFound;
  if (error.code === 'conflict') return exitCodes.conflict;
  if (error.code === 'unauthenticated' || error.code === 'forbidden') return exitCodes.forbidden;
  return error.code === 'unavailable' || error.code === 'limited' ? exitCodes.unavailable : exitCodes.failed;
}

function codeOf(status: number): TowerError['code'] {
  if (status === 400 || status === 413) return 'invalid';
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 409) return 'conflict';
  if (status === 429) return 'limited';
  return status === 503 ? 'unavailable' : 'internal';
}

function detailOf(text: string): string | null {
  try {
    return (JSON.parse(text) as { detail?: string }).detail ?? null;
  } catch {
    return null;
  }
}
