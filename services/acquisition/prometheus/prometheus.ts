import { LRUCache } from 'lru-cache';
import type { Clock } from '#kernel/clock.ts';
import { invalid, misconfigured, publicText, type TowerError } from '#kernel/errors.ts';
import type { HttpAnswer, HttpClient } from '#kernel/http-client.ts';

/** Client of Prometheus’ HTTP API, also of Thanos, Mimir and VictoriaMetrics. */
export type Prometheus = ReturnType<typeof createPrometheus>;

/** One series on a grid: `values[i]` at `startMs + i * stepMs`, NaN without a finite sample. */
export type GridSeries = { labels: Record<string, string>; values: Float64Array };
export type Grid = { startMs: number; stepMs: number; size: number; series: GridSeries[]; warnings: string[] };

export type Connection = {
  reachable: boolean;
  version: string | null;
  latency_ms: number | null;
  error: string | null;
};

/**
 * Steps per request. Prometheus allows 11,000; this many of some hundred series are parsed without blocking the event
 * loop.
 */
const partSteps = 1_000;
/** Age after which data no longer changes: interrupted senders have caught up. */
const settledMs = 60 * 60_000;
/** Maximum cached points of earlier answers: 16 MB. */
const maxCached = 2_000_000;
/** Maximum series in one answer, and maximum values in all of them: 80 MB. */
const maxSeries = 5_000;
const maxValues = 10_000_000;

type Part = { series: GridSeries[]; warnings: string[] };
type Ask = { query: string; fromMs: number; toMs: number; stepMs: number };

export function createPrometheus({ http, clock }: { http: HttpClient; clock: Clock }) {
  const cache = createPartCache(clock.now);
  const askPart = async (ask: Ask, signal?: AbortSignal): Promise<Part> => {
    const { fromMs, toMs, stepMs, query } = ask;
    const key = `${stepMs} ${fromMs} ${toMs} ${query}`;
    const known = cache.get(key);
    if (known) return known;
    const range = { query, start: String(fromMs / 1000), end: String(toMs / 1000), step: String(stepMs / 1000) };
    const part = partOf(dataOf(await http.get('/api/v1/query_range', range, signal), query), ask);
    // An answer with warnings is incomplete: part of the store is unavailable.
    // An answer without series may be backfilled later.
    const isWhole = part.warnings.length === 0 && part.series.length > 0;
    if (toMs < clock.now() - settledMs && isWhole) cache.set(key, part);
    return part;
  };
  return {
    /** Checks whether the server answers, and which server it is. Never throws. */
    testConnection: async (signal?: AbortSignal): Promise<Connection> => {
      const begun = performance.now();
      try {
        dataOf(await http.get('/api/v1/query', { query: 'vector(1)' }, signal), 'vector(1)');
        const latency_ms = Math.round(performance.now() - begun);
        return { reachable: true, version: await versionOf(http, signal), latency_ms, error: null };
      } catch (error) {
        return { reachable: false, version: null, latency_ms: null, error: publicText(error) };
      }
    },
    /**
     * Values at one time, NaN if not finite.
     * @param onWarning - receives warnings about incomplete answers
     * @throws TowerError `invalid` for a refused query, `unavailable` without an answer
     */
    instant: async (query: string, atMs: number, signal?: AbortSignal, onWarning?: (warning: string) => void) => {
      const data = dataOf(await http.get('/api/v1/query', { query, time: String(atMs / 1000) }, signal), query);
      for (const warning of data.warnings) onWarning?.(warning);
      return data.result.map(({ metric = {}, value }) => ({ labels: metric, value: numberOf(value?.[1]) }));
    },
    /**
     * Values at whole multiples of the step from `startMs` to `endMs`, on one grid.
     * @throws TowerError `invalid` for a refused query or too large an answer, `unavailable` without an answer
     */
    range: (query: string, startMs: number, endMs: number, stepMs: number, signal?: AbortSignal): Promise<Grid> =>
      gridOf({ query, fromMs: startMs, toMs: endMs, stepMs }, async (ask) => askPart(ask, signal)),
    close: () => http.close(),
  };
}

async function gridOf(ask: Ask, askPart: (ask: Ask) => Promise<Part>): Promise<Grid> {
  const { query, fromMs, toMs, stepMs } = ask;
  const startMs = Math.ceil(fromMs / stepMs) * stepMs;
  const size = Math.max(0, Math.floor((toMs - startMs) / stepMs) + 1);
  const all = new Map<string, GridSeries>();
  const warnings = new Set<string>();
  if (size === 0) return { startMs, stepMs, size, series: [], warnings: [] };
  for await (const { atMs, part } of partsOf(ask, askPart)) {
    for (const warning of part.warnings) warnings.add(warning);
    for (const { labels, values } of part.series) {
      const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
      if (!all.has(key)) refuseMore(all.size + 1, size, query);
      const whole = all.get(key) ?? { labels, values: new Float64Array(size).fill(Number.NaN) };
      all.set(key, whole);
      place(whole.values, values, Math.round((atMs - startMs) / stepMs));
    }
  }
  return { startMs, stepMs, size, series: [...all.values()], warnings: [...warnings] };
}

function refuseMore(series: number, size: number, query: string): void {
  if (series > maxSeries || series * size > maxValues)
    throw invalid(
      `the query returns ${series} series with at least ${size} steps; the maximum is ${maxSeries} series and ${maxValues} values: narrow it, or use a longer step or less history`,
      { parameter: 'query', query, most_values: maxValues },
    );
}

/** Parts extend beyond the range: values outside the grid are dropped. */
function place(into: Float64Array, values: Float64Array, at: number): void {
  const from = Math.max(0, -at);
  const to = Math.min(values.length, into.length - at);
  if (to > from) into.set(values.subarray(from, to), at + from);
}

/** Parts lie on a fixed grid of their own; the last one ends with the range. */
async function* partsOf(ask: Ask, askPart: (ask: Ask) => Promise<Part>): AsyncGenerator<{ atMs: number; part: Part }> {
  const { fromMs, toMs, stepMs } = ask;
  const span = partSteps * stepMs;
  const first = Math.ceil(fromMs / stepMs) * stepMs;
  for (let at = Math.floor(first / span) * span; at <= toMs; at += span) {
    const whole = at + span - stepMs <= toMs;
    // Complete parts are fetched whole, so that they can be cached; of others only the needed steps.
    const wanted = { ...ask, fromMs: whole ? at : Math.max(at, first), toMs: whole ? at + span - stepMs : toMs };
    yield { atMs: wanted.fromMs, part: await askPart(wanted) };
  }
}

type Result = { metric?: Record<string, string>; value?: [number, string]; values?: [number, string][] };
type Data = { resultType: string; result: Result[]; warnings: string[] };

/** @throws TowerError `invalid` if the query is at fault, `unavailable` for a malformed answer */
function dataOf({ status, json }: HttpAnswer, query: string): Data {
  const body = json as
    | { status?: string; error?: string; errorType?: string; data?: Omit<Data, 'warnings'>; warnings?: string[] }
    | undefined;
  if (
    status === 200 &&
    body?.status === 'success' &&
    Array.isArray(body.data?.result) &&
    body.data.result.every(isSeries)
  )
    return { ...body.data, warnings: body.warnings ?? [] };
  throw refusalOf(status, body, query);
}

/** Scalars (`[time, text]`) are not used here. */
function isSeries(each: unknown): boolean {
  if (typeof each !== 'object' || each === null || Array.isArray(each)) return false;
  const { metric = {}, value, values = [] } = each as { metric?: unknown; value?: unknown; values?: unknown };
  return (
    typeof metric === 'object' &&
    metric !== null &&
    Object.values(metric).every((label) => typeof label === 'string') &&
    (value === undefined || isSample(value)) &&
    Array.isArray(values) &&
    values.every(isSample)
  );
}

const isSample = (value: unknown): boolean =>
  Array.isArray(value) && Number.isFinite(value[0]) && typeof value[1] === 'string';

function refusalOf(status: number, body: { error?: unknown } | undefined, query: string): TowerError {
  if (status === 401 || status === 403)
    return misconfigured(
      `Prometheus answered ${status}: check PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD, or PROMETHEUS_TOKEN`,
    );
  if (status === 404)
    return misconfigured('Prometheus answered 404: PROMETHEUS_URL must be the base URL, without /api/v1');
  if (status >= 300 && status < 400)
    return misconfigured(`Prometheus answered ${status}, a redirect: set PROMETHEUS_URL to its target`);
  if (typeof body?.error === 'string')
    return invalid(`Prometheus refused the query: ${body.error.slice(0, 500)}`, { parameter: 'query', query });
  return misconfigured(`PROMETHEUS_URL does not answer like Prometheus (status ${status})`);
}

function partOf({ result, warnings }: Data, { fromMs, toMs, stepMs, query }: Ask): Part {
  if (result.length > maxSeries)
    throw invalid(`the query returns ${result.length} series; the maximum is ${maxSeries}: narrow it`, {
      parameter: 'query',
      query,
    });
  const size = Math.floor((toMs - fromMs) / stepMs) + 1;
  const series = result.map(({ metric = {}, values = [] }) => {
    const grid = new Float64Array(size).fill(Number.NaN);
    for (const [at, text] of values) {
      const i = Math.round((at * 1000 - fromMs) / stepMs);
      if (i >= 0 && i < size) grid[i] = numberOf(text);
    }
    return { labels: metric, values: grid };
  });
  return { series, warnings };
}

/** NaN and infinities are treated as missing. */
const numberOf = (text: string | undefined): number => {
  const value = Number(text ?? Number.NaN);
  return Number.isFinite(value) ? value : Number.NaN;
};

/** VictoriaMetrics and Mimir report build information differently or not at all. */
async function versionOf(http: HttpClient, signal?: AbortSignal): Promise<string | null> {
  const answer = await http.get('/api/v1/status/buildinfo', {}, signal).catch(() => null);
  const { data } = (answer?.json ?? {}) as { data?: { version?: string } };
  return data?.version || null;
}

/** Cache of complete parts: least recently used out, each for at most an hour, so that backfilled data appears. */
const createPartCache = (now: () => number) =>
  new LRUCache<string, Part>({
    maxSize: maxCached,
    // Size in points: eight characters of text count as one point; a series without values still has labels.
    sizeCalculation: ({ series }, key) =>
      series.reduce((total, { values }) => total + values.length + 40, Math.ceil(key.length / 8)),
    ttl: settledMs,
    perf: { now },
    ttlResolution: 0,
  });
