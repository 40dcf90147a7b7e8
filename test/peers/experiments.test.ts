import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/kernel/rng.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { simulatedQueries, simulatedShop } from '../fakes/simulated-shop.ts';
import { temporaryFolder } from '../support/tower.ts';
import { servingTower, towerCommand } from '../support/tower-process.ts';

/** Experiments as a user makes them, with a tower that is killed while they are under way. */

const think = 0.1;
const users = [2, 8];
const config = {
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
};

async function world() {
  const cluster = await fakeKubernetes();
  for (const [name, replicas] of Object.entries({ web: 2, cart: 1, loadgenerator: 1 }))
    cluster.workload('Deployment', name, replicas, [{ name: 'server' }]);
  const { prometheus, target } = await simulatedShop(
    cluster,
    users.map((each) => each / think),
  );
  const cwd = temporaryFolder();
  writeFileSync(join(cwd, 'experiments.yaml'), JSON.stringify(config));
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
    LOAD_TARGETS: target,
    PROMETHEUS_URL: prometheus,
    PROMETHEUS_SCRAPE_SECONDS: '1',
    PROMETHEUS_QUERIES_FILE: join(cwd, 'queries.json'),
    LOG_LEVEL: 'WARNING',
    RATE_LIMIT_PER_MINUTE: '100000',
  };
  const folder = join(cwd, 'data', 'experiments');
  const data = () =>
    Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  return { cluster, cwd, env, data };
}

const begin = (cwd: string, url: string) =>
  towerCommand(
    [
      '--url',
      url,
      '--json',
      'train',
      'parallel-experiments',
      '--services',
      'web,cart',
      '--namespace',
      'shop',
      '--config-file',
      'experiments.yaml',
    ],
    { cwd },
  );

type Job = { id: string; status: string; result: Record<string, unknown> | null; attempts: number };
const jobOf = async (url: string): Promise<Job> => {
  const response = await fetch(`${url}/api/v1/acquisition/experiments/jobs`);
  return ((await response.json()) as Job[])[0]!;
};

/** Values to the last digit; of the load what does not hang on the moment. */
function comparable(files: Record<string, string>) {
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
      const { successful_requests, failed_requests, users: visits } = load_test as Record<string, number>;
      expect(successful_requests).toBeGreaterThan(50);
      const checks = (rest['data_quality'] as { checks: { name: string; detail: string }[] }).checks;
      return [
        name,
        { ...rest, failed_requests, visits, data_quality: checks.filter((check) => check.name !== 'load_duration') },
      ];
    }),
  );
}

let whole: ReturnType<typeof comparable>;

describe('experiments over a cluster', () => {
  it('are made from the command line, and leave the cluster as it was', async () => {
    const { cluster, cwd, env, data } = await world();
    const { url } = await servingTower(cwd, env);
    const command = begin(cwd, url);
    const code = await new Promise((resolve) => {
      command.child.once('exit', resolve);
    });
    expect([code, JSON.parse(command.output())]).toMatchObject([
      0,
      {
        status: 'completed',
        total_experiments: 8,
        successful_experiments: 8,
        failed_experiments: 0,
        skipped_experiments: 0,
        data_quality: { high_quality: 0, medium_quality: 8, low_quality: 0 },
      },
    ]);
    whole = comparable(data());
    expect(Object.keys(whole)).toHaveLength(16);
    expect(['web', 'cart', 'loadgenerator'].map((name) => cluster.replicasOf(name))).toEqual([2, 1, 1]);
    expect(cluster.leases()).toEqual([]);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('mora_experiments_total{outcome="succeeded"} 8');
    expect(metrics).toContain('mora_active_experiments 0');
    const status = towerCommand(['--url', url, '--json', 'status', '--service', 'web'], { cwd });
    await new Promise((resolve) => {
      status.child.once('exit', resolve);
    });
    expect(JSON.parse(status.output())).toMatchObject({
      system_status: 'healthy',
      services: { web: { status: 'completed', experiments: 4, models_trained: false } },
      data_collection: { total_csv_files: 8, total_json_files: 8, in_progress: false },
    });
  }, 180_000);

  it('killed again and again and begun again give the same data, and the replicas there were', async () => {
    const { cluster, cwd, env, data } = await world();
    const kills = process.env['SOAK'] ? 10 : 2;
    const random = seededRandom(5);
    let tower = await servingTower(cwd, env);
    begin(cwd, tower.url);
    let killed = 0;
    for (; killed < kills; killed += 1) {
      // Until it is at it again: a job that nobody speaks for is taken up after some seconds.
      while ((await jobOf(tower.url).catch(() => null))?.attempts !== killed + 1) await wait(100);
      await wait(500 + 5000 * random());
      if ((await jobOf(tower.url)).status !== 'running') break;
      await tower.stop('SIGKILL');
      tower = await servingTower(cwd, env);
    }
    expect(killed).toBeGreaterThanOrEqual(Math.min(kills, 5));
    let job = await jobOf(tower.url);
    for (; job.status === 'running' || job.status === 'queued'; job = await jobOf(tower.url)) await wait(200);
    expect(job).toMatchObject({ status: 'succeeded', result: { status: 'completed', successful_experiments: 8 } });
    expect(comparable(data())).toEqual(whole);
    expect(['web', 'cart', 'loadgenerator'].map((name) => cluster.replicasOf(name))).toEqual([2, 1, 1]);
    expect(cluster.leases()).toEqual([]);
  }, 600_000);
});
