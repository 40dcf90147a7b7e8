import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request as requestHttp } from 'node:http';
import { type RequestOptions, request as requestHttps } from 'node:https';
import { createInterface } from 'node:readline';
import type { KubeConfig } from '@kubernetes/client-node';
import { backoffMs } from '#kernel/backoff.ts';
import type { Clock } from '#kernel/clock.ts';
import { conflict, forbidden, invalid, misconfigured, notFound, TowerError, unavailable } from '#kernel/errors.ts';
import { inTime } from '#kernel/in-time.ts';
import { type Proxies, proxyFor } from '#kernel/proxies.ts';
import type { Random } from '#kernel/rng.ts';

/**
 * Client of a Kubernetes API server. The library loads the configuration and authenticates: kubeconfig, exec plugins,
 * rotating tokens, certificates. Requests are made here with its agent, since the library's own calls support neither
 * signals nor timeouts (docs/adr/0016).
 */
export type KubernetesClient = {
  /** @throws TowerError `forbidden` unless this service may change the namespace */
  requireWritable(namespace: string): Promise<void>;
  /**
   * @throws TowerError `invalid`, `not_found`, `conflict`, `unavailable`, depending on the API server's status; `forbidden`
   *   for a change in a namespace that is not allowed
   */
  call<Result>(call: Call, signal?: AbortSignal): Promise<Result>;
  /** Streams changes until the server ends the watch or the signal aborts. @throws TowerError as `call` */
  watch<Item>(path: string, query: Record<string, string>, signal: AbortSignal): AsyncGenerator<Change<Item>>;
};
export type Call = {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string>;
  body?: unknown;
  /** Whether the call undoes a change of this service, which is allowed in any namespace. */
  isRestore?: true;
  /** Content type of a patch. */
  type?: 'application/strategic-merge-patch+json' | 'application/merge-patch+json';
};

export type Change<Item> = { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'; object: Item };

export type ClientOptions = {
  /** `in-cluster`, or the path of a kubeconfig file. */
  config: string;
  /** Context of the kubeconfig; the current one by default. */
  context: string | undefined;
  timeoutMs: number;
  /** Namespaces in which this service may change anything, besides its own if it runs in the cluster. */
  namespaces: readonly string[];
  /** Used unless the kubeconfig names a proxy. */
  proxies?: Proxies;
  clock: Clock;
  random?: Random;
};

const maxAttempts = 4;
const worthAnotherTry = new Set([429, 500, 502, 503, 504]);

export function createKubernetesClient(options: ClientOptions): KubernetesClient {
  const { random = Math.random } = options;
  let loading: Promise<KubeConfig> | null = null;
  const configured = async (): Promise<KubeConfig> => {
    loading ??= loadConfig(options);
    return loading.catch((error: unknown) => {
      loading = null;
      throw error;
    });
  };
  const target = async (call: Call): Promise<{ url: URL; options: RequestOptions }> => {
    const config = await configured();
    const access: RequestOptions = {};
    await config.applyToHTTPSOptions(access).catch((error: unknown) => {
      const why = error instanceof Error && error.message.startsWith('HTTP protocol') ? `: ${error.message}` : '';
      throw unavailable(`cannot get the credentials for Kubernetes${why}`, error);
    });
    const url = new URL(`${config.getCurrentCluster()!.server.replace(/\/+$/, '')}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    return { url, options: access };
  };
  const open = async (call: Call, signal: AbortSignal): Promise<IncomingMessage> => {
    // Credential plugins have no timeout of their own.
    const { url, options: access } = await inTime(target(call), signal);
    return exchange(url, access, call, signal);
  };
  return {
    requireWritable: (namespace) => requireWritable(options, namespace),
    call: async <Result>(call: Call, signal?: AbortSignal): Promise<Result> => {
      const namespace = /\/namespaces\/([^/]+)/.exec(call.path)?.[1];
      const isChange = call.method !== 'GET' && call.query?.['dryRun'] !== 'All' && call.isRestore !== true;
      if (isChange && namespace !== undefined) await requireWritable(options, decodeURIComponent(namespace));
      // Loading the library must not count towards the request timeout.
      await configured();
      for (let attempt = 1; ; attempt += 1) {
        const limit = AbortSignal.timeout(options.timeoutMs);
        try {
          const both = signal ? AbortSignal.any([signal, limit]) : limit;
          const response = await inTime(open(call, both), both);
          const text = await inTime(textOf(response), both);
          const status = response.statusCode ?? 0;
          if (status < 300) return objectOf(text) as Result;
          const again = status === 429 || (isRepeatable(call) && worthAnotherTry.has(status));
          if (!again || attempt >= maxAttempts) throw errorOf(status, text);
          await pause(options.clock, waitOf(response, attempt, random), signal);
        } catch (error) {
          signal?.throwIfAborted();
          if (error instanceof TowerError) throw error;
          if (limit.aborted) throw unavailable(`Kubernetes did not answer within ${options.timeoutMs / 1000} s`, error);
          if (attempt >= maxAttempts || !isRepeatable(call))
            throw unavailable(`cannot reach Kubernetes${codeOf(error)}`, error);
          await pause(options.clock, backoffMs(backoff, attempt, random), signal);
        }
      }
    },
    watch: (path, query, signal) => watchThrough(open, path, query, signal),
  };
}

async function requireWritable({ namespaces, config }: ClientOptions, namespace: string): Promise<void> {
  if (namespaces.includes(namespace)) return;
  if (config === 'in-cluster' && namespace === (await ownNamespace())) return;
  throw forbidden(`KUBERNETES_NAMESPACES does not include ${namespace}: nothing is changed there`, {
    parameter: 'KUBERNETES_NAMESPACES',
    namespace,
  });
}

/** Namespace of the pod that this process runs in; null outside of a cluster. */
const ownNamespace = (): Promise<string | null> =>
  readFile('/var/run/secrets/kubernetes.io/serviceaccount/namespace', 'utf8').catch(() => null);

async function* watchThrough<Item>(
  open: (call: Call, signal: AbortSignal) => Promise<IncomingMessage>,
  path: string,
  query: Record<string, string>,
  signal: AbortSignal,
): AsyncGenerator<Change<Item>> {
  const call: Call = { method: 'GET', path, query: { ...query, watch: 'true', allowWatchBookmarks: 'true' } };
  try {
    const response = await open(call, signal);
    const status = response.statusCode ?? 0;
    // An expired resource version ends the watch.
    if (status === 410) {
      response.destroy();
      return;
    }
    if (status >= 300) throw errorOf(status, await textOf(response));
    // Errors after the end of the watch are ignored.
    response.on('error', () => undefined);
    try {
      for await (const line of createInterface({ input: response }))
        if (line !== '') yield JSON.parse(line) as Change<Item>;
    } finally {
      response.destroy();
    }
  } catch (error) {
    signal.throwIfAborted();
    // Watches may end at any time; the caller lists again.
    if (error instanceof TowerError) throw error;
  }
}

/** @throws TowerError `invalid` for a malformed file or an unknown context */
async function loadConfig({ config, context, proxies }: ClientOptions): Promise<KubeConfig> {
  // The library takes a second and 90 MB to load, so it is loaded at the first call.
  const { KubeConfig: Config } = await import('@kubernetes/client-node');
  const kube = new Config();
  const refuse = (parameter: string, text: string, cause?: unknown) =>
    new TowerError('invalid', `${parameter} ${text}`, { details: { parameter }, cause });
  try {
    if (config === 'in-cluster') kube.loadFromCluster();
    else kube.loadFromFile(config);
  } catch (error) {
    throw refuse('KUBERNETES_CONFIG', 'is not a valid kubeconfig file', error);
  }
  if (context !== undefined) {
    const names = kube.getContexts().map(({ name }) => name);
    if (!names.includes(context))
      throw refuse('KUBERNETES_CONTEXT', `is not in the file; available: ${names.join(', ') || 'none'}`);
    kube.setCurrentContext(context);
  }
  if (!URL.canParse(kube.getCurrentCluster()?.server ?? ''))
    throw refuse(
      'KUBERNETES_CONFIG',
      config === 'in-cluster'
        ? 'is in-cluster, but this process does not run in a cluster'
        : 'names no cluster with a server',
    );
  const cluster = kube.getCurrentCluster() as { server: string; proxyUrl?: string };
  const proxy = proxies ? proxyFor(proxies, cluster.server) : null;
  if (proxy !== null) cluster.proxyUrl ??= proxy;
  return kube;
}

function exchange(url: URL, access: RequestOptions, call: Call, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const body = call.body === undefined ? null : JSON.stringify(call.body);
  const send = url.protocol === 'http:' ? requestHttp : requestHttps;
  const headers = {
    ...(access.headers as Record<string, string> | undefined),
    accept: 'application/json',
    'user-agent': 'control-tower',
    // Node sends no Content-Length for DELETE by itself.
    ...(body === null
      ? {}
      : { 'content-type': call.type ?? 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
  };
  const request = send(url, { ...access, method: call.method, headers, signal }, resolve);
  request.on('error', reject);
  request.end(body ?? undefined);
  return promise;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const backoff = { firstMs: 1_000, maxMs: 30_000 };

/** Retry-After, or exponential backoff. */
function waitOf(response: IncomingMessage, attempt: number, random: Random): number {
  const retryAfter = Number(response.headers['retry-after']);
  return retryAfter > 0 ? Math.min(retryAfter * 1000, 30_000) : backoffMs(backoff, attempt, random);
}

/** @throws the signal's reason */
async function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined);
  signal?.throwIfAborted();
}

/** Requests with a resource version and deletions are idempotent. A request refused with 429 was not processed. */
const isRepeatable = ({ method, body }: Call): boolean =>
  method === 'GET' ||
  method === 'PUT' ||
  method === 'DELETE' ||
  (method === 'PATCH' && (body as { metadata?: { resourceVersion?: string } }).metadata?.resourceVersion !== undefined);

const codeOf = (error: unknown): string => {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? ` (${code})` : '';
};

/** @throws TowerError `unavailable` for an answer that is no Kubernetes object: a proxy may have sent it */
function objectOf(text: string): object {
  try {
    const json: unknown = JSON.parse(text);
    const { kind, items } = Object(json) as { kind?: unknown; items?: unknown };
    const isList = typeof kind === 'string' && kind.endsWith('List');
    if (typeof json === 'object' && json !== null && !Array.isArray(json) && (!isList || Array.isArray(items)))
      return json;
  } catch {
    // Reported below.
  }
  throw unavailable('Kubernetes answered with something else than an object; is a proxy in front of it?');
}

/** Messages of the API server name objects and permissions, never secrets. */
function errorOf(status: number, text: string): TowerError {
  let retryAfter = '';
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    retryAfter = typeof message === 'string' ? message : '';
  } catch {
    // The body may be a proxy's HTML page.
  }
  if (status === 404) return notFound(`Kubernetes: ${retryAfter || 'not found'}`);
  if (status === 409) return conflict(`Kubernetes: ${retryAfter || 'it was changed concurrently'}`);
  if (status === 400 || status === 422) return invalid(`Kubernetes: ${retryAfter || 'invalid request'}`);
  if (status === 401) return misconfigured('Kubernetes refused the credentials; check KUBERNETES_CONFIG');
  // Quotas and webhooks refuse with 403 too, as missing permissions do.
  if (status === 403 && retryAfter !== '' && !/ cannot \w+ resource /.test(retryAfter))
    return invalid(`Kubernetes: ${retryAfter}`, { refused_by: 'admission' });
  if (status === 403)
    return misconfigured(
      `Kubernetes denied permission: ${retryAfter}; deploy/kubernetes/ has Roles with the required permissions`,
    );
  return unavailable(`Kubernetes answered ${status}${retryAfter && `: ${retryAfter}`}`);
}
