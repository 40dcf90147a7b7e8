import { z } from 'zod';
import { flag, headerText, list, number, text } from './kinds.ts';

/** Settings of the registry mirror, its journal, webhooks and promotion checks. */
export const registrySettings = z.object({
  MLFLOW_TRACKING_URI: text().describe(
    'Registry to mirror: http(s)://host[/prefix], sqlite:///relative.db, sqlite:////absolute.db, ./mlruns or file:///path; or several: prod=https://…,lab=./mlruns. Not set: a built-in sample registry',
  ),
  MLFLOW_TRACKING_USERNAME: text().describe('User name for Basic authentication'),
  MLFLOW_TRACKING_PASSWORD: text().describe('Password for Basic authentication (secret)'),
  MLFLOW_TRACKING_TOKEN: headerText().describe('Bearer token; used when no user name and password are set (secret)'),
  MLFLOW_TRACKING_SERVER_CERT_PATH: text().describe(
    'PEM file of the certificate authority that signed the server’s certificate',
  ),
  MLFLOW_TRACKING_CLIENT_CERT_PATH: text().describe('PEM file with a client certificate and its key'),
  MLFLOW_TRACKING_INSECURE_TLS: flag(false).describe('Accept any server certificate (for tests only)'),
  MLFLOW_FILE_ROOTS: list('').describe(
    'Directories outside an mlruns store that its symbolic links may lead to; other links out of the store are errors',
  ),
  MLFLOW_WORKSPACE: headerText().describe(
    'MLflow workspace to mirror (MLflow 3.10 and later); default: the default workspace',
  ),
  MLFLOW_TIMEOUT_SECONDS: number(30, 1, 600).describe('Timeout of one call to MLflow'),
  MLFLOW_MAX_RETRIES: number(3, 0, 10).describe('Retries of a failed call to MLflow'),
  ENABLE_CACHE: flag(true).describe('false: read MLflow on each request (slow; for debugging)'),
  CACHE_REFRESH_INTERVAL_MINUTES: number(30, 0.05, 10_080, false).describe('Time between two refreshes of the mirror'),
  CACHE_TIMEOUT_SECONDS: number(300, 1, 3600).describe('Timeout of one refresh'),
  MASS_DELETION_PCT: number(20, 0, 100, false).describe(
    'If more models than this, in per cent, and at least 5 are missing from a read, it is believed only after another read, at least 60 s later, confirms it; 100 = always believed',
  ),
  CACHE_REREAD_FINISHED_RUNS_EVERY: number(48, 1, 100_000).describe(
    'Metrics of finished runs are read again every n-th refresh',
  ),
  MAX_MODELS_RETURNED: number(1000, 1, 1_000_000).describe(
    'Maximum number of model versions or experiments per response; a Link header leads to the next page',
  ),
  ENABLE_CACHE_PERSISTENCE: flag(true).describe('Cache the mirror in a file, so that a restart is ready at once'),
  CACHE_DIRECTORY: z.string().default('./cache').describe('Directory of the cache file'),
  CACHE_MAX_AGE_HOURS: number(24, 0.01, 87_600, false).describe('Age at which the mirror is stale'),
  READ_CACHE_SECONDS: number(60, 1, 86_400).describe('Cache time of run lists and metric histories'),
  STAGE_ALIASES_PRODUCTION: list('champion,production,prod,live,current,deployed').describe(
    'Aliases that count as stage Production, if the version has no stage',
  ),
  STAGE_ALIASES_STAGING: list('staging,challenger,candidate,canary,shadow,preprod,uat').describe(
    'Aliases that count as stage Staging, if the version has no stage',
  ),
  STAGE_ALIASES_ARCHIVED: list('archived,retired,deprecated,rollback').describe(
    'Aliases that count as stage Archived, if the version has no stage',
  ),
  METRICS_HIGHER_IS_BETTER: list('').describe(
    'Metrics that are better when higher, if the direction cannot be inferred from their names',
  ),
  METRICS_LOWER_IS_BETTER: list('').describe(
    'Metrics that are better when lower, if the direction cannot be inferred from their names',
  ),
  GATE_RULES_FILE: text().describe(
    'YAML or JSON file with the rules of the promotion gate (docs/reference/file-formats.md)',
  ),
  OWNER_TAGS: list('owner,team,maintainer').describe('Tags that name the owner of a model or version'),
  HYGIENE_STALE_DAYS: number(180, 1, 36_500).describe(
    'Time in production without a change after which a version is stale',
  ),
  EVENTS_RETENTION_DAYS: number(400, 1, 36_500).describe('Retention of registry events'),
  EVENTS_MAX_CHATTER: number(200_000, 100, 100_000_000).describe(
    'Maximum number of minor events (descriptions, tags, metrics); events about stages and aliases have no maximum',
  ),
  STREAM_MAX_CLIENTS: number(1000, 1, 100_000).describe('Maximum number of clients of /models/stream'),
  MLFLOW_WEBHOOK_SECRET: text().describe(
    'Secret of the MLflow webhook that calls /webhooks/mlflow; not set: deliveries are refused (secret)',
  ),
  WEBHOOK_TIMEOUT_SECONDS: number(10, 1, 120).describe('Timeout of one webhook delivery'),
  WEBHOOK_MAX_ATTEMPTS: number(15, 1, 100).describe('Maximum number of attempts of a delivery'),
  ENABLE_MOCK_DATA: flag(false).describe(
    'Serve the sample registry if MLflow is unreachable at start and there is no cache',
  ),
});
