import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { simulatedQueries, simulatedShop } from '../fakes/simulated-shop.ts';
import { temporaryDirectory } from './tower.ts';
import { towerCommand } from './tower-process.ts';

/** Experiments as a user makes them: an instance in a directory, a command, files. */

const think = 0.1;
const config = (users: number[]) => ({
  training: {
    steady_state_config: {
      experiment_duration_minutes: 0.05,
      replica_counts: [1, 3],
      load_levels_users: users,
      test_scenarios: ['visit'],
    },
  },
  jmeter_thread_ramp_up: 0,
  jmeter_thread_ramp_down: 0,
  jmeter_think_time: think,
  metrics_collection_interval: 1,
  scale_to_zero: ['loadgenerator'],
  custom_scenarios: {
    visit: { rounds: [{ name: 'visit', steps: [{ name: 'home', path: '/', expect_text: 'welcome' }] }] },
  },
});

export const replicasThere = { web: 2, cart: 1, loadgenerator: 1 };

/** A directory for an instance, with a shop for experiments. */
export async function experimentDirectory(
  cluster: { file: string; replicasOf(service: string): number | undefined },
  { users = [2, 8], change = {} }: { users?: number[]; change?: object } = {},
) {
  const { prometheus, target } = await simulatedShop(
    cluster,
    users.map((each) => each / think),
  );
  const cwd = temporaryDirectory();
  writeFileSync(join(cwd, 'experiments.yaml'), JSON.stringify({ ...config(users), ...change }));
  writeFileSync(
    join(cwd, 'queries.json'),
    simulatedQueries([
      'cpu_cores',
      'mem_bytes',
      'net_rx_bytes',
      'net_tx_bytes',
      'pod_restarts',
      'replica_count',
      'node_cpu_util',
      'node_mem_util',
      'request_rate',
    ]),
  );
  const env = {
    KUBERNETES_CONFIG: cluster.file,
    KUBERNETES_NAMESPACES: 'shop',
    LOAD_TARGETS: target,
    PROMETHEUS_URL: prometheus,
    PROMETHEUS_SCRAPE_SECONDS: '1',
    PROMETHEUS_QUERIES_FILE: join(cwd, 'queries.json'),
    LOG_LEVEL: 'WARNING',
    RATE_LIMIT_PER_MINUTE: '100000',
  };
  const directory = join(cwd, 'data', 'experiments');
  const data = () =>
    Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
  return { cwd, env, data };
}

export const begin = (cwd: string, url: string, services = 'web,cart') =>
  towerCommand(
    [
      '--url',
      url,
      '--json',
      'train',
      'parallel-experiments',
      '--services',
      services,
      '--namespace',
      'shop',
      '--config-file',
      'experiments.yaml',
    ],
    { cwd },
  );

type Job = { id: string; status: string; result: Record<string, unknown> | null; attempts: number };
export const jobOf = async (url: string): Promise<Job> => {
  const response = await fetch(`${url}/api/v1/acquisition/experiments/jobs`);
  return ((await response.json()) as Job[])[0]!;
};

/** Exact values, except those that depend on timing. */
export function comparable(files: Record<string, string>) {
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => {
      if (name.endsWith('.csv')) return [name, text];
      const {
        load_test,
        job: _,
        target: __,
        collection_start: ___,
        collection_end: ____,
        ...rest
      } = JSON.parse(text) as Record<string, unknown>;
      const { successful_requests, failed_requests, rounds } = load_test as Record<string, number>;
      expect(successful_requests).toBeGreaterThan(50);
      const quality = rest['data_quality'] as { checks: Record<string, object> };
      const { load_duration: _____, ...checks } = quality.checks;
      return [name, { ...rest, failed_requests, rounds, data_quality: { ...quality, checks } }];
    }),
  );
}
