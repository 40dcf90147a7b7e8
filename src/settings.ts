import { isIP } from 'node:net';
import { z } from 'zod';

/**
 * Every setting, declared once. The key is the environment variable; the description is printed by
 * `.env.example` and the configuration page. A variable that is set but empty counts as not set.
 */
const flag = (value: boolean) =>
  z
    .enum(['true', 'false', '1', '0', 'yes', 'no', 'on', 'off'], 'must be true or false')
    .default(value ? 'true' : 'false')
    .transform((text) => ['true', '1', 'yes', 'on'].includes(text));

const number = (value: number, min: number, max: number, whole = true) => {
  const rule = `must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`;
  const bounded = z.coerce.number(rule).min(min, rule).max(max, rule);
  return (whole ? bounded.int(rule) : bounded).default(value);
};

const text = () => z.string().optional();
const list = (value: string) =>
  z
    .string()
    .default(value)
    .transform((items) =>
      items
        .split(',')
        .map((item) => item.trim())
        .filter(Boolean),
    );

const isProxySetting = (text: string): boolean =>
  /^(true|false|[0-9])$/.test(text) ||
  text.split(',').every((item) => isIP(item.trim().replace(/\/\d{1,3}$/, '')) !== 0);

/** A number counts proxies from this end: what stands further left in the header is whatever the caller wrote. */
const proxySetting = (text: string): false | number | string => {
  if (text === 'true') return 1;
  return /^[0-9]$/.test(text) ? Number(text) || false : text === 'false' ? false : text;
};

const isPostgresUrl = (url: string | undefined): boolean =>
  url === undefined ||
  (/^postgres(ql)?:$/.test(URL.parse(url)?.protocol ?? '') && /^\/[^/]+$/.test(new URL(url).pathname));

const isPlainUrl = (url: string | undefined): boolean =>
  url === undefined ||
  (/^https?:$/.test(URL.parse(url)?.protocol ?? '') &&
    URL.parse(url)?.username === '' &&
    URL.parse(url)?.search === '');

const isOrigin = (url: string): boolean => /^https?:\/\/[^/?#@]+\/?$/.test(url) && URL.canParse(url);

const isSelector = /^[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\{}]*"(,[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\{}]*")*$/;
const selector = (example: string) =>
  text().refine((list) => list === undefined || isSelector.test(list), `must be like ${example}`);

export const settings = z.object({
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

  API_HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  API_PORT: number(8000, 0, 65535).describe('Port to listen on; 0 for any free one'),
  LOG_LEVEL: z
    .string()
    .default('INFO')
    .transform((text) => text.toUpperCase())
    .pipe(z.enum(['DEBUG', 'INFO', 'WARNING', 'ERROR'], 'must be DEBUG, INFO, WARNING or ERROR'))
    .describe('Least level that is logged'),
  LOG_FORMAT: z
    .enum(['auto', 'json', 'text'], 'must be auto, json or text')
    .default('auto')
    .describe('auto: text on a terminal, JSON lines elsewhere'),

  AUTH_ENABLED: flag(false).describe(
    'true: every call needs an API key or a token; `tower token create` makes the first key',
  ),
  ALLOW_UNAUTHENTICATED: flag(false).describe(
    'true: listen beyond this machine (API_HOST) although authentication is off',
  ),
  JWT_ISSUER: text().describe('Issuer (iss) of the tokens that are taken; needed for any'),
  JWT_AUDIENCE: z.string().default('control-tower').describe('Audience (aud) a token must be for'),
  JWT_JWKS_URL: text()
    .refine(
      (url) => url === undefined || (URL.canParse(url) && new URL(url).username === ''),
      'must be a URL without user name and password',
    )
    .describe('Where the public keys for RS256, ES256 and EdDSA tokens are'),
  JWT_HS256_SECRET: z
    .string()
    .min(32, 'must have 32 characters at least')
    .optional()
    .describe('Shared secret for HS256 tokens (secret)'),
  JWT_CLOCK_SKEW_SECONDS: number(30, 0, 60).describe('How far the clock of the issuer may be off'),

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

  DATA_DIRECTORY: z.string().default('./data').describe('Folder of everything that cannot be rebuilt (tower.db)'),
  DATABASE_URL: text()
    .refine(isPostgresUrl, 'must be like postgres://user:password@host:5432/database')
    .describe(
      'PostgreSQL 15 or later in the place of the databases in DATA_DIRECTORY, for several towers that share it; TOWER_SECRET_KEY must be set then (secret)',
    ),
  DATABASE_CONNECTIONS: number(10, 2, 1000).describe('Most connections to PostgreSQL, beside one that listens'),
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
  DRIFT_MIN_CHANGE_PCT: number(2, 0, 100, false).describe(
    'A metric that changed by less is never drift, in per cent of its baseline',
  ),
  DRIFT_MIN_CHANGE: number(0.01, 0, 1, false).describe('… unless it lies between -1 and 1 and changed by this much'),
  DRIFT_WARNING_P: number(0.05, 0.0001, 0.5, false).describe(
    'A change is worth a warning when chance alone makes one less often than this',
  ),
  DRIFT_P: number(0.02, 0.0001, 0.5, false).describe(
    '… and is drift when, adjusted for all that was looked at, it is below this',
  ),
  EVALUATION_MODEL_TAG: z.string().default('model_name').describe('Tag by which a run says which model it evaluates'),
  EVALUATION_VERSION_TAG: z
    .string()
    .default('model_version')
    .describe('Tag by which a run says which version it evaluates'),
  OBSERVATIONS_RETENTION_DAYS: number(400, 1, 36_500).describe('How long posted observations are kept'),
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
  OUTBOUND_ALLOWED_HOSTS: list('').describe(
    'Hosts, addresses and networks (10.1.0.0/16) that webhooks may reach although they are not public; http is allowed for them',
  ),
  TOWER_SECRET_KEY: z
    .string()
    .min(32, 'must have 32 characters at least')
    .optional()
    .describe(
      'Signs webhooks and the audit log; not set: the file tower.key in DATA_DIRECTORY, made at the first start (secret)',
    ),

  METRICS_RETENTION_DAYS: number(35, 1, 20_000).describe('How long every metric point is kept'),
  METRICS_HOURS_RETENTION_DAYS: number(400, 1, 20_000).describe(
    '… and what each hour held: count, sum, least, greatest, spread, quantiles',
  ),
  METRICS_DAYS_RETENTION_DAYS: number(1825, 1, 20_000).describe('… and what each day held (UTC)'),
  METRICS_MAX_SERIES: number(100_000, 1, 10_000_000).describe(
    'Most series of metrics; a point that would begin another one is refused',
  ),

  PROMETHEUS_URL: text()
    .refine(isPlainUrl, 'must be http(s)://host[:port][/prefix] without user name and password')
    .describe(
      'Prometheus, Thanos, Mimir or VictoriaMetrics that knows the cluster: what stands before /api/v1. Not set: nothing is asked',
    ),
  PROMETHEUS_USERNAME: text().describe('User name for Basic authentication'),
  PROMETHEUS_PASSWORD: text().describe('Password for Basic authentication (secret)'),
  PROMETHEUS_TOKEN: text().describe('Bearer token; used when no user name and password are set (secret)'),
  PROMETHEUS_TENANT: text().describe('Tenant of Mimir or Thanos (X-Scope-OrgID)'),
  PROMETHEUS_CA_PATH: text().describe('PEM file of the certificate authority that signed the server’s certificate'),
  PROMETHEUS_INSECURE_TLS: flag(false).describe('Accept any server certificate (for tests only)'),
  PROMETHEUS_TIMEOUT_SECONDS: number(10, 1, 600).describe('Longest wait for one answer of Prometheus'),
  PROMETHEUS_MAX_RETRIES: number(3, 0, 10).describe('How often a failed call to Prometheus is tried again'),
  PROMETHEUS_SCRAPE_SECONDS: number(30, 1, 600).describe('Time between two scrapes; rates are taken over four of them'),
  PROMETHEUS_PRESET: z
    .enum(['kube-prometheus-stack', 'plain'], 'must be kube-prometheus-stack or plain')
    .default('kube-prometheus-stack')
    .describe(
      'Whose labels container metrics have; plain: any cAdvisor and kube-state-metrics, pods found by their names',
    ),
  PROMETHEUS_MESH: z
    .enum(['none', 'istio'], 'must be none or istio')
    .default('none')
    .describe('Where request rates, errors and latencies come from'),
  PROMETHEUS_CADVISOR_SELECTOR: selector('job="cadvisor"').describe(
    'What picks out container series, such as job="cadvisor"; not set: as the preset has it',
  ),
  PROMETHEUS_KSM_SELECTOR: selector('job="ksm"').describe('The same for kube-state-metrics'),
  PROMETHEUS_SELECTOR: selector('cluster="eu1",env="prod"').describe(
    'Labels that every series must have besides, where Prometheus knows several clusters: cluster="eu1"',
  ),
  PROMETHEUS_QUERIES_FILE: text().describe('YAML or JSON file with queries of your own (docs/rightsizing.md)'),

  RIGHTSIZING_MIN_CPU_CORES: number(0.01, 0.001, 1000, false).describe(
    'Least CPU a container is recommended, in cores',
  ),
  RIGHTSIZING_MIN_MEMORY_MIB: number(32, 1, 1_000_000).describe('Least memory a container is recommended, in MiB'),
  RIGHTSIZING_MAX_CPU_CORES: number(0, 0, 10_000, false).describe(
    'Most CPU a container is recommended; 0: what the largest node has, where Prometheus knows it',
  ),
  RIGHTSIZING_MAX_MEMORY_MIB: number(0, 0, 100_000_000).describe('The same for memory, in MiB'),
  PRICE_CPU_CORE_HOUR: number(0.031611, 0, 1000, false).describe('Price of a CPU core for an hour'),
  PRICE_MEMORY_GIB_HOUR: number(0.004237, 0, 1000, false).describe('Price of a GiB of memory for an hour'),
  PRICE_CURRENCY: z.string().max(8).default('USD').describe('What those prices are in'),

  KUBERNETES_CONFIG: text().describe(
    'Cluster for experiments and for applying recommendations: in-cluster, or a kubeconfig file. Not set: nothing is asked or changed',
  ),
  KUBERNETES_CONTEXT: text().describe('Context of that file; not set: its current one'),
  KUBERNETES_TIMEOUT_SECONDS: number(10, 1, 600).describe('Longest wait for one answer of Kubernetes'),
  LOAD_TARGETS: list('')
    .refine((urls) => urls.every(isOrigin), 'must be a list of http(s)://host[:port]')
    .describe('Where load tests of experiments may be sent: http://frontend.shop; empty: nowhere'),
  JMETER_HOME: text().describe(
    'Folder of Apache JMeter 5.6 (with bin/ApacheJMeter.jar), for load that is asked of it; not set: the generator that is built in',
  ),
  JMETER_JAVA: z.string().default('/usr/bin/java').describe('Java that runs it'),
  EXPERIMENTS_DIRECTORY: text().describe(
    'Folder of load experiments, one CSV and one JSON each (docs/forecast.md); not set: experiments in DATA_DIRECTORY',
  ),
  RECOMMENDATION_BUFFER_CPU: number(1.2, 1, 10, false).describe('Recommended CPU in times of what is predicted'),
  RECOMMENDATION_BUFFER_MEMORY: number(1.15, 1, 10, false).describe('The same for memory'),
  RECOMMENDATION_BUFFER_REPLICAS: number(1, 1, 10, false).describe('The same for replicas'),
  FORECAST_WORKERS: number(0, 0, 256).describe(
    'Threads that forecast, beside one that trains; 0: one less than there are cores',
  ),
  FORECAST_TIMEOUT_SECONDS: number(60, 1, 3600).describe('Longest time for one forecast or backtest'),
  FORECAST_QUEUE: number(64, 1, 100_000).describe(
    'Forecasts that may wait for a thread; further ones are answered 503',
  ),
  FORECAST_ENGINE: z
    .enum(['auto', 'wasm', 'tfjs-node'], 'must be auto, wasm or tfjs-node')
    .default('auto')
    .describe(
      'What trains LSTMs: wasm (this program’s own; auto means it too), or tfjs-node, which is installed with npm install @tensorflow/tfjs-node and takes 24 to 30 times as long',
    ),
  FORECAST_KERNELS: z
    .enum(['simd', 'fma', 'plain'], 'must be simd, fma or plain')
    .default('simd')
    .describe(
      'LSTM kernels: simd gives the same bits on every machine, fma is a quarter faster at best and differs in the last digits between machines, plain is slow',
    ),

  ENABLE_MOCK_DATA: flag(false).describe(
    'Show the sample registry when MLflow cannot be reached at start and there is no cache',
  ),
  ENABLE_DEBUG_ENDPOINTS: flag(true).describe('false: /debug/monitored answers 404'),

  RATE_LIMIT_PER_MINUTE: number(100, 1, 10_000_000).describe('Requests per minute and client address'),
  RATE_LIMIT_METRICS_PER_MINUTE: number(1000, 1, 10_000_000).describe('The same for /metrics'),
  RATE_LIMIT_HEALTH_PER_MINUTE: number(300, 1, 10_000_000).describe('The same for /health, /healthz and /readyz'),
  TRUST_PROXY: z
    .string()
    .default('false')
    .transform((text) => text.trim().toLowerCase())
    .refine(isProxySetting, 'must be false, the number of proxies in front, or their addresses and networks')
    .transform(proxySetting)
    .describe(
      'Behind reverse proxies: how many there are, or their addresses and networks; the client address then comes from X-Forwarded-For. true = 1',
    ),
  CORS_ORIGINS: list('').describe('Origins whose pages may call the API, comma-separated; * for all; empty for none'),
  BODY_LIMIT_BYTES: number(1_048_576, 1024, 104_857_600).describe('Largest request body'),
  MAX_EVENT_LOOP_DELAY_MS: number(1000, 0, 60_000).describe(
    'Above this the tower answers 503 with Retry-After until it has caught up; 0: never',
  ),
  SHUTDOWN_TIMEOUT_SECONDS: number(10, 1, 600).describe('Longest wait for open requests at shutdown'),
});
