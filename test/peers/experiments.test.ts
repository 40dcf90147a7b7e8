import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import type { List, Workload } from '#services/acquisition/kubernetes/objects.ts';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { isControlPlaneThere } from '../support/control-plane.ts';
import { begin, comparable, experimentDirectory, jobOf, replicasThere } from '../support/experiments-by-command.ts';
import { realShop, workload } from '../support/real-shop.ts';
import { servingTower, towerCommand } from '../support/tower-process.ts';

/** Experiments by command, with an instance that is killed repeatedly. */

let whole: ReturnType<typeof comparable>;

async function fakeWorld() {
  const cluster = await fakeKubernetes();
  for (const [name, replicas] of Object.entries(replicasThere))
    cluster.workload('Deployment', name, replicas, [{ name: 'server' }]);
  const left = async () =>
    Promise.resolve({
      replicas: Object.fromEntries(Object.keys(replicasThere).map((name) => [name, cluster.replicasOf(name)])),
      leases: cluster.leases().length,
    });
  return { left, ...(await experimentDirectory(cluster)) };
}

/** Against a real API server and its controllers, with the permissions of deploy/. */
async function realWorld() {
  const { file, node, add, client, leases } = await realShop();
  for (const [name, replicas] of Object.entries(replicasThere)) await add(workload('Deployment', name, replicas));
  const left = async () => {
    const path = '/apis/apps/v1/namespaces/shop/deployments';
    const { items } = await client.call<List<Workload>>({ method: 'GET', path });
    const replicas = Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.replicas]));
    return { replicas, leases: (await leases()) === '' ? 0 : 1 };
  };
  return { left, ...(await experimentDirectory({ file, replicasOf: node.replicasOf })) };
}

/** Kills the instance repeatedly during the job, and waits for its end. */
async function killedTower(cwd: string, env: Record<string, string>, kills: number): Promise<void> {
  const random = seededRandom(5);
  let tower = await servingTower(cwd, env);
  begin(cwd, tower.url);
  let killed = 0;
  for (; killed < kills; killed += 1) {
    // Waits until the job is restarted: an abandoned job is claimed after some seconds.
    while ((await jobOf(tower.url).catch(() => null))?.attempts !== killed + 1) await wait(100);
    await wait(500 + 5000 * random());
    if ((await jobOf(tower.url)).status !== 'running') break;
    await tower.stop('SIGKILL');
    tower = await servingTower(cwd, env);
  }
  expect(killed).toBe(kills);
  let job = await jobOf(tower.url);
  for (; job.status === 'running' || job.status === 'queued'; job = await jobOf(tower.url)) await wait(200);
  expect(job).toMatchObject({ status: 'succeeded', result: { status: 'completed', successful_experiments: 8 } });
}

describe('experiments in a cluster', () => {
  it('run from the command line, and restore the cluster', async () => {
    const { left, cwd, env, data } = await fakeWorld();
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
    expect(await left()).toEqual({ replicas: replicasThere, leases: 0 });
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

  it('are the basis of a recommendation for an expected demand', async () => {
    const cluster = await fakeKubernetes();
    cluster.workload('Deployment', 'web', 1, [{ name: 'server' }]);
    cluster.workload('Deployment', 'loadgenerator', 1, [{ name: 'server' }]);
    const users = [2, 4, 6, 8];
    const training = {
      steady_state_config: {
        experiment_duration_minutes: 0.05,
        replica_counts: [1],
        load_levels_users: users,
        test_scenarios: ['visit'],
      },
    };
    const { cwd, env } = await experimentDirectory(cluster, { users, change: { training } });
    const { url } = await servingTower(cwd, env);
    const command = begin(cwd, url, 'web');
    expect(
      await new Promise((resolve) => {
        command.child.once('exit', resolve);
      }),
    ).toBe(0);
    const recommend = async (demand: number) => {
      const answer = await fetch(`${url}/api/v1/rightsizing/shop/web/recommendation`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ demand_requests_per_second: demand }),
      });
      expect(answer.status).toBe(200);
      return (await answer.json()) as SizeAnswer;
    };
    for (const demand of [20, 50]) {
      const { containers, capacity } = await recommend(demand);
      expect(capacity).toMatchObject({ experiments: 4, levels: 4, replicas: 1, reason: null });
      const { cpu, memory } = containers[0]!;
      // The simulator's exact usage, and a margin for the uncertainty of four experiments.
      const exact = 0.02 + 0.004 * demand;
      expect([cpu.bound_by, cpu.request! / exact > 1, cpu.request! / exact < 1.3]).toEqual(['capacity', true, true]);
      expect(memory.request! / (60e6 + 200e3 * demand)).toBeGreaterThan(1);
      expect(memory.request! / (60e6 + 200e3 * demand)).toBeLessThan(1.2);
    }
    // More load than tested needs more replicas, and the patch has them.
    const many = await recommend(300);
    expect(many.replicas!.recommended).toBeGreaterThan(3);
    expect(many.outputs!.kubectl).toContain(`"replicas":${many.replicas!.recommended}`);
  }, 180_000);

  it('produce the same data and restore replicas when the instance is killed repeatedly', async () => {
    const { left, cwd, env, data } = isControlPlaneThere() ? await realWorld() : await fakeWorld();
    await killedTower(cwd, env, process.env['SOAK'] ? 10 : 2);
    expect(comparable(data())).toEqual(whole);
    expect(await left()).toEqual({ replicas: replicasThere, leases: 0 });
  }, 600_000);
});
