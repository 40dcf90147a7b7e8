import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '#kernel/clock.ts';
import { invalid } from '#kernel/errors.ts';
import { readNamedFile } from '#kernel/files.ts';
import { authorization, createHttpClient, type HttpClientOptions } from '#kernel/http-client.ts';
import { type Proxies, proxyFor } from '#kernel/proxies.ts';
import type { Random } from '#kernel/rng.ts';
import { createMlrunsSource } from './mlruns-source.ts';
import { createRestSource } from './rest-source.ts';
import type { RegistrySource } from './source.ts';
import { createSqliteSource } from './sqlite-source.ts';

/** Location and credentials of a source. `uri` contains no credentials: it is shown. */
export type SourceOptions = {
  uri: string;
  user?: string | undefined;
  password?: string | undefined;
  token?: string | undefined;
  workspace?: string | undefined;
  caPath?: string | undefined;
  clientCertPath?: string | undefined;
  proxies?: Proxies;
  insecureTls: boolean;
  timeoutMs: number;
  maxRetries: number;
  /** Directories that symbolic links of an mlruns store may lead to. */
  linkRoots?: readonly string[];
  clock: Clock;
  random: Random;
  onCall?: HttpClientOptions['onCall'];
};

const maxInFlight = 4;

/** Opens the source for a tracking URI. @throws TowerError `invalid` with the variable and what it accepts */
export function openSource(options: SourceOptions): RegistrySource {
  const { uri, clock } = options;
  if (/^https?:\/\//i.test(uri)) return openRest(options);
  if (/^sqlite:\/\/\//i.test(uri)) {
    // Three slashes for a relative path, four for an absolute one, as in SQLAlchemy.
    const path = resolve(uri.slice('sqlite:///'.length).replace(/\?.*$/, ''));
    const workspace = options.workspace ?? 'default';
    return createSqliteSource(path, uri, fingerprint('sqlite', path, workspace), workspace, clock);
  }
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme && scheme !== 'file') throw unsupported(scheme);
  if (['databricks', 'databricks-uc', 'uc'].includes(uri)) throw unsupported(uri);
  const root =
    scheme === 'file'
      ? fileURLToPath(uri.startsWith('file:///') ? uri : `file://${resolve(uri.slice('file:'.length))}`)
      : resolve(uri);
  const linkRoots = (options.linkRoots ?? []).map((path) => resolve(path));
  return createMlrunsSource(root, { label: uri, fingerprint: fingerprint('mlruns', root), linkRoots, clock });
}

function openRest(options: SourceOptions): RegistrySource {
  const url = parseUrl(options.uri);
  const { user, password } = options;
  const headers: Record<string, string> = {
    'user-agent': 'control-tower',
    ...authorization(user, password, options.token),
  };
  if (options.workspace) headers['x-mlflow-workspace'] = options.workspace;
  const baseUrl = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  const ca = readNamedFile('MLFLOW_TRACKING_SERVER_CERT_PATH', options.caPath);
  const cert = readNamedFile('MLFLOW_TRACKING_CLIENT_CERT_PATH', options.clientCertPath);
  const client = createHttpClient({
    baseUrl,
    serverName: 'MLflow',
    headers,
    tls: { insecure: options.insecureTls, ...(ca ? { ca } : {}), ...(cert ? { cert } : {}) },
    proxy: options.proxies ? proxyFor(options.proxies, baseUrl) : null,
    maxInFlight,
    timeoutMs: options.timeoutMs,
    maxRetries: options.maxRetries,
    clock: options.clock,
    random: options.random,
    ...(options.onCall ? { onCall: options.onCall } : {}),
  });
  return createRestSource(client, options.uri, fingerprint('rest', baseUrl, user ?? '', options.workspace ?? ''));
}

function parseUrl(uri: string): URL {
  try {
    return new URL(uri);
  } catch {
    throw invalid('MLFLOW_TRACKING_URI is not a valid URL; write it as http(s)://host[:port][/prefix]', {
      parameter: 'MLFLOW_TRACKING_URI',
    });
  }
}

function unsupported(scheme: string) {
  const hint = /^(postgresql|mysql|mssql)/.test(scheme)
    ? `start "mlflow server --backend-store-uri ${scheme}://…" and set its http address`
    : 'use http(s)://host, sqlite:///file.db, ./mlruns or file:///path';
  return invalid(`MLFLOW_TRACKING_URI: ${scheme}: addresses are not supported; ${hint}`, {
    parameter: 'MLFLOW_TRACKING_URI',
  });
}

const fingerprint = (...parts: string[]): string =>
  createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
