import { TowerError } from '../kernel/errors.ts';

/** Calls to a running tower. */
export type TowerClient = {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  delete<T>(path: string): Promise<T>;
};

/** What failed, as an exit code of the program. */
export const exitCodes = { failed: 1, usage: 2, notFound: 3, conflict: 4, unavailable: 5 } as const;

/** @throws TowerError with the tower's own words; `unavailable` where nobody answers */
export function createTowerClient(baseUrl: string): TowerClient {
  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(new URL(path, baseUrl), {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch((error: unknown) => {
      throw new TowerError(
        'unavailable',
        `No tower answers at ${baseUrl}. Start one with "npm start", or name another with --url`,
        { cause: error },
      );
    });
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as T;
    throw new TowerError(codeOf(response.status), detailOf(text) ?? `The tower answered ${response.status}`);
  };
  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    delete: (path) => call('DELETE', path),
  };
}

/** The exit code for an error; documented in the README and in `tower --help`. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof TowerError)) return exitCodes.failed;
  if (error.code === 'invalid') return exitCodes.usage;
  if (error.code === 'not_found') return exitCodes.notFound;
  if (error.code === 'conflict') return exitCodes.conflict;
  return error.code === 'unavailable' || error.code === 'limited' ? exitCodes.unavailable : exitCodes.failed;
}

function codeOf(status: number): TowerError['code'] {
  if (status === 400) return 'invalid';
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
