import { packageVersion, readConfig } from '#config/config.ts';
import { TowerError } from '#kernel/errors.ts';
import { lockDirectory } from '#store/directory-lock.ts';
import { buildApp } from './app.ts';
import { compose } from './compose.ts';

/** Starts the server from environment variables; the flags of `tower serve` are already merged into them. */
export async function serve(env: Record<string, string | undefined>): Promise<void> {
  const { config, secrets } = readConfig(env, 'serve');
  // Registered first: as process 1 of a container, a signal without a handler is ignored.
  const stop = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve).once('SIGINT', resolve);
  });
  const version = packageVersion();
  // Several instances over one directory would be several leaders.
  const lock = secrets.databaseUrl === undefined ? lockDirectory(config.DATA_DIRECTORY) : null;
  const tower = await compose(config, secrets, version);
  const { log } = tower;
  const app = await buildApp(tower);

  try {
    const url = await app.listen({ host: config.API_HOST, port: config.API_PORT }).catch((error: unknown) => {
      throw cannotListen(config.API_HOST, config.API_PORT, error as NodeJS.ErrnoException);
    });
    if (!config.AUTH_ENABLED)
      log.warn({ host: config.API_HOST }, 'authentication is off (AUTH_ENABLED=false): every request has scope admin');
    log.info({ url, docs: `${url}/docs` }, 'listening');
    tower.startJobs();
    const signal = await stop;
    log.info({ signal }, 'stopping; finishing open requests');
    // A second signal, or requests that never end, must not keep the process alive.
    process.once('SIGTERM', () => process.exit(1)).once('SIGINT', () => process.exit(1));
    setTimeout(() => process.exit(1), config.SHUTDOWN_TIMEOUT_SECONDS * 1000).unref();
  } finally {
    await app.close();
    await tower.stop();
    lock?.release();
  }
  log.info({}, 'stopped');
}

function cannotListen(host: string, port: number, error: NodeJS.ErrnoException): TowerError {
  if (error.code === 'EADDRINUSE') {
    return new TowerError('conflict', `port ${port} on ${host} is in use; set another one with --port or API_PORT`);
  }
  return new TowerError('conflict', `cannot listen on ${host}:${port} (${error.code}); see API_HOST and API_PORT`, {
    cause: error,
  });
}
