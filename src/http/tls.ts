import { unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type Server } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { Config } from '#config/config.ts';
import { readNamedFile } from '#kernel/files.ts';
import type { RootLog } from '#kernel/log.ts';

type Settings = Pick<Config, 'API_TLS_CERT_PATH' | 'API_TLS_KEY_PATH' | 'API_TLS_CLIENT_CA_PATH'>;

/** How often the files are compared. */
const pollMs = 5_000;

/**
 * TLS of the server, version 1.2 or later; null if it is not configured. With a client CA, only clients with a certificate of it
 * can connect; who they are, their credentials say.
 * @throws TowerError `invalid` for a file that cannot be read
 */
export function tlsOptions({ API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH }: Settings) {
  if (API_TLS_CERT_PATH === undefined) return null;
  const ca = readNamedFile('API_TLS_CLIENT_CA_PATH', API_TLS_CLIENT_CA_PATH);
  return {
    cert: readNamedFile('API_TLS_CERT_PATH', API_TLS_CERT_PATH)!,
    key: readNamedFile('API_TLS_KEY_PATH', API_TLS_KEY_PATH)!,
    minVersion: 'TLSv1.2' as const,
    ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
  };
}

/** Uses new certificates when the files change; files that do not fit together are logged, and the current ones kept. */
export function reloadTls(app: FastifyInstance, settings: Settings, log: RootLog): void {
  const { API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH } = settings;
  const paths = [API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH].filter((path) => path !== undefined);
  const reload = () => {
    try {
      const options = tlsOptions(settings)!;
      createSecureContext(options);
      (app.server as unknown as Server).setSecureContext(options);
      log.info({}, 'reloaded the TLS certificate');
    } catch (error) {
      log.error({ err: error }, 'cannot use the changed TLS files; the current certificate is kept');
    }
  };
  for (const path of paths) watchFile(path, { interval: pollMs, persistent: false }, reload);
  app.addHook('onClose', async () => {
    for (const path of paths) unwatchFile(path, reload);
  });
}
