import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { saveCache } from '#services/registry/mirror/cache-file.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { openFor } from '../../test/support/open.ts';
import { freePort, type Started, start } from '../../test/support/processes.ts';

const root = resolve(import.meta.dirname, '../..');

/** Nobody listens there: MLflow is down, the cache is all there is. */
export const deadMlflow = 'http://127.0.0.1:9';

export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'tower-bench-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes the cache file a tower over `uri` would find at its start. */
export async function prepareCache(folder: string, uri: string, rows: RegistryRows): Promise<void> {
  const source = openFor(uri);
  const path = join(folder, 'cache', `registry-${source.fingerprint}.jsonl`);
  await saveCache(path, rows, { fingerprint: source.fingerprint, source: uri, readAt: Date.now(), rounds: 1 });
  await source.close();
}

/** Starts a tower as `npm start` does, with no limits in its way. */
export async function startTower(folder: string, env: Record<string, string>): Promise<Started & { url: string }> {
  const port = await freePort();
  const unlimited = {
    RATE_LIMIT_PER_MINUTE: '10000000',
    RATE_LIMIT_METRICS_PER_MINUTE: '10000000',
    RATE_LIMIT_HEALTH_PER_MINUTE: '10000000',
    MAX_MODELS_RETURNED: '1000000',
  };
  const started = start(process.execPath, [join(root, 'bin/tower.js'), 'serve', '--port', String(port)], {
    cwd: folder,
    env: { LOG_LEVEL: 'ERROR', ...unlimited, ...env },
  });
  return { ...started, url: `http://127.0.0.1:${port}` };
}

/** Starts a rival written in a few lines. */
export async function startScript(script: string, args: string[] = []): Promise<Started & { url: string }> {
  const port = await freePort();
  const started = start(process.execPath, [join(root, 'bench/rivals', script), String(port), ...args]);
  return { ...started, url: `http://127.0.0.1:${port}` };
}

/** Milliseconds until the address has answered 200 and sent all of its body, asked every other millisecond. */
export async function msUntil200(url: string, since: number, program: Started): Promise<number> {
  for (;;) {
    const status = await statusOf(url);
    if (status === 200) return performance.now() - since;
    if (program.child.exitCode !== null) throw new Error(program.output());
    // A pause, or the asking takes a processor from what is asked.
    await new Promise((next) => {
      setTimeout(next, 2);
    });
  }
}

/** Without fetch, whose streams would take a good part of the time of a large answer; null: no answer. */
const statusOf = (url: string): Promise<number | null> =>
  new Promise((resolve) => {
    get(url, (response) => response.once('end', () => resolve(response.statusCode ?? null)).resume()).once(
      'error',
      () => resolve(null),
    );
  });
