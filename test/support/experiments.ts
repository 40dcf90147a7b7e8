import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { normal, seededRandom } from '#kernel/rng.ts';
import { features } from '#services/forecast/training/experiments.ts';

/**
 * Writes load experiments as the collector does, the first `failed` with a failed load test; CPU follows the load of
 * the previous step, memory grows slowly.
 */
export function writeExperiments(
  directory: string,
  service: string,
  { count = 8, rows = 50, seed = 1, disorder = 0.0002, failed = 0 } = {},
): void {
  mkdirSync(directory, { recursive: true });
  const random = seededRandom(seed);
  for (let i = 0; i < count; i += 1) {
    const [replicas, users] = [1 + (i % 3), 10 * (1 + (i % 4))];
    const id = `${service}_${i % 2 === 0 ? 'browsing' : 'checkout'}_replicas_${replicas}_users_${users + i}`;
    let [cpu, load] = [0.01, 0];
    const lines = Array.from({ length: rows }, (_, t) => {
      cpu = 0.6 * cpu + 0.0004 * (users + load) + disorder * normal(random);
      load = 5 * Math.sin(t / 3);
      const values: Record<string, number> = {
        replica_count: replicas,
        load_users: users,
        cpu_cores_value: cpu,
        mem_bytes_value: 2e7 + 1e4 * t + 1e3 * normal(random),
        replica_count_value: replicas,
        node_cpu_util_value: 10 + load,
      };
      return [
        `t_${t}`,
        id,
        service,
        ...features.map((feature) => (feature === 'pod_restarts_value' && t > 0 ? '' : String(values[feature] ?? 0))),
      ].join(',');
    });
    writeFileSync(
      join(directory, `${id}.csv`),
      `timestamp,experiment_id,service,${features.join(',')}\n${lines.join('\n')}\n`,
    );
    writeFileSync(
      join(directory, `${id}.json`),
      JSON.stringify({
        experiment_id: id,
        load_test: { total_requests: 100, successful_requests: i < failed ? 10 : 100 },
      }),
    );
  }
}
