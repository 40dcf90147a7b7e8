import { sorted } from '../usage.ts';

/** What a stretch of usage would have cost at a request: the request itself, and more for what went above it. */

export type Window = {
  /** Known samples. */
  size: number;
  /** NaN of an empty one. */
  most: number;
  /** Share of samples above the request. */
  above(request: number): number;
  /** Sum of what lies above the request. */
  excess(request: number): number;
  /** Sum over the samples of `request + weight × what lies above it`. */
  cost(request: number, weight: number): number;
  /** The request that costs least: the quantile 1 - 1/weight. NaN of an empty one. */
  cheapest(weight: number): number;
  /** The least it can cost with a request of `floor` at least. */
  least(weight: number, floor: number): number;
  sum: number;
};

/** @param values - samples one step apart; NaN where unknown */
export function windowOf(values: Float64Array): Window {
  const ascending = sorted(values);
  const size = ascending.length;
  // behind[i]: the sum of ascending[i] and all after it
  const behind = new Float64Array(size + 1);
  for (let i = size - 1; i >= 0; i -= 1) behind[i] = behind[i + 1]! + ascending[i]!;
  const firstAbove = (request: number) => {
    let [low, high] = [0, size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ascending[middle]! > request) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const excess = (request: number) => {
    const at = firstAbove(request);
    return behind[at]! - (size - at) * request;
  };
  // The cost is convex with corners at the samples: the least is at one of them.
  const cheapest = (weight: number) => ascending[Math.max(0, Math.ceil(size * (1 - 1 / weight)) - 1)] ?? Number.NaN;
  const cost = (request: number, weight: number) => size * request + weight * excess(request);
  return {
    size,
    most: ascending[size - 1] ?? Number.NaN,
    above: (request) => (size === 0 ? 0 : (size - firstAbove(request)) / size),
    excess,
    cost,
    cheapest,
    least: (weight, floor) => (size === 0 ? 0 : cost(Math.max(floor, cheapest(weight)), weight)),
    sum: behind[0]!,
  };
}
