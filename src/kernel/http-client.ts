import type { Dispatcher, request } from 'undici';
import { backoffMs } from './backoff.ts';
import type { Clock } from './clock.ts';
import { invalid, TowerError, unavailable } from './errors.ts';
import { isHeaderText } from './header-text.ts';
import { inTime } from './in-time.ts';
import type { Random } from './rng.ts';

/** Settings of the client for one server. */
export type HttpClientOptions = {
  /** `http(s)://host[:port][/prefix]`, without credentials and without a trailing slash. */
  baseUrl: string;
  /** Name of the server in errors, e.g. `MLflow`. */
  serverName: string;
  headers: Record<string, string>;
  tls: { ca?: string; cert?: string; insecure: boolean };
  /** URL of the forward proxy. */
  proxy?: string | null;
  maxInFlight: number;
  timeoutMs: number;
  /** Maximum length of an answer; a longer one is an error and is not retried. */
  maxAnswerBytes?: number;
  maxRetries: number;
  clock: Clock;
  random: Random;
  /** Called once per attempt, for metrics. `status` is 0 if there was no answer. */
  onCall?: (call: { path: string; status: number; seconds: number }) => void;
};

/** Query parameters; a list becomes a repeated key. */
export type Query = Record<string, string | number | string[] | undefined>;

/** A complete answer. `json` is undefined unless the content type is JSON and the text parses. */
export type HttpAnswer = { status: number; text: string; json: unknown };

export type HttpClient = {
  get(path: string, query?: Query, signal?: AbortSignal): Promise<HttpAnswer>;
  post(path: string, body: unknown, signal?: AbortSignal): Promise<HttpAnswer>;
  close(): Promise<void>;
};

/** The Authorization header for user and password, else for a token; no header without either. */
export function authorization(
  user: string | undefined,
  password: string | undefined,
  token: string | undefined,
): Record<string, string> {
  if (user && password) return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
  return token ? { authorization: `Bearer ${token}` } : {};
}

type Call = { method: 'GET' | 'POST'; path: string; url: string; body: string | null };

const retryableStatus = new Set([408, 429, 500, 502, 503, 504]);
const backoff = { firstMs: 250, maxMs: 30_000 };

/**
 * JSON over HTTP with limited concurrency, timeouts, and retries with back-off. Answers of any status are returned once
 * retries are used up, except 5xx and 429, which throw `unavailable`, as do broken connections; answers that are too
 * long throw `invalid`. Redirects are not followed (they would carry credentials along).
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  for (const [name, value] of Object.entries(options.headers))
    if (!isHeaderText(value)) throw invalid(`the header ${name} for ${options.serverName} cannot be sent`);
  let wire: Promise<Wire> | null = null;
  const send = async (call: Call, signal?: AbortSignal) => {
    wire ??= openWire(options);
    return withRetries(options, await wire, call, signal);
  };
  return {
    get: (path, query = {}, signal) =>
      send({ method: 'GET', path, url: `${options.baseUrl}${path}${queryText(query)}`, body: null }, signal),
    post: (path, body, signal) =>
      send({ method: 'POST', path, url: `${options.baseUrl}${path}`, body: JSON.stringify(body) }, signal),
    close: async () => (await wire)?.agent.destroy(),
  };
}

type Wire = { agent: Dispatcher; request: typeof request; turn: Turns };

/** Loaded at the first call, so that an instance with a cache serves before it is loaded. */
async function openWire(options: HttpClientOptions): Promise<Wire> {
  const undici = await import('undici');
  const limits = {
    connections: options.maxInFlight,
    headersTimeout: options.timeoutMs,
    bodyTimeout: options.timeoutMs,
    ...(options.maxAnswerBytes === undefined ? {} : { maxResponseSize: options.maxAnswerBytes }),
  };
  const connect = {
    timeout: Math.min(options.timeoutMs, 10_000),
    rejectUnauthorized: !options.tls.insecure,
    ...(options.tls.ca ? { ca: options.tls.ca } : {}),
    ...(options.tls.cert ? { cert: options.tls.cert, key: options.tls.cert } : {}),
  };
  const agent = options.proxy
    ? new undici.ProxyAgent({ ...limits, uri: options.proxy, requestTls: connect })
    : new undici.Agent({ ...limits, connect });
  return { agent, request: undici.request, turn: createTurns(options.maxInFlight) };
}

/** Waits for a turn; the result ends it. */
type Turns = (signal?: AbortSignal) => Promise<() => void>;

/** At most `count` turns at once: waiting for one must not count towards a call's timeout, as it would within undici. */
function createTurns(count: number): Turns {
  let free = count;
  const waiting = new Set<() => void>();
  const end = () => {
    const [next] = waiting;
    if (!next) free += 1;
    else {
      waiting.delete(next);
      next();
    }
  };
  return async (signal) => {
    signal?.throwIfAborted();
    if (free > 0) free -= 1;
    else {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.add(resolve);
      await (signal ? inTime(promise, signal) : promise).catch((error: unknown) => {
        // A turn that came at the same moment is passed on.
        if (!waiting.delete(resolve)) end();
        throw error;
      });
    }
    let isOver = false;
    return () => {
      if (!isOver) end();
      isOver = true;
    };
  };
}

async function withRetries(options: HttpClientOptions, wire: Wire, call: Call, signal?: AbortSignal) {
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    const outcome = await attemptCall(options, wire, call, signal);
    if ('answer' in outcome) return outcome.answer;
    if (attempt >= options.maxRetries || signal?.aborted) throw outcome.error;
    await options.clock
      .sleep(outcome.retryAfterMs ?? backoffMs(backoff, attempt + 1, options.random), signal)
      .catch(() => {
        throw outcome.error;
      });
  }
}

type Outcome = { answer: HttpAnswer } | { error: TowerError; retryAfterMs: number | null };

async function attemptCall(options: HttpClientOptions, wire: Wire, call: Call, signal?: AbortSignal): Promise<Outcome> {
  const endTurn = await wire.turn(signal).catch((error: unknown) => connectionError(options, error, signal));
  if (endTurn instanceof TowerError) return { error: endTurn, retryAfterMs: null };
  const limit = AbortSignal.timeout(options.timeoutMs);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  const started = performance.now();
  const report = (status: number) =>
    options.onCall?.({ path: call.path, status, seconds: (performance.now() - started) / 1000 });
  try {
    const { statusCode, headers, text } = await inTime(exchange(options, wire, call, both), both);
    report(statusCode);
    if (retryableStatus.has(statusCode)) {
      const error = unavailable(`${options.serverName} answered ${statusCode}`, new Error(text.slice(0, 500)));
      return { error, retryAfterMs: retryAfterMs(String(headers['retry-after'] ?? ''), options.clock) };
    }
    const isJson = String(headers['content-type'] ?? '').includes('json');
    return { answer: { status: statusCode, text, json: isJson ? parseTolerantJson(text) : undefined } };
  } catch (error) {
    if ((error as { code?: string }).code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE')
      throw invalid(`the answer of ${options.serverName} exceeds ${options.maxAnswerBytes} bytes: request less`, {
        most_bytes: options.maxAnswerBytes,
      });
    // A call that the client cancelled tells nothing about the server.
    if (!signal?.aborted) report(0);
    return { error: connectionError(options, error, signal), retryAfterMs: null };
  } finally {
    endTurn();
  }
}

async function exchange({ headers }: HttpClientOptions, wire: Wire, call: Call, signal: AbortSignal) {
  const response = await wire.request(call.url, {
    method: call.method,
    dispatcher: wire.agent,
    headers: {
      accept: 'application/json',
      ...(call.body ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    body: call.body,
    signal,
  });
  return { statusCode: response.statusCode, headers: response.headers, text: await response.body.text() };
}

function connectionError(options: HttpClientOptions, error: unknown, signal?: AbortSignal): TowerError {
  if (error instanceof TowerError) return error;
  const code = String((error as { code?: unknown }).code ?? '');
  if (signal?.aborted) return unavailable(`${options.serverName} did not finish in time`, error);
  if (code.includes('TIMEOUT') || (error as Error).name === 'TimeoutError') {
    return unavailable(`${options.serverName} did not answer within ${options.timeoutMs / 1000} s`, error);
  }
  return unavailable(`cannot reach ${options.serverName}${code ? ` (${code})` : ''}`, error);
}

/** Retry-After in seconds or as a date, capped; null if missing or malformed. */
export function retryAfterMs(header: string, clock: Clock, capMs = backoff.maxMs): number | null {
  if (header === '') return null;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - clock.now();
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), capMs);
}

/** JSON.parse that also accepts NaN and Infinity, as Python writes them; undefined if the text is not JSON. */
export function parseTolerantJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) =>
      token.startsWith('"') ? token : `"${token}"`,
    );
    try {
      return JSON.parse(quoted);
    } catch {
      return undefined;
    }
  }
}

function queryText(query: Query): string {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) parts.append(key, String(item));
  }
  const text = parts.toString();
  return text ? `?${text}` : '';
}
