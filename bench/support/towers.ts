import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { saveCache } from '#services/registry/mirror/cache-file.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { openFor } from '../../test/support/open.ts';
import { freePort, type Started, start } from '../../test/support/processes.ts';

const root = resolve(import.meta.dirname, '../..');

/** Nothing listens there: MLflow is down, only the cache is available. */
export const deadMlflow = 'http://127.0.0.1:9';

export async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'tower-bench-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes the cache file that an instance for `uri` finds at its start. */
export async function prepareCache(directory: string, uri: string, rows: RegistryRows): Promise<void> {
  const source = openFor(uri);
  const path = join(directory, 'cache', `registry-${source.fingerprint}.jsonl`);
  await saveCache(path, rows, { fingerprint: source.fingerprint, source: uri, readAt: Date.now(), rounds: 1 });
  await source.close();
}

/** Starts an instance as `npm start` does, without rate limits. */
export async function startTower(directory: string, env: Record<string, string>): Promise<Started & { url: string }> {
  const port = await freePort();
  const unlimited = {
    RATE_LIMIT_PER_MINUTE: '10000000',
    RATE_LIMIT_METRICS_PER_MINUTE: '10000000',
    RATE_LIMIT_HEALTH_PER_MINUTE: '10000000',
    MAX_MODELS_RETURNED: '1000000',
  };
  const started = start(process.execPath, [join(root, 'bin/tower.js'), 'serve', '--port', String(port)], {
    cwd: directory,
    env: { LOG_LEVEL: 'ERROR', ...unlimited, ...env },
  });
  return { ...started, url: `http://127.0.0.1:${port}` };
}

/** Starts a rival script. */
export async function startScript(script: string, args: string[] = []): Promise<Started & { url: string }> {
  const port = await freePort();
  const started = start(process.execPath, [join(root, 'bench/rivals', script), String(port), ...args]);
  return { ...started, url: `http://127.0.0.1:${port}` };
}

/** Milliseconds until the URL has answered 200 with a complete body, polled every 2 ms. */
export async function msUntil200(url: string, since: number, program: Started): Promise<number> {
  for (;;) {
    const status = await statusOf(url);
    if (status === 200) return performance.now() - since;
    if (program.child.exitCode !== null) throw new Error(program.output());
    // Pauses, since polling would take CPU from the measured process.
    await new Promise((next) => {
      setTimeout(next, 2);
    });
  }
}

/** Uses node:http, since fetch's streams are slow for large bodies; null: no response. */
const statusOf = (url: string): Promise<number | null> =>
  new Promise((resolve) => {
    get(url, (response) => response.once('end', () => resolve(response.statusCode ?? null)).resume()).once(
      'error',
      () => resolve(null),
    );
  });

/** Resident memory of a process, and its maximum so far. */
export function rssMiB(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (field: string) => Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { now: of('VmRSS'), peak: of('VmHWM') };
}
