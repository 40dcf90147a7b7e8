import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { normal, seededRandom } from '#kernel/rng.ts';
import { stateNames } from '#services/acquisition/prometheus/state-queries.ts';
import { whenTestIsOver } from '../support/cleanup.ts';

/**
 * A shop under load and its Prometheus. Usage is a function of load and replicas, with noise that is the same for the
 * same experiment: cores = 0.02 per replica + 0.004 per request per second, bytes = 60 MB per replica + 200 kB per
 * request per second per replica.
 * @param levels - possible requests per second; the nearest one is used
 */
export async function simulatedShop(cluster: { replicasOf(service: string): number | undefined }, levels: number[]) {
  const requests: number[] = [];
  const listen = async (handle: (path: URL, form: URLSearchParams) => object | null) => {
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk));
      request.on('end', () => {
        const answer = handle(new URL(request.url ?? '/', 'http://x'), new URLSearchParams(text));
        response.writeHead(200, { 'content-type': answer ? 'application/json' : 'text/html' });
        response.end(answer ? JSON.stringify(answer) : 'welcome');
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    whenTestIsOver(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const valueAt = (column: string, service: string, load: number): number => {
    const replicas = cluster.replicasOf(service) ?? 0;
    // Deterministic by step, so that one query and two partial queries return the same.
    const noise = normal(seededRandom(100 * replicas + load + (service === 'web' ? 0 : 7)));
    if (column === 'cpu_cores') return (0.02 * replicas + 0.004 * load) * (1 + 0.01 * noise);
    if (column === 'mem_bytes') return (60e6 * replicas + 200e3 * load) * (1 + 0.001 * noise);
    if (column === 'replica_count') return replicas;
    if (column === 'request_rate') return load;
    if (column === 'pod_restarts') return 0;
    // Low usage before, in production.
    if (column === 'pod_cpu') return 0.03 * (1 + 0.1 * noise);
    if (column === 'pod_mem') return 61e6;
    return 10 + noise;
  };
  const prometheus = await listen(({ searchParams }) => {
    const ask = (name: string) => searchParams.get(name) ?? '';
    const [, column = '', service = ''] = /^sim_(\w+)\{svc="([^"]+)"\}$/.exec(ask('query')) ?? [];
    const [start, end, step] = [Number(ask('start')), Number(ask('end')), Number(ask('step'))];
    // Load of the last two seconds: queried after the load has ended.
    const last = requests.at(-1) ?? 0;
    const rate = requests.filter((at) => at > last - 2000).length / 2;
    const load = levels.toSorted((a, b) => Math.abs(a - rate) - Math.abs(b - rate))[0]!;
    const values = Array.from({ length: Math.round((end - start) / step) + 1 }, (_, i) => [
      start + i * step,
      String(valueAt(column, service, load)),
    ]);
    const metric =
      column.startsWith('pod_') && column !== 'pod_restarts' ? { pod: `${service}-0`, container: 'server' } : {};
    return { status: 'success', data: { resultType: 'matrix', result: [{ metric, values }] } };
  });
  const target = await listen(() => {
    requests.push(Date.now());
    return null;
  });
  return { prometheus, target };
}

/** A PROMETHEUS_QUERIES_FILE for it. */
export const simulatedQueries = (columns: readonly string[]): string =>
  JSON.stringify({
    columns: Object.fromEntries(columns.map((name) => [name, { unit: '1', query: `sim_${name}{svc="$svc"}` }])),
    pods: { cpu: 'sim_pod_cpu{svc="$svc"}', memory: 'sim_pod_mem{svc="$svc"}' },
    state: Object.fromEntries(
      stateNames.map((name) => [name, name === 'replicas' ? 'sim_replica_count{svc="$svc"}' : 'none']),
    ),
  });
