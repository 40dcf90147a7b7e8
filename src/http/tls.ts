import { unwatchFile, watchFile } from 'node:fs';
import { createSecureContext, type SecureContext, type Server } from 'node:tls';
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
export function openTls(settings: Settings) {
  const files = readFiles(settings);
  if (files === null) return null;
  let context = createSecureContext(files);
  return {
    options: {
      ...files,
      // On API_HOST=localhost Fastify opens a second server, which no reload reaches but this callback does.
      SNICallback: (_name: string, answer: (error: null, context: SecureContext) => void) => answer(null, context),
    },
    /** Uses new certificates when the files change; if they do not fit together, logs it and keeps the current ones. */
    reloadIn: (app: FastifyInstance, log: RootLog): void =>
      watchFiles(app, settings, () => {
        try {
          const changed = readFiles(settings)!;
          context = createSecureContext(changed);
          (app.server as unknown as Server).setSecureContext(changed);
          log.info({}, 'reloaded the TLS certificate');
        } catch (error) {
          log.error({ err: error }, 'cannot use the changed TLS files; the current certificate is kept');
        }
      }),
  };
}

function readFiles({ API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH }: Settings) {
  if (API_TLS_CERT_PATH === undefined) return null;
  const ca = readNamedFile('API_TLS_CLIENT_CA_PATH', API_TLS_CLIENT_CA_PATH);
  return {
    cert: readNamedFile('API_TLS_CERT_PATH', API_TLS_CERT_PATH)!,
    key: readNamedFile('API_TLS_KEY_PATH', API_TLS_KEY_PATH)!,
    minVersion: 'TLSv1.2' as const,
    ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
  };
}

function watchFiles(app: FastifyInstance, settings: Settings, reload: () => void): void {
  const { API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH } = settings;
  const paths = [API_TLS_CERT_PATH, API_TLS_KEY_PATH, API_TLS_CLIENT_CA_PATH].filter((path) => path !== undefined);
  for (const path of paths) watchFile(path, { interval: pollMs, persistent: false }, reload);
  app.addHook('onClose', async () => {
    for (const path of paths) unwatchFile(path, reload);
  });
}
