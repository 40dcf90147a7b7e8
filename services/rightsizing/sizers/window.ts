import { sorted } from '../usage.ts';

/** Cost of a window of usage at a given request: the request itself plus a weighted excess. */

export type Window = {
  /** Number of known samples. */
  size: number;
  /** NaN if empty. */
  most: number;
  /** Share of samples above the request. */
  above(request: number): number;
  /** Sum of usage above the request. */
  excess(request: number): number;
  /** Sum over the samples of `request + weight × excess`. */
  cost(request: number, weight: number): number;
  /** The cheapest request: the quantile 1 - 1/weight. NaN if empty. */
  cheapest(weight: number): number;
  /** The minimum cost with a request of at least `floor`. */
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
  // The cost is convex with corners at the samples, so the minimum is at a sample.
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
