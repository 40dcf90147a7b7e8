import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { TowerError } from './kernel/errors.ts';
import { onlyRegistry, type RegistrySetting, registriesOf } from './registries.ts';
import { settings } from './settings.ts';

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
  /** The registries, with what it takes to get in. */
  registries: RegistrySetting[];
  webhookSecret: string | undefined;
  masterKey: string | undefined;
  databaseUrl: string | undefined;
  jwtSecret: string | undefined;
  prometheusPassword: string | undefined;
  prometheusToken: string | undefined;
};

/** @throws TowerError `invalid` whose text has a line for each variable that breaks its rule */
export function readConfig(env: Record<string, string | undefined>): { config: Config; secrets: Secrets } {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
  const parsed = settings.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      const shown = secretNames.includes(name as SecretName) ? 'the given value' : JSON.stringify(env[name]);
      return `${name} ${issue.message}, not ${shown}`;
    });
    throw new TowerError('invalid', lines.join('\n'), {
      details: { parameters: parsed.error.issues.map((issue) => issue.path[0]) },
    });
  }
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
  } = parsed.data;
  const registries = registriesOf(config.MLFLOW_TRACKING_URI, given);
  const [first] = registries;
  const shown =
    registries.length === 1 && first?.name === onlyRegistry
      ? { MLFLOW_TRACKING_URI: first.uri, MLFLOW_TRACKING_USERNAME: first.user }
      : { MLFLOW_TRACKING_URI: registries.map(({ name, uri }) => `${name}=${uri}`).join() };
  const keys = { webhookSecret, masterKey, databaseUrl, jwtSecret, prometheusPassword, prometheusToken };
  return { config: { ...config, ...shown }, secrets: { registries, ...keys } };
}

/** Where load experiments are. */
export const experimentsFolderOf = (config: Config): string =>
  config.EXPERIMENTS_DIRECTORY ?? join(config.DATA_DIRECTORY, 'experiments');

/** The version of this program, as package.json has it. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;
