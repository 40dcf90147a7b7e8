import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { whenTestIsOver } from '../support/cleanup.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { discovery, kubeconfig } from './kubernetes-discovery.ts';
import { type FakeObject, isSelected, type Json, merged } from './kubernetes-objects.ts';

/**
 * A fake Kubernetes API server with the controllers that scale pods: resource versions, conflicts, watches, the scale
 * subresource, patches. kubectl can get, scale, patch and wait with it (test/peers/kubernetes.test.ts).
 */

type Event = { version: number; path: string; type: string; object: FakeObject };
/** An error instead of the answer; undefined: the normal answer. */
type Trouble = (call: { method: string; path: string }) => { status: number; message?: string } | undefined;

const route =
  /^(?<collection>\/(?:api\/v1|apis\/[^/]+\/[^/]+)\/namespaces\/[^/]+\/[^/]+)(?:\/(?<name>[^/]+))?(?:\/(?<sub>scale|status|resize))?$/;

export async function fakeKubernetes(options: { namespace?: string } = {}) {
  const { namespace = 'shop' } = options;
  const collections = new Map<string, Map<string, FakeObject>>();
  const events: Event[] = [];
  const watchers = new Set<(event: Event) => void>();
  const calls: string[] = [];
  let version = 1000;
  /** Status of new pods; tests can delay readiness. */
  let statusOf = (_pod: string): Json => readyStatus;
  let failure: Trouble = () => undefined;
  let delayMs: (() => number) | null = null;

  const at = (collection: string): Map<string, FakeObject> => {
    const there = collections.get(collection) ?? new Map<string, FakeObject>();
    collections.set(collection, there);
    return there;
  };
  const tell = (path: string, type: string, object: FakeObject) => {
    const event = { version, path, type, object: structuredClone(object) };
    events.push(event);
    for (const watcher of watchers) watcher(event);
  };
  const put = (collection: string, object: FakeObject): FakeObject => {
    version += 1;
    const before = at(collection).get(object.metadata.name);
    const kept = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    at(collection).set(kept.metadata.name, kept);
    tell(collection, before ? 'MODIFIED' : 'ADDED', kept);
    return kept;
  };
  const remove = (collection: string, name: string): void => {
    const object = at(collection).get(name);
    if (!object) return;
    version += 1;
    at(collection).delete(name);
    tell(collection, 'DELETED', { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } });
  };
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const workloads = (kind: string) => `/apis/apps/v1/namespaces/${namespace}/${kind.toLowerCase()}s`;

  let made = 0;
  /** Creates the wanted number of pods from the current template; deletes pods of older ones. */
  const reconcile = (object: FakeObject): void => {
    const spec = object.spec as { replicas: number; template: { spec: Json } };
    const app = object.metadata.name;
    const template = JSON.stringify(spec.template.spec);
    const own = () =>
      [...at(pods).values()].filter(
        ({ metadata, status }) => (metadata['labels'] as Json)['app'] === app && status?.['phase'] !== 'Failed',
      );
    // A pod resized in place still belongs to its template.
    const isOld = ({ metadata }: FakeObject) => (metadata['annotations'] as Json)['template'] !== template;
    for (const pod of own().filter(isOld)) remove(pods, pod.metadata.name);
    for (const pod of own().slice(spec.replicas)) remove(pods, pod.metadata.name);
    for (let i = own().length; i < spec.replicas; i += 1) {
      made += 1;
      const name = `${app}-${object['kind'] === 'StatefulSet' ? i : (100_000 + made).toString(36)}`;
      const metadata = { name, namespace, labels: { app }, annotations: { template }, resourceVersion: '' };
      put(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: spec.template.spec, status: statusOf(name) });
    }
    const current = at(workloads(String(object['kind']))).get(app)!;
    const { generation } = current.metadata as { generation?: number };
    current.status = {
      observedGeneration: generation ?? 1,
      replicas: spec.replicas,
      updatedReplicas: spec.replicas,
      readyReplicas: own().filter(
        (pod) => pod.status === readyStatus || JSON.stringify(pod.status) === JSON.stringify(readyStatus),
      ).length,
      availableReplicas: spec.replicas,
    };
  };
  const workload = (kind: 'Deployment' | 'StatefulSet', name: string, replicas: number, containers: Json[]) => {
    const spec = {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers } },
    };
    reconcile(
      put(workloads(kind), {
        apiVersion: 'apps/v1',
        kind,
        metadata: { name, namespace, resourceVersion: '', generation: 1 },
        spec,
      }),
    );
  };

  const scaleObject = ({ metadata, spec }: FakeObject): Json => {
    const { replicas } = spec as { replicas: number };
    return {
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: { name: metadata.name, namespace, resourceVersion: metadata.resourceVersion },
      spec: { replicas },
      status: { replicas, selector: `app=${metadata.name}` },
    };
  };

  const write = (
    method: string,
    collection: string,
    name: string | undefined,
    sub: string | undefined,
    body: Json,
    dry: boolean,
  ) => {
    if (method === 'POST') {
      const object = body as FakeObject;
      if (at(collection).has(object.metadata.name))
        return refusal(409, 'AlreadyExists', `"${object.metadata.name}" already exists`);
      return { status: 201, body: put(collection, object) };
    }
    const before = at(collection).get(name ?? '');
    if (!before) return notFound(collection, name);
    const precondition = (body['preconditions'] as Json | undefined)?.['resourceVersion'];
    if (precondition !== undefined && precondition !== before.metadata.resourceVersion)
      return refusal(409, 'Conflict', 'the object has been modified');
    if (method === 'DELETE') {
      remove(collection, before.metadata.name);
      // Replaces a deleted pod of a workload.
      const app = String((before.metadata['labels'] as Json | undefined)?.['app']);
      const owner = ['Deployment', 'StatefulSet'].map((kind) => at(workloads(kind)).get(app)).find(Boolean);
      if (collection === pods && owner) reconcile(owner);
      return { status: 200, body: { apiVersion: 'v1', kind: 'Status', status: 'Success' } };
    }
    const given = (body['metadata'] as Json | undefined)?.['resourceVersion'];
    if (given !== undefined && given !== '' && given !== before.metadata.resourceVersion)
      return refusal(409, 'Conflict', 'the object has been modified; please apply your changes to the latest version');
    const isScale = sub === 'scale';
    const changed = isScale ? { spec: { replicas: (body['spec'] as Json)['replicas'] } } : body;
    const after = (method === 'PATCH' || isScale ? merged(before, changed) : body) as FakeObject;
    if (dry) return { status: 200, body: after };
    const generation = ((before.metadata['generation'] as number | undefined) ?? 0) + 1;
    const kept = put(collection, { ...after, metadata: { ...before.metadata, ...after.metadata, generation } });
    if (/\/(deployments|statefulsets)$/.test(collection)) reconcile(kept);
    return { status: 200, body: isScale ? scaleObject(kept) : at(collection).get(kept.metadata.name)! };
  };

  const read = (collection: string, name: string | undefined, sub: string | undefined, query: URLSearchParams) => {
    if (name !== undefined) {
      const object = at(collection).get(name);
      if (!object) return notFound(collection, name);
      return { status: 200, body: sub === 'scale' ? scaleObject(object) : object };
    }
    if (
      !collections.has(collection) &&
      !/\/(pods|leases|deployments|statefulsets|horizontalpodautoscalers)$/.test(collection)
    )
      return refusal(404, 'NotFound', 'the server could not find the requested resource');
    const items = [...at(collection).values()].filter((object) => isSelected(object, query));
    const [kind, apiVersion] = [`${String(items[0]?.['kind'] ?? 'Object')}List`, items[0]?.['apiVersion'] ?? 'v1'];
    return { status: 200, body: { kind, apiVersion, metadata: { resourceVersion: String(version) }, items } };
  };

  const watch = (collection: string, query: URLSearchParams, response: ServerResponse): void => {
    const from = Number(query.get('resourceVersion') || version);
    const name = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
    const send = (event: Event) => {
      const isWanted = event.path === collection && (name === undefined || event.object.metadata.name === name);
      if (isWanted && isSelected(event.object, query))
        response.write(`${JSON.stringify({ type: event.type, object: event.object })}\n`);
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const event of events.filter((each) => each.version > from)) send(event);
    watchers.add(send);
    response.on('close', () => watchers.delete(send));
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://cluster');
    const method = request.method ?? 'GET';
    const how = ['watch', 'dryRun'].find((name) => url.searchParams.has(name));
    calls.push(`${method} ${url.pathname}${how ? `?${how}` : ''}`);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    if (delayMs) await wait(delayMs());
    const groups = route.exec(url.pathname)?.groups;
    const known = discovery(url.pathname);
    const broken = failure({ method, path: url.pathname });
    const answer = broken
      ? refusal(broken.status, 'Trouble', broken.message ?? 'trouble')
      : known
        ? { status: 200, body: known }
        : !groups
          ? refusal(404, 'NotFound', 'the server could not find the requested resource')
          : method === 'GET' && url.searchParams.has('watch')
            ? null
            : method === 'GET'
              ? read(groups['collection']!, groups['name'], groups['sub'], url.searchParams)
              : write(
                  method,
                  groups['collection']!,
                  groups['name'],
                  groups['sub'],
                  text ? (JSON.parse(text) as Json) : {},
                  url.searchParams.get('dryRun') === 'All',
                );
    if (!answer) return watch(groups!['collection']!, url.searchParams, response);
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  whenTestIsOver(close);
  const { port } = server.address() as AddressInfo;
  const file = join(temporaryDirectory(), 'kubeconfig');
  writeFileSync(file, kubeconfig(port, namespace));
  return {
    port,
    /** A kubeconfig file for this server. */
    file,
    calls,
    workload,
    add: (collection: string, object: Json) => put(collection, object as FakeObject),
    get: (collection: string, name: string) => at(collection).get(name),
    list: (collection: string) => [...at(collection).values()],
    replicasOf: (name: string, kind = 'Deployment') =>
      (at(workloads(kind)).get(name)?.spec as { replicas: number } | undefined)?.replicas,
    leases: () => [...at(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`).values()],
    dropLeases: () => at(`/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`).clear(),
    pods: () => [...at(pods).values()],
    /** Status of pods created from now on. */
    podsAre: (status: (pod: string) => Json) => (statusOf = status),
    setPod: (name: string, status: Json) => put(pods, { ...at(pods).get(name)!, status }),
    failure: (next: Trouble) => (failure = next),
    /** Delay of each call. */
    delays: (ms: () => number) => (delayMs = ms),
    endWatches: () => server.closeAllConnections(),
    close,
  };
}

export const readyStatus: Json = {
  phase: 'Running',
  conditions: [
    { type: 'PodScheduled', status: 'True' },
    { type: 'Ready', status: 'True' },
  ],
  containerStatuses: [{ name: 'server', ready: true, restartCount: 0, state: { running: {} } }],
};

const refusal = (status: number, reason: string, message: string, details: Json = {}) => ({
  status,
  body: { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason, message, details, code: status },
});

const notFound = (collection: string, name = '') => {
  const kind = collection.split('/').at(-1)!;
  return refusal(404, 'NotFound', `${kind} "${name}" not found`, { name, kind });
};
