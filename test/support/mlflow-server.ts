import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { freePort, type Started, start, untilAnswers } from './processes.ts';

/** Directory of the two MLflows that `.ci/run` installs, each in a virtual environment. */
const peersDirectory = resolve(process.env['PEERS_DIRECTORY'] ?? '.peers');

/** Path of a peer's program, or null if it is not installed (a failure in CI). */
export function peerProgram(peer: string, program: string): string | null {
  const path = join(peersDirectory, peer, 'bin', program);
  if (existsSync(path)) return path;
  if (process.env['CI']) throw new Error(`the peer ${peer} is missing (${path}); .ci/run installs it`);
  console.warn(`NOT TESTED against ${peer}: ${path} is not there; .ci/run shows how to install it`);
  return null;
}

export type MlflowServer = { url: string; program: Started };

/** Starts a real MLflow server over a store, on a free loopback port. */
export async function startMlflow(
  program: string,
  directory: string,
  backend: string,
  extra: string[] = [],
  more: Record<string, string> = {},
): Promise<MlflowServer> {
  const port = await freePort();
  const args = [
    'server',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    '--backend-store-uri',
    backend,
    '--default-artifact-root',
    join(directory, 'artifacts'),
    ...extra,
  ];
  const env = {
    MLFLOW_DISABLE_TELEMETRY: 'true',
    DO_NOT_TRACK: 'true',
    MLFLOW_ALLOW_FILE_STORE: 'true',
    PYTHONWARNINGS: 'ignore',
    GIT_PYTHON_REFRESH: 'quiet',
    ...more,
  };
  const started = start(program, args, { cwd: directory, env });
  const url = `http://127.0.0.1:${port}`;
  await untilAnswers(`${url}/health`, started, 120_000);
  return { url, program: started };
}
