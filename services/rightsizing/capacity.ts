import type { LoadPoint } from '../acquisition/load-points.ts';

/**
 * What one replica takes under load, learned from experiments: a part that is always there, and so much per request and
 * second. The line is fitted to relative errors, since twice too little is as bad at a tenth of a core as at ten. How far it
 * is off is known from levels of load it was not fitted on (leave one level out), and the margin is a quantile of that
 * (split conformal: Vovk et al. 2005; Lei et al. 2018).
 */

export type Line = { base: number; perRequest: number };
export type Capacity = {
  /** The scenario that takes most. */
  scenario: string;
  loadFrom: LoadPoint['loadFrom'];
  experiments: number;
  levels: number;
  /** Requests per second of one replica, up to which it was tried. */
  tried: number;
  cpu: Line & { error: number; margin: number };
  memory: Line & { error: number; margin: number };
};

/** A line needs two levels; whether it is one, a third. */
const fewestLevels = 3;
/** Who is further off than this on average is no model. */
const worstError = 0.35;

/**
 * @param share - of replicas that are to need less than the margin allows for
 * @returns the model of the scenario that takes most, or why there is none
 */
export function fitCapacity(points: readonly LoadPoint[], share: number): Capacity | string {
  const bearable = points.filter((point) => !isOverloaded(point, points));
  const counted = bearable.filter(({ loadFrom }) => loadFrom === 'request_rate');
  // Both at once would be two things under one name.
  const alike =
    counted.length >= bearable.length / 2 ? counted : bearable.filter((each) => each.loadFrom === 'load_test');
  if (alike.length === 0) return 'there is no experiment to learn from';
  const fitted: Capacity[] = [];
  const reasons: string[] = [];
  for (const [scenario, own] of Map.groupBy(alike, (point) => point.scenario)) {
    const levels = new Set(own.map(({ users }) => users)).size;
    if (levels < fewestLevels || own.length < fewestLevels) {
      reasons.push(`${scenario} has ${levels} levels of load, ${fewestLevels} are needed`);
      continue;
    }
    const cpu = lineOf(own, ({ cpu: cores }) => cores, share);
    const memory = lineOf(own, ({ memory: bytes }) => bytes, share);
    if (cpu.error > worstError || memory.error > worstError) {
      const worst = Math.max(cpu.error, memory.error);
      reasons.push(`${scenario}: a level of load that was left out is off by ${Math.round(100 * worst)} % on average`);
      continue;
    }
    const tried = Math.max(...own.map(({ load }) => load));
    const loadFrom = own[0]!.loadFrom;
    fitted.push({ scenario, loadFrom, experiments: own.length, levels, tried, cpu, memory });
  }
  if (fitted.length === 0) return reasons.join('; ');
  // At the load that all were tried with.
  const common = Math.min(...fitted.map(({ tried }) => tried));
  return fitted.toSorted((a, b) => at(b.cpu, common) - at(a.cpu, common))[0]!;
}

/** Who answers many times later than under the least load does not bear it, whatever CPU it takes. */
function isOverloaded({ scenario, latencyMs }: LoadPoint, all: readonly LoadPoint[]): boolean {
  const latencies = all.flatMap((each) => (each.scenario === scenario ? (each.latencyMs ?? []) : []));
  return latencyMs !== null && latencyMs > 5 * Math.min(...latencies) + 50;
}

/** What a replica takes at a load, without a margin. */
export const at = ({ base, perRequest }: Line, load: number): number => base + perRequest * load;

function lineOf(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number, share: number) {
  const off: number[] = [];
  for (const level of new Set(points.map(({ users }) => users))) {
    const line = fitLine(
      points.filter(({ users }) => users !== level),
      valueOf,
    );
    for (const point of points.filter(({ users }) => users === level))
      off.push(Math.log(Math.max(valueOf(point), tiny) / Math.max(at(line, point.load), tiny)));
  }
  const ascending = off.toSorted((a, b) => a - b);
  // Of n + 1 that might come, the share is below the n-th part rounded up; the greatest is the most that can be said.
  const rank = Math.min(ascending.length, Math.ceil((ascending.length + 1) * share));
  return {
    ...fitLine(points, valueOf),
    error: off.reduce((sum, each) => sum + Math.abs(Math.expm1(-each)), 0) / off.length,
    margin: Math.max(1, Math.exp(ascending[rank - 1]!)),
  };
}

const tiny = 1e-9;

/** Least squares of relative errors; neither part is negative. */
function fitLine(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number): Line {
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const point of points) {
    const [x, y] = [point.load, Math.max(valueOf(point), tiny)];
    const weight = 1 / y ** 2;
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const spread = w * wxx - wx * wx;
  const slope = spread > 1e-12 * w * wxx ? (w * wxy - wx * wy) / spread : 0;
  if (!(slope > 0)) return { base: wy / w, perRequest: 0 };
  const base = (wy - slope * wx) / w;
  return base >= 0 ? { base, perRequest: slope } : { base: 0, perRequest: wxy / wxx };
}

export type Planned = {
  replicas: number;
  /** Requests per second of each. */
  load: number;
  /** Cores and bytes of each, with the margin. */
  cpu: number;
  memory: number;
};

/**
 * Replicas and their size for so many requests per second, all replicas together: as few as were tried to bear it, since
 * each has a part that is always there. With fewer than that (`most`) `load` is more than was tried.
 */
export function planFor(
  { tried, cpu, memory }: Capacity,
  demand: number,
  least: number,
  most = Number.POSITIVE_INFINITY,
): Planned {
  const replicas = Math.min(most, Math.max(least, Math.ceil(demand / tried - 1e-9), 1));
  const load = demand / replicas;
  return { replicas, load, cpu: at(cpu, load) * cpu.margin, memory: at(memory, load) * memory.margin };
}
