import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { freePort, type Started, start } from './processes.ts';

/** Debian's directories, newest last, or the directory of `postgres` on the PATH. */
export function postgresPrograms(): string | null {
  const [newest] = globSync('/usr/lib/postgresql/*/bin/postgres').sort().toReversed();
  if (newest) return join(newest, '..');
  const found = spawnSync('which', ['postgres']).stdout.toString().trim();
  return found === '' ? null : join(found, '..');
}

export type PostgresServer = {
  url: string;
  stop(): Promise<void>;
  /** Kills it, and starts it again. */
  crash(): Promise<void>;
};

/**
 * A real PostgreSQL in its own directory, on the loopback; null if not installed. It refuses to run as root, so it runs as
 * nobody.
 */
export async function startPostgres(settings: string[] = []): Promise<PostgresServer | null> {
  const bin = postgresPrograms();
  if (bin === null || !existsSync(join(bin, 'initdb'))) return null;
  const directory = mkdtempSync(join(tmpdir(), 'tower-postgres-'));
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'] : [];
  if (asNobody.length > 0) execFileSync('chown', ['nobody', directory]);
  const run = (program: string, ...args: string[]) => [...asNobody, join(bin, program), ...args];
  const [initdb = '', ...initArgs] = run(
    'initdb',
    '-D',
    join(directory, 'data'),
    '-U',
    'tower',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  );
  execFileSync(initdb, initArgs, { stdio: 'pipe' });
  const port = await freePort();
  const flags = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    `unix_socket_directories=${directory}`,
    'max_connections=300',
    ...settings,
  ];
  const [program = '', ...args] = run(
    'postgres',
    '-D',
    join(directory, 'data'),
    ...flags.flatMap((flag) => ['-c', flag]),
  );
  const url = `postgres://tower@127.0.0.1:${port}/postgres`;
  let server = await untilAccepts(url, () => start(program, args, { cwd: directory }));
  return {
    url,
    stop: async () => {
      await server.stop('SIGINT');
      rmSync(directory, { recursive: true, force: true });
    },
    crash: async () => {
      await server.stop('SIGKILL');
      server = await untilAccepts(url, () => start(program, args, { cwd: directory }));
    },
  };
}

/** After a crash it starts only once its last process has ended. */
async function untilAccepts(url: string, begin: () => Started): Promise<Started> {
  const deadline = Date.now() + 30_000;
  let server = begin();
  while (Date.now() < deadline) {
    if (server.child.exitCode !== null) server = begin();
    const client = new Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return server;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`PostgreSQL did not start:\n${server.output()}`);
}
