import { mean, standardDeviation, studentUpperQuantile, sum } from '#kernel/stats.ts';
import type { LoadPoint } from '#services/acquisition/experiments/load-points.ts';
import { confidenceAt } from '../sizers/coverage.ts';

/**
 * What one replica takes under load, learned from experiments: a part that is always there, so much per request and second,
 * and, where that foresees levels of load it has not seen better, more the fuller it is. The curve is fitted to relative
 * errors, since twice too little is as bad at a tenth of a core as at ten. How far it is off is known from levels it was not
 * fitted on (leave one level out); the margin at a load is the bound that the next one stays below in the stated share of
 * cases, as the half of them that was nearest to that load says, if logarithms of errors are normal (a prediction interval,
 * with Student’s t).
 */

/** `perSquare`: per request and second, squared; 0 where a line does. */
export type Curve = { base: number; perRequest: number; perSquare: number };
/**
 * `error`: mean of relative errors at levels that were left out; `off`: their logarithms, and at which load; `share`: of
 * replicas that are to need less than the margin allows for.
 */
export type Fitted = Curve & { error: number; off: { load: number; by: number }[]; share: number };
export type Capacity = {
  /** The scenario that takes most. */
  scenario: string;
  loadFrom: LoadPoint['loadFrom'];
  experiments: number;
  levels: number;
  /** Requests per second of one replica, up to which it was tried. */
  tried: number;
  cpu: Fitted;
  memory: Fitted;
};

/** A line needs two levels; whether it is one, a third. */
const fewestLevels = 3;
/** Who is further off than this on average is no model. */
const worstError = 0.35;
/** Nor who has to be multiplied by more than this to be safe: few experiments know little of what is rare. */
const worstMargin = 2;

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
    const levels = Math.min(new Set(own.map(({ users }) => users)).size, levelsOf(own));
    if (levels < fewestLevels || own.length < fewestLevels) {
      reasons.push(`${scenario} has ${levels} levels of load, ${fewestLevels} are needed`);
      continue;
    }
    const cpu = curveOf(own, ({ cpu: cores }) => cores, share);
    const memory = curveOf(own, ({ memory: bytes }) => bytes, share);
    if (cpu.error > worstError || memory.error > worstError) {
      const worst = Math.max(cpu.error, memory.error);
      reasons.push(`${scenario}: a level of load that was left out is off by ${Math.round(100 * worst)} % on average`);
      continue;
    }
    const tried = Math.max(...own.map(({ load }) => load));
    const margin = Math.max(marginAt(cpu, tried), marginAt(memory, tried));
    if (margin > worstMargin) {
      reasons.push(
        `${scenario}: ${own.length} experiments tell too little: to do for ${Number((100 * share).toPrecision(3))} % of replicas, ${margin.toFixed(1)} times as much would be needed`,
      );
      continue;
    }
    const loadFrom = own[0]!.loadFrom;
    fitted.push({ scenario, loadFrom, experiments: own.length, levels, tried, cpu, memory });
  }
  if (fitted.length === 0) return reasons.join('; ');
  // At the load that all were tried with.
  const common = Math.min(...fitted.map(({ tried }) => tried));
  return fitted.toSorted((a, b) => at(b.cpu, common) - at(a.cpu, common))[0]!;
}

/** Loads of a replica that are a tenth apart; nothing is learned from none. */
function levelsOf(points: readonly LoadPoint[]): number {
  let [count, last] = [0, 0];
  for (const load of points.map((point) => point.load).toSorted((a, b) => a - b))
    if (load > 0 && load >= 1.1 * last) [count, last] = [count + 1, load];
  return count;
}

/** Who answers many times later than under the least load does not bear it, whatever CPU it takes. */
function isOverloaded({ scenario, latencyMs }: LoadPoint, all: readonly LoadPoint[]): boolean {
  const latencies = all.flatMap((each) => (each.scenario === scenario ? (each.latencyMs ?? []) : []));
  return latencyMs !== null && latencyMs > 5 * Math.min(...latencies) + 50;
}

/** What a replica takes at a load, without a margin. */
export const at = ({ base, perRequest, perSquare }: Curve, load: number): number =>
  base + perRequest * load + perSquare * load ** 2;

function curveOf(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number, share: number): Fitted {
  const levels = [...new Set(points.map(({ users }) => users))];
  const judged = (bends: boolean) => {
    // Logarithms of what was measured, in times of what was foreseen without its level.
    const off = levels.flatMap((level) => {
      const known = points.filter(({ users }) => users !== level);
      const curve = fitCurve(known, valueOf, bends);
      const left = points.filter(({ users }) => users === level);
      return left.map((point) => {
        const by = Math.log(Math.max(valueOf(point), tiny) / Math.max(at(curve, point.load), tiny));
        return { load: point.load, by };
      });
    });
    return { off, error: mean(off.map(({ by }) => Math.abs(Math.expm1(-by)))), bends };
  };
  const [line, curve] = [judged(false), levels.length > fewestLevels ? judged(true) : null];
  const { off, error, bends } = curve && curve.error < line.error ? curve : line;
  return { ...fitCurve(points, valueOf, bends), error, off, share };
}

/** What a replica may take in times of the curve, at a load; 1 at least. */
export function marginAt(fitted: Fitted, load: number): number {
  return Math.max(1, offAt(fitted, load, fitted.share));
}

/** What a replica takes in times of the curve, at a load, is no more than this with the probability `share`. */
function offAt({ off }: Fitted, load: number, share: number): number {
  const distance = (each: number) => Math.abs(Math.log(Math.max(each, tiny) / Math.max(load, tiny)));
  const near = off.toSorted((a, b) => distance(a.load) - distance(b.load)).slice(0, Math.max(6, off.length / 2));
  const by = near.map((each) => each.by);
  const spread = standardDeviation(by) * Math.sqrt(1 + 1 / by.length);
  const deviate = studentUpperQuantile(Math.min(share, 1 - share), by.length - 1);
  return Math.exp(mean(by) + (share < 0.5 ? -deviate : deviate) * spread);
}

const tiny = 1e-9;

/** Least squares of relative errors, in which no part is negative: the best of all choices of parts that has none. */
function fitCurve(points: readonly LoadPoint[], valueOf: (point: LoadPoint) => number, bends: boolean): Curve {
  const most = Math.max(tiny, ...points.map(({ load }) => load));
  const rows = points.map((point) => {
    const [x, y] = [point.load / most, Math.max(valueOf(point), tiny)];
    return [1 / y, x / y, x ** 2 / y];
  });
  const choices = bends ? [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]] : [[0], [1], [0, 1]];
  let [best, leastError] = [[0, 0, 0], Number.POSITIVE_INFINITY];
  for (const choice of choices) {
    const parts = [0, 0, 0];
    leastSquares(rows.map((row) => choice.map((part) => row[part]!))).forEach(
      (value, i) => (parts[choice[i]!] = value),
    );
    const error = sum(rows.map((row) => (sum(row.map((each, i) => each * parts[i]!)) - 1) ** 2));
    if (parts.every((part) => part >= 0) && error < leastError) [best, leastError] = [parts, error];
  }
  const [base, perRequest, perSquare] = best as [number, number, number];
  return { base, perRequest: perRequest / most, perSquare: perSquare / most ** 2 };
}

/** Coefficients with which the columns of each row add up to 1 as nearly as can be (normal equations, elimination). */
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

/** What comes above the demand, and what one replica is asked more than another, is borne too. */
const headroom = 1.2;

/**
 * Replicas and their size for so many requests per second, all replicas together: as few as were tried to bear it and a fifth
 * more, since each has a part that is always there. With fewer than that (`most`) `load` may be more than was tried.
 * @param confidences - probability that the demand is no more than that, by factors of it; null of one that is certain
 */
export function planFor(
  { tried, cpu, memory }: Capacity,
  demand: number,
  confidences: readonly number[] | null,
  least: number,
  most = Number.POSITIVE_INFINITY,
): Planned {
  const replicas = Math.min(most, Math.max(least, Math.ceil((headroom * demand) / tried - 1e-9), 1));
  const load = demand / replicas;
  const request = at(cpu, load) * marginAt(cpu, load);
  return {
    replicas,
    load,
    cpu: request,
    memory: at(memory, load) * marginAt(memory, load),
    confidence: mean(
      chances.map((chance) => {
        const factor = factorFor(cpu, load, request / offAt(cpu, load, chance));
        if (confidences) return confidenceAt(confidences, factor);
        return factor >= 1 ? 1 : 0;
      }),
    ),
  };
}

/** How far the curve may be off, in so many cases that are as probable as each other. */
const chances = Array.from({ length: 40 }, (_, i) => (i + 0.5) / 40);

/** Times the load at which the curve reaches so many cores; it rises. */
function factorFor(curve: Curve, load: number, cores: number): number {
  if (at(curve, 0) >= cores) return 0;
  let [low, high] = [0, 4];
  for (let halving = 0; halving < 30; halving += 1) {
    const middle = (low + high) / 2;
    if (at(curve, middle * load) < cores) low = middle;
    else high = middle;
  }
  return low;
}
