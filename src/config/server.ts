import { isIP } from 'node:net';
import { z } from 'zod';
import { flag, list, number, text } from './kinds.ts';

const isProxySetting = (text: string): boolean =>
  /^(true|false|[0-9])$/.test(text) ||
  text.split(',').every((item) => isIP(item.trim().replace(/\/\d{1,3}$/, '')) !== 0);

/** A number counts trusted proxies from this end: entries further left in the header are under the client's control. */
const proxySetting = (text: string): false | number | string => {
  if (text === 'true') return 1;
  return /^[0-9]$/.test(text) ? Number(text) || false : text === 'false' ? false : text;
};

const isPostgresUrl = (url: string | undefined): boolean =>
  url === undefined ||
  (/^postgres(ql)?:$/.test(URL.parse(url)?.protocol ?? '') && /^\/[^/]+$/.test(new URL(url).pathname));

/** Settings of the process: HTTP, log, store, limits. */
export const serverSettings = z.object({
  API_HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  API_PORT: number(8000, 0, 65535).describe('Port to listen on; 0 for any free one'),
  API_TLS_CERT_PATH: text().describe(
    'PEM file with the server’s certificate and its chain, for HTTPS; read again when it changes. Not set: HTTP',
  ),
  API_TLS_KEY_PATH: text().describe('PEM file with the key of that certificate'),
  API_TLS_CLIENT_CA_PATH: text().describe(
    'PEM file of the certificate authority of the clients: only clients with its certificate can connect',
  ),
  LOG_LEVEL: z
    .string()
    .default('INFO')
    .transform((text) => text.toUpperCase())
    .pipe(z.enum(['DEBUG', 'INFO', 'WARNING', 'ERROR'], 'must be DEBUG, INFO, WARNING or ERROR'))
    .describe('Minimum level of log messages'),
  LOG_FORMAT: z
    .enum(['auto', 'json', 'text'], 'must be auto, json or text')
    .default('auto')
    .describe('auto: text on a terminal, JSON lines otherwise'),
  DATA_DIRECTORY: z.string().default('./data').describe('Directory of persistent data (tower.db)'),
  DATABASE_URL: text()
    .refine(isPostgresUrl, 'must be like postgres://user:password@host:5432/database')
    .describe(
      'PostgreSQL 15 or later instead of the databases in DATA_DIRECTORY, for several instances; requires TOWER_SECRET_KEY (secret)',
    ),
  DATABASE_CONNECTIONS: number(10, 2, 1000).describe(
    'Maximum number of connections to PostgreSQL, besides one for notifications',
  ),
  OUTBOUND_ALLOWED_HOSTS: list('').describe(
    'Private hosts, addresses and networks (10.1.0.0/16) that webhooks may call; http is allowed for them',
  ),
  TOWER_SECRET_KEY: z
    .string()
    .min(32, 'must have at least 32 characters')
    .optional()
    .describe(
      'Signs webhooks and the audit log; not set: the file tower.key in DATA_DIRECTORY, created at the first start (secret)',
    ),
  ENABLE_DEBUG_ENDPOINTS: flag(true).describe('false: /debug/monitored returns 404'),
  RATE_LIMIT_PER_MINUTE: number(100, 1, 10_000_000).describe(
    'Maximum requests per minute of a client: its identity, or its address without authentication (IPv6: /64 network)',
  ),
  RATE_LIMIT_METRICS_PER_MINUTE: number(1000, 1, 10_000_000).describe(
    'Maximum requests per minute and client to /metrics, /api/v1/metrics and PromQL',
  ),
  RATE_LIMIT_HEALTH_PER_MINUTE: number(300, 1, 10_000_000).describe(
    'Maximum requests per minute and client to /health, /healthz and /readyz',
  ),
  RATE_LIMIT_RECORD_PER_MINUTE: number(1000, 1, 10_000_000).describe(
    'Maximum requests per minute and client that record points or observations',
  ),
  RATE_LIMIT_POINTS_PER_MINUTE: number(1_000_000, 1, 1_000_000_000).describe(
    'Maximum metric points per minute and client',
  ),
  RATE_LIMIT_STATIC_PER_MINUTE: number(1000, 1, 10_000_000).describe(
    'Maximum requests per minute and client to files of the documentation pages',
  ),
  TRUST_PROXY: z
    .string()
    .default('false')
    .transform((text) => text.trim().toLowerCase())
    .refine(isProxySetting, 'must be false, the number of proxies in front, or their addresses and networks')
    .transform(proxySetting)
    .describe(
      'Number of reverse proxies in front, or their addresses and networks; the client address then comes from X-Forwarded-For. true = 1',
    ),
  ALLOWED_HOSTS: list('').describe(
    'Host names that requests may name besides loopback and API_HOST, while authentication is off (protects against DNS rebinding)',
  ),
  CORS_ORIGINS: list('').describe('Allowed CORS origins, comma-separated; * for all; empty for none'),
  BODY_LIMIT_BYTES: number(1_048_576, 1024, 104_857_600).describe('Maximum size of a request body'),
  MAX_EVENT_LOOP_DELAY_MS: number(1000, 0, 60_000).describe(
    'Event loop delay above which the server answers 503 with Retry-After; 0: never',
  ),
  SHUTDOWN_TIMEOUT_SECONDS: number(10, 1, 600).describe('Maximum wait for open requests at shutdown'),
});
