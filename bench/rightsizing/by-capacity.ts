import { normal, type Random, seededRandom } from '#kernel/rng.ts';
import { mean } from '#kernel/stats.ts';
import type { LoadPoint } from '#services/acquisition/experiments/load-points.ts';
import { feed, sizerFor } from '#services/rightsizing/backtest/backtest.ts';
import { calibrationError, type Outcome } from '#services/rightsizing/backtest/replay.ts';
import { fitCapacity, planFor } from '#services/rightsizing/capacity/capacity.ts';
import { day, hour, partOf } from '#services/rightsizing/usage.ts';
import type { Trace } from './series.ts';

/**
 * Calibration of recommendations by capacity: real hourly series as traffic of synthetic services, whose usage in
 * production differs from the experiments as the experiments differ from each other.
 */

const usersTried = [5, 10, 20, 30, 50, 75, 100];
const samplesOfExperiment = 31;

type Service = { base: number; perRequest: number; bend: number; noise: number; random: Random };

const serviceOf = (seed: number): Service => {
  const random = seededRandom(seed);
  const between = (low: number, high: number) => low + (high - low) * random();
  return {
    base: between(0.005, 0.05),
    perRequest: between(0.002, 0.02),
    bend: between(0, 0.003),
    noise: between(0.02, 0.1),
    random,
  };
};

/** Cores of one replica in one sample; `odd`: lasting difference to the model, ln units. */
const coresAt = ({ base, perRequest, bend, noise, random }: Service, load: number, odd: number): number =>
  (base + perRequest * load * (1 + bend * load)) * Math.exp(odd + noise * normal(random));

function experimentsOf(service: Service): LoadPoint[] {
  return [1, 2, 4].flatMap((replicas) =>
    usersTried.map((users): LoadPoint => {
      const load = users / 2 / replicas;
      const odd = service.noise * normal(service.random);
      const seen = Array.from({ length: samplesOfExperiment }, () => coresAt(service, load, odd)).sort((a, b) => a - b);
      const cpu = seen[Math.ceil(0.95 * (samplesOfExperiment - 1))]!;
      const common = { scenario: 'browsing', grade: 'high', loadFrom: 'request_rate', latencyMs: 20 } as const;
      return { ...common, id: `${replicas}-${users}`, users, replicas, load, cpu, memory: 60e6 };
    }),
  );
}

export type ByCapacityScore = { windows: number; kept: number; statedShare: number; above: number; error: number };

/** @param first - seed of the first service */
export function scoreByCapacity(traces: readonly Trace[], violation: number, first: number): ByCapacityScore {
  const stated: Outcome['stated'] = [];
  const above: number[] = [];
  for (const [i, { usage }] of traces.entries()) {
    const service = serviceOf(first + i);
    const capacity = fitCapacity(experimentsOf(service), 1 - violation);
    if (typeof capacity === 'string') continue;
    const known = usage.values.filter((value) => !Number.isNaN(value));
    // Scales traffic to some hundred requests per second.
    const unit = 200 / Math.max(1e-12, mean([...known]));
    const traffic = { ...usage, values: usage.values.map((value) => value * unit) };
    const sizer = sizerFor('cpu', usage.stepMs, hour, 0.001, violation);
    let seen: number | null = null;
    const odd = service.noise * normal(service.random);
    const per = Math.round(hour / usage.stepMs);
    for (let at = Math.round((7 * day) / usage.stepMs); at + per <= usage.values.length; at += per) {
      seen = feed(sizer, partOf(traffic, 0, at), seen);
      const { request, confidences } = sizer.recommend();
      if (request === null || confidences === null) continue;
      const planned = planFor(capacity, request, confidences, 1);
      const came = traffic.values.subarray(at, at + per).filter((value) => !Number.isNaN(value));
      if (came.length === 0) continue;
      const over = came.filter((load) => coresAt(service, load / planned.replicas, odd) > planned.cpu).length;
      above.push(over / came.length);
      stated.push({ confidence: planned.confidence, kept: over <= violation * came.length });
    }
  }
  return {
    windows: stated.length,
    kept: mean(stated.map(({ kept }) => (kept ? 1 : 0))),
    statedShare: mean(stated.map(({ confidence }) => confidence)),
    above: mean(above),
    error: calibrationError(stated),
  };
}
