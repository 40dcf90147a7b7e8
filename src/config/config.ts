import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { TowerError } from '#kernel/errors.ts';
import { parseAllowed } from '#kernel/outbound.ts';
import { packageJson } from '#kernel/program-files.ts';
import { type Proxies, proxiesOf } from '#kernel/proxies.ts';
import { withoutCredentials } from '#kernel/without-credentials.ts';
import { accessSettings } from './access.ts';
import { acquisitionSettings } from './acquisition.ts';
import { analyticsSettings } from './analytics.ts';
import { driftSettings } from './drift.ts';
import { forecastSettings } from './forecast.ts';
import { onlyRegistry, type RegistrySetting, registriesOf } from './registries.ts';
import { registrySettings } from './registry.ts';
import { rightsizingSettings } from './rightsizing.ts';
import { serverSettings } from './server.ts';

/**
 * Every setting of every area. The key is the environment variable; the description is printed by `.env.example` and the
 * configuration page. A variable that is set but empty counts as not set.
 */
export const settings = z.object({
  ...serverSettings.shape,
  ...accessSettings.shape,
  ...registrySettings.shape,
  ...driftSettings.shape,
  ...analyticsSettings.shape,
  ...acquisitionSettings.shape,
  ...rightsizingSettings.shape,
  ...forecastSettings.shape,
});

const secretNames = [
  'MLFLOW_TRACKING_PASSWORD',
  'MLFLOW_TRACKING_TOKEN',
  'MLFLOW_WEBHOOK_SECRET',
  'TOWER_SECRET_KEY',
  'DATABASE_URL',
  'JWT_HS256_SECRET',
  'PROMETHEUS_PASSWORD',
  'PROMETHEUS_TOKEN',
] as const;
type SecretName = (typeof secretNames)[number];

type Settings = z.infer<typeof settings>;
/** Settings that may be logged and shown. */
export type Config = Omit<Settings, SecretName>;
/** Values that must never be shown. */
export type Secrets = {
  /** The registries, with their credentials. */
  registries: RegistrySetting[];
  /** Of the standard variables (HTTP_PROXY, …). */
  proxies: Proxies;
  webhookSecret: string | undefined;
  masterKey: string | undefined;
  databaseUrl: string | undefined;
  jwtSecret: string | undefined;
  prometheusPassword: string | undefined;
  prometheusToken: string | undefined;
};

/** `serve`: to listen for requests; `sign`: for commands that sign with the store's key; `store`: for those that do not. */
type Purpose = 'serve' | 'sign' | 'store';
type Issue = { parameters: string[]; text: string };

/** @throws TowerError `invalid` whose text has a line for each variable, or combination of them, that breaks a rule */
export function readConfig(
  env: Record<string, string | undefined>,
  purpose: Purpose = 'store',
): { config: Config; secrets: Secrets } {
  const given = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || value.trim() === '' ? [] : [[name, trimmed(name, value)]],
    ),
  );
  const parsed = settings.safeParse(given);
  const issues: Issue[] = parsed.success ? [] : parsed.error.issues.map((issue) => singleIssue(issue, env));
  // Without the variables that break their own rule, the rules about several others are still checked.
  const wrong = new Set(issues.flatMap(({ parameters }) => parameters));
  const partial = settings.safeParse(Object.fromEntries(Object.entries(given).filter(([name]) => !wrong.has(name))));
  const registries = attempt(() => registriesOf(partial.data?.MLFLOW_TRACKING_URI, given), issues);
  const proxies = attempt(() => proxiesOf(given), issues);
  attempt(() => parseAllowed(partial.data?.OUTBOUND_ALLOWED_HOSTS ?? []), issues);
  if (partial.data)
    for (const check of crossChecks[purpose]) {
      const issue = check(partial.data);
      if (issue && !issue.parameters.some((name) => wrong.has(name))) issues.push(issue);
    }
  if (!parsed.success || registries === null || proxies === null || issues.length > 0)
    throw new TowerError('invalid', issues.map(({ text }) => text).join('\n'), {
      details: { parameters: [...new Set(issues.flatMap(({ parameters }) => parameters))] },
    });
  return split(parsed.data, registries, proxies);
}

/** Names of keys for signatures, in which every character counts. */
const isSigningKey = (name: string) => /^(TOWER_SECRET_KEY|JWT_HS256_SECRET|MLFLOW_WEBHOOK_SECRET)/.test(name);

/** Values from files often end with a line break, and no setting has one. A password may begin or end with a space. */
function trimmed(name: string, value: string): string {
  if (isSigningKey(name)) return value;
  return name.includes('PASSWORD') ? value.replaceAll(/^[\r\n]+|[\r\n]+$/g, '') : value.trim();
}

/** Splits settings into those that may be shown and secrets. */
function split(all: Settings, registries: RegistrySetting[], proxies: Proxies): { config: Config; secrets: Secrets } {
  const {
    MLFLOW_TRACKING_PASSWORD: _password,
    MLFLOW_TRACKING_TOKEN: _token,
    MLFLOW_WEBHOOK_SECRET: webhookSecret,
    TOWER_SECRET_KEY: masterKey,
    DATABASE_URL: databaseUrl,
    JWT_HS256_SECRET: jwtSecret,
    PROMETHEUS_PASSWORD: prometheusPassword,
    PROMETHEUS_TOKEN: prometheusToken,
    ...config
  } = all;
  const [first] = registries;
  const shown =
    registries.length === 1 && first?.name === onlyRegistry
      ? { MLFLOW_TRACKING_URI: first.uri, MLFLOW_TRACKING_USERNAME: first.user }
      : { MLFLOW_TRACKING_URI: registries.map(({ name, uri }) => `${name}=${uri}`).join() };
  const keys = { webhookSecret, masterKey, databaseUrl, jwtSecret, prometheusPassword, prometheusToken };
  return { config: { ...config, ...shown }, secrets: { registries, proxies, ...keys } };
}

function singleIssue(issue: z.core.$ZodIssue, env: Record<string, string | undefined>): Issue {
  const name = String(issue.path[0]);
  const shown = secretNames.includes(name as SecretName)
    ? 'the given value'
    : JSON.stringify(withoutCredentials(env[name] ?? ''));
  return { parameters: [name], text: `${name} ${issue.message} (got ${shown})` };
}

/** Adds to the issues what `read` throws as `invalid`. */
function attempt<T>(read: () => T, issues: Issue[]): T | null {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TowerError) || error.code !== 'invalid') throw error;
    issues.push({ parameters: [String(error.details['parameter'])], text: error.message });
    return null;
  }
}

type Check = (settings: Settings) => Issue | null;

const openHost: Check = ({ API_HOST: host, AUTH_ENABLED: isRequired, ALLOW_UNAUTHENTICATED: isMeant }) =>
  isRequired || isMeant || isLoopback(host)
    ? null
    : {
        parameters: ['API_HOST', 'AUTH_ENABLED', 'ALLOW_UNAUTHENTICATED'],
        text: `API_HOST ${withoutCredentials(host)} accepts connections from other machines without authentication. Set AUTH_ENABLED=true (and create a key with "tower token create"), or ALLOW_UNAUTHENTICATED=true if this is intended`,
      };

const jwtIssuer: Check = ({ JWT_ISSUER: issuer, JWT_JWKS_URL: keys, JWT_HS256_SECRET: secret }) =>
  issuer !== undefined || (keys === undefined && secret === undefined)
    ? null
    : { parameters: ['JWT_ISSUER'], text: 'JWT_ISSUER must be set if JWT_JWKS_URL or JWT_HS256_SECRET is set' };

const secretKey: Check = ({ DATABASE_URL: url, TOWER_SECRET_KEY: key }) =>
  url === undefined || key !== undefined
    ? null
    : {
        parameters: ['TOWER_SECRET_KEY'],
        text: 'TOWER_SECRET_KEY must be set if DATABASE_URL is set: all instances of one database sign with it. For a database copied from a data directory use the content of its tower.key',
      };

const retention: Check = ({
  METRICS_RETENTION_DAYS: raw,
  METRICS_HOURS_RETENTION_DAYS: hours,
  METRICS_DAYS_RETENTION_DAYS: days,
}) =>
  raw <= hours && hours <= days
    ? null
    : {
        parameters: ['METRICS_RETENTION_DAYS', 'METRICS_HOURS_RETENTION_DAYS', 'METRICS_DAYS_RETENTION_DAYS'],
        text: `METRICS_RETENTION_DAYS (${raw}) must be at most METRICS_HOURS_RETENTION_DAYS (${hours}), and that at most METRICS_DAYS_RETENTION_DAYS (${days})`,
      };

const tlsFiles: Check = ({ API_TLS_CERT_PATH: cert, API_TLS_KEY_PATH: key, API_TLS_CLIENT_CA_PATH: ca }) =>
  (cert === undefined) === (key === undefined) && (ca === undefined || cert !== undefined)
    ? null
    : {
        parameters: ['API_TLS_CERT_PATH', 'API_TLS_KEY_PATH', 'API_TLS_CLIENT_CA_PATH'],
        text: 'API_TLS_CERT_PATH and API_TLS_KEY_PATH must be set together; API_TLS_CLIENT_CA_PATH needs both',
      };

/** Every rule about more than one setting. */
const crossChecks: Record<Purpose, Check[]> = {
  serve: [openHost, jwtIssuer, secretKey, retention, tlsFiles],
  sign: [secretKey],
  store: [],
};

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

/** Directory of load experiments. */
export const experimentsDirectoryOf = (config: Config): string =>
  config.EXPERIMENTS_DIRECTORY ?? join(config.DATA_DIRECTORY, 'experiments');

/** The version of this program, as package.json has it. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(packageJson, 'utf8')) as { version: string }).version;
