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
  DATA_DIRECTORY: z.string().default('./data').describe('Folder of everything that cannot be rebuilt (tower.db)'),
  DATABASE_URL: text()
    .refine(isPostgresUrl, 'must be like postgres://user:password@host:5432/database')
    .describe(
      'PostgreSQL 15 or later in the place of the databases in DATA_DIRECTORY, for several towers that share it; TOWER_SECRET_KEY must be set then (secret)',
    ),
  DATABASE_CONNECTIONS: number(10, 2, 1000).describe('Most connections to PostgreSQL, beside one that listens'),
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
