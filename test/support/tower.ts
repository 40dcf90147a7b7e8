import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { readConfig } from '#config/config.ts';
import { createLog } from '#kernel/log.ts';
import { buildApp } from '../../src/app.ts';
import { compose, type Overrides, type Tower } from '../../src/compose.ts';
import { whenTestIsOver } from './cleanup.ts';
import { pacedClock } from './sources.ts';
import { databaseOf } from './stores.ts';

/** A directory that is deleted after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tower-test-'));
  whenTestIsOver(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A log in memory, one parsed line per event. */
export function keptLog() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog('DEBUG', 'json', { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  return { log, lines, text: () => lines.map((line) => JSON.stringify(line)).join('\n') };
}

export type TestTower = Tower & { app: FastifyInstance; directory: string; logText: () => string };

/** A whole instance in its own directories, with a paced clock, not listening; stopped after the test. */
export async function testTower(env: Record<string, string> = {}, overrides: Overrides = {}): Promise<TestTower> {
  const directory = temporaryDirectory();
  const databaseUrl = await databaseOf(env['DATA_DIRECTORY'] ?? join(directory, 'data'));
  const { config, secrets } = readConfig({
    CACHE_DIRECTORY: join(directory, 'cache'),
    DATA_DIRECTORY: join(directory, 'data'),
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl, TOWER_SECRET_KEY: 'k'.repeat(40) }),
    RATE_LIMIT_PER_MINUTE: '100000',
    // Test files share few cores: slow moments must not count as overload.
    MAX_EVENT_LOOP_DELAY_MS: '0',
    MLFLOW_MAX_RETRIES: '0',
    ...env,
  });
  const kept = keptLog();
  const tower = await compose(config, secrets, '0.0.0-test', { log: kept.log, clock: pacedClock(), ...overrides });
  const app = await buildApp(tower);
  whenTestIsOver(async () => {
    await app.close();
    await tower.stop();
  });
  return { ...tower, app, directory, logText: kept.text };
}
