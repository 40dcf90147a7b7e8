import { resolve } from 'node:path';
import { whenTestIsOver } from './cleanup.ts';
import { freePort, type Started, start, untilAnswers } from './processes.ts';

const program = resolve(import.meta.dirname, '../../src/tower.ts');

/** Runs `tower …` as a user does, with this Node. */
export function towerCommand(args: string[], options: { cwd: string; env?: Record<string, string> }): Started {
  const started = start(process.execPath, [program, ...args], options);
  whenTestIsOver(() => started.stop('SIGKILL'));
  return started;
}

/** An instance on a free port, with its directories in `cwd`. */
export async function servingTower(cwd: string, env: Record<string, string> = {}): Promise<Started & { url: string }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const started = towerCommand(['serve', '--port', String(port)], { cwd, env });
    const url = `http://127.0.0.1:${port}`;
    try {
      await untilAnswers(`${url}/readyz`, started, 20_000);
      return { ...started, url };
    } catch (error) {
      // Another process took the port meanwhile.
      if (attempt === 3 || !started.output().includes('is in use')) throw error;
    }
  }
}
