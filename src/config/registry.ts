import { z } from 'zod';
import { flag, list, number, text } from './kinds.ts';

/** Settings of the registry mirror, its journal, webhooks and promotion checks. */
export const registrySettings = z.object({
  MLFLOW_TRACKING_URI: text().describe(
    'Registry to mirror: http(s)://host[/prefix], sqlite:///relative.db, sqlite:////absolute.db, ./mlruns or file:///path; or several: prod=https://…,lab=./mlruns. Not set: a built-in sample registry',
  ),
  MLFLOW_TRACKING_USERNAME: text().describe('User name for Basic authentication'),
  MLFLOW_TRACKING_PASSWORD: text().describe('Password for Basic authentication (secret)'),
  MLFLOW_TRACKING_TOKEN: text().describe('Bearer token; used when no user name and password are set (secret)'),
  MLFLOW_TRACKING_SERVER_CERT_PATH: text().describe(
    'PEM file of the certificate authority that signed the server’s certificate',
  ),
  MLFLOW_TRACKING_CLIENT_CERT_PATH: text().describe('PEM file with a client certificate and its key'),
  MLFLOW_TRACKING_INSECURE_TLS: flag(false).describe('Accept any server certificate (for tests only)'),
  MLFLOW_WORKSPACE: text().describe('MLflow workspace to mirror (MLflow 3.10 and later); not set: the default one'),
  MLFLOW_TIMEOUT_SECONDS: number(30, 1, 600).describe('Longest wait for one answer of MLflow'),
  MLFLOW_MAX_RETRIES: number(3, 0, 10).describe('How often a failed call to MLflow is tried again'),
  ENABLE_CACHE: flag(true).describe('false: read MLflow on each request (slow; for debugging)'),
  CACHE_REFRESH_INTERVAL_MINUTES: number(30, 0.05, 10_080, false).describe('Time between two refreshes of the mirror'),
  CACHE_TIMEOUT_SECONDS: number(300, 1, 3600).describe('Longest time for one refresh, the first one included'),
  CACHE_REREAD_FINISHED_RUNS_EVERY: number(48, 1, 100_000).describe(
    'Metrics of finished runs are read again at every n-th refresh',
  ),
  MAX_MODELS_RETURNED: number(1000, 1, 1_000_000).describe(
    'Longest list of models or experiments one answer holds; a Link header leads to the rest',
  ),
  ENABLE_CACHE_PERSISTENCE: flag(true).describe('Keep the mirror in a file, so that a restart is ready at once'),
  CACHE_DIRECTORY: z.string().default('./cache').describe('Folder of the cache file'),
  CACHE_MAX_AGE_HOURS: number(24, 0.01, 87_600, false).describe('A mirror older than this is called stale'),
  READ_CACHE_SECONDS: number(60, 1, 86_400).describe(
    'How long run lists and metric histories read on demand are reused',
  ),
  STAGE_ALIASES_PRODUCTION: list('champion,production,prod,live,current,deployed').describe(
    'Aliases that mean Production where no stage is set',
  ),
  STAGE_ALIASES_STAGING: list('staging,challenger,candidate,canary,shadow,preprod,uat').describe(
    'Aliases that mean Staging where no stage is set',
  ),
  STAGE_ALIASES_ARCHIVED: list('archived,retired,deprecated,rollback').describe(
    'Aliases that mean Archived where no stage is set',
  ),
  METRICS_HIGHER_IS_BETTER: list('').describe('Metrics of which more is better, where their names do not tell'),
  METRICS_LOWER_IS_BETTER: list('').describe('Metrics of which less is better, where their names do not tell'),
  GATE_RULES_FILE: text().describe('YAML or JSON file with the rules of the promotion gate (docs/judgement.md)'),
  OWNER_TAGS: list('owner,team,maintainer').describe('Tags that name the owner of a model or version'),
  HYGIENE_STALE_DAYS: number(180, 1, 36_500).describe(
    'What has been in production unchanged for longer is called stale',
  ),
  EVENTS_RETENTION_DAYS: number(400, 1, 36_500).describe('How long the journal of registry events is kept'),
  EVENTS_MAX_CHATTER: number(200_000, 100, 100_000_000).describe(
    'Most events about descriptions, tags and metrics that are kept; what was deployed when is kept for the whole time',
  ),
  STREAM_MAX_CLIENTS: number(1000, 1, 100_000).describe('Most clients that follow /models/stream at once'),
  MLFLOW_WEBHOOK_SECRET: text().describe(
    'Secret of the webhook in MLflow that calls /webhooks/mlflow; not set: deliveries are refused (secret)',
  ),
  WEBHOOK_TIMEOUT_SECONDS: number(10, 1, 120).describe('Longest wait for the receiver of a webhook'),
  WEBHOOK_MAX_ATTEMPTS: number(15, 1, 100).describe('A delivery that failed this often is given up'),
  ENABLE_MOCK_DATA: flag(false).describe(
    'Show the sample registry when MLflow cannot be reached at start and there is no cache',
  ),
});
