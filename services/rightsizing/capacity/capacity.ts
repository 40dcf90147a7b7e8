import { mean, standardDeviation, studentUpperQuantile, sum } from '#kernel/stats.ts';
import type { LoadPoint } from '#services/acquisition/experiments/load-points.ts';
import { confidenceAt } from '../sizers/coverage.ts';

/**
 * Capacity of one replica, learned from load experiments.
 *
 *   y(x) = base + perRequest x + perSquare x²           cores or bytes at x requests per second; no coefficient below 0
 *   fit:   minimise Σ (y(xᵢ) / yᵢ - 1)²                 relative errors: twice too little is as bad at 0.1 cores as at 10
 *   shape: line or curve, whichever has the smaller error when one level of load is left out (leave-one-level-out)
 *   rᵢ   = ln(yᵢ / y₋ᵢ(xᵢ))                             log ratio of a measurement to the fit without its level
 *   m(x) = exp(r̄ + t(share, n - 1) s √(1 + 1/n)), ≥ 1   margin: upper prediction bound of the next ratio, from the n ratios
 *                                                        nearest to x in ln x (half of all, at least 6), taken as normal
 *   request at x = y(x) m(x)
 *
 * r̄ and s are the mean and standard deviation of those n ratios, t the quantile of Student's distribution.
 */

/** `perSquare`: per request and second, squared; 0 in a linear model. */
export type Curve = { base: number; perRequest: number; perSquare: number };
/**
 * `error`: mean absolute relative error at held-out levels. `logRatios`: rᵢ, and the load it was measured at.
 * `share`: of replicas that need no more than the margin allows.
 */
export type Fitted = Curve & { error: number; logRatios: { load: number; by: number }[]; share: number };
export type Capacity = {
  /** The scenario with the largest CPU at the same load. */
  scenario: string;
  loadFrom: LoadPoint['loadFrom'];
  experiments: number;
  levels: number;
  /** Largest load of one replica in the experiments, requests per second. */
  maxLoad: number;
  cpu: Fitted;
  memory: Fitted;
};

/** Two levels determine a line; a third validates it. */
const minLevels = 3;
/** Largest mean error of a model that is used. */
const maxError = 0.35;
/** Largest margin of a model that is used: few experiments say little about rare cases. */
const maxMargin = 2;

/**
 * @param share - of replicas that need no more than the margin allows
 * @returns the model of the scenario with the largest CPU, or the reason why there is none
 */
export function fitCapacity(points: readonly LoadPoint[], share: number): Capacity | string {
  const usablePoints = points.filter((point) => !isOverloaded(point, points));
  const counted = usablePoints.filter(({ loadFrom }) => loadFrom === 'request_rate');
  // Load counted by the service and by the load test are two different quantities.
  const comparablePoints =
    counted.length >= usablePoints.length / 2 ? counted : usablePoints.filter((each) => each.loadFrom === 'load_test');
  if (comparablePoints.length === 0) return 'no experiments';
  const fitted: Capacity[] = [];
  const reasons: string[] = [];
  for (const [scenario, own] of Map.groupBy(comparablePoints, (point) => point.scenario)) {
    const levels = Math.min(new Set(own.map(({ users }) => users)).size, levelsOf(own));
    if (levels < minLevels || own.length < minLevels) {
      reasons.push(`${scenario} has ${levels} levels of load, ${minLevels} are required`);
      continue;
    }
    const cpu = curveOf(own, ({ cpu: cores }) => cores, share);
    const memory = curveOf(own, ({ memory: bytes }) => bytes, share);
    if (cpu.error > maxError || memory.error > maxError) {
      const worst = Math.max(cpu.error, memory.error);
      reasons.push(`${scenario}: the mean error at a level of load left out is ${Math.round(100 * worst)} %`);
      continue;
    }
    const maxLoad = Math.max(...own.map(({ load }) => load));
    const margin = Math.max(marginAt(cpu, maxLoad), marginAt(memory, maxLoad));
    if (margin > maxMargin) {
      reasons.push(
        `${scenario}: ${own.length} experiments are too few for a ${Number((100 * share).toPrecision(3))} % bound: the margin would be ${margin.toFixed(1)}, the maximum is ${maxMargin}`,
      );
      continue;
    }
    const loadFrom = own[0]!.loadFrom;
    fitted.push({ scenario, loadFrom, experiments: own.length, levels, maxLoad, cpu, memory });
  }
  if (fitted.length === 0) return reasons.join('; ');
  // At the largest load that every scenario reached.
  const common = Math.min(...fitted.map(({ maxLoad }) => maxLoad));
  return fitted.toSorted((a, b) => curveAt(b.cpu, common) - curveAt(a.cpu, common))[0]!;
}

/** Count of loads above 0 that are at least 10 % apart. */
function levelsOf(points: readonly LoadPoint[]): number {
  let [count, last] = [0, 0];
  for (const load of points.map((point) => point.load).toSorted((a, b) => a - b))
    if (load > 0 && load >= 1.1 * last) [count, last] = [count + 1, load];
  return count;
}

/** Latency above 5 × the minimum plus 50 ms: the replica is overloaded, whether or not its CPU is. */
function isOverloaded({ scenario, latencyMs }: LoadPoint, all: readonly LoadPoint[]): boolean {
  const latencies = all.flatMap((each) => (each.scenario === scenario ? (each.latencyMs ?? []) : []));
  return latencyMs !== null && latencyMs > 5 * Math.min(...latencies) + 50;
}

/** y(x), without a margin. */
export const curveAt = ({ base, perRequest, perSquare }: Curve, load: number): number =>
  base + perRequest * load + perSquare * load ** 2;

function curveOf(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number, share: number): Fitted {
  const levels = [...new Set(points.map(({ users }) => users))];
  const validated = (bends: boolean) => {
    // Of each level, by the curve fitted without it.
    const logRatios = levels.flatMap((level) => {
      const known = points.filter(({ users }) => users !== level);
      const curve = fitCurve(known, valueOf, bends);
      const left = points.filter(({ users }) => users === level);
      return left.map((point) => {
        const by = Math.log(Math.max(valueOf(point), tiny) / Math.max(curveAt(curve, point.load), tiny));
        return { load: point.load, by };
      });
    });
    return { logRatios, error: mean(logRatios.map(({ by }) => Math.abs(Math.expm1(-by)))), bends };
  };
  const [line, curve] = [validated(false), levels.length > minLevels ? validated(true) : null];
  const { logRatios, error, bends } = curve && curve.error < line.error ? curve : line;
  return { ...fitCurve(points, valueOf, bends), error, logRatios, share };
}

/** m(x). */
export function marginAt(fitted: Fitted, load: number): number {
  return Math.max(1, ratioQuantileAt(fitted, load, fitted.share));
}

/** Quantile of the ratio of need to curve at a load: the ratio stays below it with probability `share`. */
function ratioQuantileAt({ logRatios }: Fitted, load: number, share: number): number {
  const distance = (each: number) => Math.abs(Math.log(Math.max(each, tiny) / Math.max(load, tiny)));
  const near = logRatios
    .toSorted((a, b) => distance(a.load) - distance(b.load))
    .slice(0, Math.max(6, logRatios.length / 2));
  const by = near.map((each) => each.by);
  const spread = standardDeviation(by) * Math.sqrt(1 + 1 / by.length);
  const deviate = studentUpperQuantile(Math.min(share, 1 - share), by.length - 1);
  return Math.exp(mean(by) + (share < 0.5 ? -deviate : deviate) * spread);
}

const tiny = 1e-9;

/** Non-negative least squares of relative errors: the best of all subsets of coefficients without a negative one. */
function fitCurve(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number, bends: boolean): Curve {
  const most = Math.max(tiny, ...points.map(({ load }) => load));
  const rows = points.map((point) => {
    const [x, y] = [point.load / most, Math.max(valueOf(point), tiny)];
    return [1 / y, x / y, x ** 2 / y];
  });
  const choices = bends ? [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]] : [[0], [1], [0, 1]];
  let [best, minError] = [[0, 0, 0], Number.POSITIVE_INFINITY];
  for (const choice of choices) {
    const parts = [0, 0, 0];
    leastSquares(rows.map((row) => choice.map((part) => row[part]!))).forEach(
      (value, i) => (parts[choice[i]!] = value),
    );
    const error = sum(rows.map((row) => (sum(row.map((each, i) => each * parts[i]!)) - 1) ** 2));
    if (parts.every((part) => part >= 0) && error < minError) [best, minError] = [parts, error];
  }
  const [base, perRequest, perSquare] = best as [number, number, number];
  return { base, perRequest: perRequest / most, perSquare: perSquare / most ** 2 };
}

/** Coefficients whose weighted sum of each row is nearest to 1 (normal equations, Gauss-Jordan elimination). */
function leastSquares(rows: readonly number[][]): number[] {
  const size = rows[0]!.length;
  const of = (i: number, j: number) => sum(rows.map((row) => row[i]! * (j === size ? 1 : row[j]!)));
  const all = Array.from({ length: size }, (_, i) => Array.from({ length: size + 1 }, (_, j) => of(i, j)));
  for (let i = 0; i < size; i += 1)
    for (let k = 0; k < size; k += 1) {
      const factor = k === i ? 0 : all[k]![i]! / all[i]![i]!;
      all[k] = all[k]!.map((value, j) => value - factor * all[i]![j]!);
    }
  return all.map((row, i) => row[size]! / row[i]!);
}

export type Planned = {
  replicas: number;
  /** Requests per second of each. */
  load: number;
  /** Cores and bytes of each, with the margin. */
  cpu: number;
  memory: number;
  /** Probability that no more than the stated share of the horizon's CPU is above. */
  confidence: number;
};

/** Of replicas: for demand above the forecast, and for load that is spread unevenly. */
const headroom = 1.2;

/**
 * Replicas and requests of each for a demand in requests per second of all replicas together: as few replicas as bear the
 * demand times `headroom` within the largest load of the experiments, since each has a base. With fewer (`most`) `load` may be
 * above that.
 * @param confidences - probability that the demand is at most factor × `demand`, see coverage.ts; null: it is certain
 */
export function planFor(
  { maxLoad, cpu, memory }: Capacity,
  demand: number,
  confidences: readonly number[] | null,
  least: number,
  most = Number.POSITIVE_INFINITY,
): Planned {
  const replicas = Math.min(most, Math.max(least, Math.ceil((headroom * demand) / maxLoad - 1e-9), 1));
  const load = demand / replicas;
  const request = curveAt(cpu, load) * marginAt(cpu, load);
  return {
    replicas,
    load,
    cpu: request,
    memory: curveAt(memory, load) * marginAt(memory, load),
    confidence: mean(
      ratioProbabilities.map((chance) => {
        const factor = loadFactorAt(cpu, load, request / ratioQuantileAt(cpu, load, chance));
        if (confidences) return confidenceAt(confidences, factor);
        return factor >= 1 ? 1 : 0;
      }),
    ),
  };
}

/** Midpoints of 40 equal probabilities, to integrate over the ratio of need to curve. */
const ratioProbabilities = Array.from({ length: 40 }, (_, i) => (i + 0.5) / 40);

/** Factor of the load at which the curve, which rises, reaches `cores` (bisection). */
function loadFactorAt(curve: Curve, load: number, cores: number): number {
  if (curveAt(curve, 0) >= cores) return 0;
  let [low, high] = [0, 4];
  for (let halving = 0; halving < 30; halving += 1) {
    const middle = (low + high) / 2;
    if (curveAt(curve, middle * load) < cores) low = middle;
    else high = middle;
  }
  return low;
}
