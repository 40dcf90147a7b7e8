import { normal, type Random, seededRandom } from '#kernel/rng.ts';
import { mean } from '#kernel/stats.ts';
import type { LoadPoint } from '#services/acquisition/experiments/load-points.ts';
import { curveAt, fitCapacity, planFor } from '#services/rightsizing/capacity/capacity.ts';

/**
 * Synthetic services: slightly bent CPU curves with noise; latency grows with utilisation (M/M/1 processor sharing).
 * The model is fitted without one level of load, which tests it.
 */

const usersTried = [5, 10, 20, 30, 50, 75, 100];
const replicasTried = [1, 2, 4];
/** Maximum acceptable latency, relative to an idle replica. */
const maxLatencyFactor = 5;

type Service = { base: number; perRequest: number; bend: number; noise: number; cores: number; random: Random };

function serviceOf(seed: number): Service {
  const random = seededRandom(seed);
  const between = (low: number, high: number) => low + (high - low) * random();
  return {
    base: between(0.005, 0.05),
    perRequest: between(0.002, 0.02),
    bend: between(0, 0.3),
    noise: between(0.02, 0.1),
    cores: between(0.25, 2),
    random,
  };
}

/** Requests per second at which a replica is saturated. */
const fullAt = ({ perRequest, cores }: Service): number => cores / perRequest;
/** Cores of a replica. */
function coresAt(service: Service, load: number): number {
  const { base, perRequest, bend, noise, random } = service;
  return base + perRequest * load * (1 + (bend * load) / fullAt(service)) * Math.exp(noise * normal(random));
}
/** 95th percentile in milliseconds. */
const latencyAt = (service: Service, load: number): number => {
  const { perRequest, cores } = service;
  const share = load / fullAt(service);
  return share >= 1 ? Number.POSITIVE_INFINITY : ((1000 * perRequest) / cores / (1 - share)) * Math.log(20);
};

const experimentsOf = (service: Service): LoadPoint[] =>
  replicasTried.flatMap((replicas) =>
    usersTried.flatMap((users): LoadPoint[] => {
      const load = users / 2 / replicas;
      const latencyMs = latencyAt(service, load);
      // A saturated replica fails requests, so the experiment has low quality.
      if (!Number.isFinite(latencyMs)) return [];
      const cpu = coresAt(service, load);
      const common = { scenario: 'browsing', grade: 'high', loadFrom: 'request_rate' } as const;
      return [
        { ...common, id: `${replicas}-${users}`, users, replicas, load, latencyMs, cpu, memory: 60e6 + 2e5 * load },
      ];
    }),
  );

/** Baselines: cores of a replica at an untested load. */
const rivals: Record<string, (points: readonly LoadPoint[], load: number) => number> = {
  'the nearest load that was tried': (points, load) =>
    points.toSorted((a, b) => Math.abs(a.load - load) - Math.abs(b.load - load))[0]!.cpu,
  'least squares': (points, load) => {
    const [x, y] = [mean(points.map((each) => each.load)), mean(points.map((each) => each.cpu))];
    const spread = mean(points.map((each) => (each.load - x) ** 2));
    const slope = spread === 0 ? 0 : mean(points.map((each) => (each.load - x) * (each.cpu - y))) / spread;
    return y + slope * (load - x);
  },
};

export type CapacityScore = {
  services: number;
  /** Mean error in per cent at levels left out, by method. */
  errors: Record<string, number>;
  /** Replicas that need more than recommended at the assumed load. */
  above: number;
  /** Services with acceptable latency at 1.2 times that load. */
  acceptable: number;
  /** Replicas relative to the minimum. */
  replicas: number;
};

/** @param first - seed of the first service */
export function scoreCapacity(count: number, violation: number, first = 1): CapacityScore {
  const errors = new Map<string, number[]>();
  const note = (name: string, statedShare: number, is: number) =>
    errors.set(name, [...(errors.get(name) ?? []), 100 * Math.abs(statedShare / is - 1)]);
  let [services, above, asked, acceptable, times] = [0, 0, 0, 0, 0];
  for (let seed = first; seed < first + count; seed += 1) {
    const service = serviceOf(seed);
    const points = experimentsOf(service);
    for (const level of usersTried) {
      const known = points.filter(({ users }) => users !== level);
      const capacity = fitCapacity(known, 1 - violation);
      if (typeof capacity === 'string') continue;
      for (const { load, cpu } of points.filter(({ users }) => users === level)) {
        note('tower', curveAt(capacity.cpu, load), cpu);
        for (const [name, guess] of Object.entries(rivals)) note(name, guess(known, load), cpu);
      }
    }
    const capacity = fitCapacity(points, 1 - violation);
    if (typeof capacity === 'string') continue;
    services += 1;
    const demand = capacity.maxLoad * (0.5 + 6 * service.random());
    const { replicas, load, cpu } = planFor(capacity, demand, null, 1);
    for (let i = 0; i < replicas; i += 1) {
      asked += 1;
      if (coresAt(service, load) > cpu) above += 1;
    }
    const limit = maxLatencyFactor * latencyAt(service, 0);
    if (latencyAt(service, (1.2 * demand) / replicas) <= limit) acceptable += 1;
    let minReplicas = 1;
    while (latencyAt(service, (1.2 * demand) / minReplicas) > limit) minReplicas += 1;
    times += replicas / minReplicas;
  }
  return {
    services,
    errors: Object.fromEntries([...errors].map(([name, each]) => [name, mean(each)])),
    above: above / asked,
    acceptable: acceptable / services,
    replicas: times / services,
  };
}
