import { type Element, keyOf } from './vector.ts';

/** Quantiles of classic histograms: buckets are the elements with a label `le` (Prometheus' promql/quantile.go). */
export function histogramQuantile(share: number, elements: Element[], at: number): Element[] {
  const buckets = elements.flatMap((element) => {
    const { __name__: _, le = '', ...labels } = element.labels;
    return le === '' || Number.isNaN(boundOf(le)) ? [] : [{ labels, bound: boundOf(le), count: element.value }];
  });
  return [...Map.groupBy(buckets, ({ labels }) => keyOf(labels)).values()].map((members) => ({
    labels: members[0]!.labels,
    value: quantile(share, members),
    at,
  }));
}

const boundOf = (text: string): number => (/^\+?inf$/i.test(text) ? Number.POSITIVE_INFINITY : Number(text));

function quantile(share: number, members: { bound: number; count: number }[]): number {
  if (Number.isNaN(share)) return Number.NaN;
  if (share < 0) return Number.NEGATIVE_INFINITY;
  if (share > 1) return Number.POSITIVE_INFINITY;
  const sorted = members.toSorted((a, b) => a.bound - b.bound);
  if (sorted.at(-1)!.bound !== Number.POSITIVE_INFINITY) return Number.NaN;
  // Merges buckets with equal bounds and makes counts monotonic: a scrape does not read all buckets at one instant.
  const merged: { bound: number; count: number }[] = [];
  for (const { bound, count } of sorted) {
    const last = merged.at(-1);
    if (last?.bound === bound) last.count += count;
    else merged.push({ bound, count });
  }
  for (let i = 1; i < merged.length; i += 1) merged[i]!.count = Math.max(merged[i]!.count, merged[i - 1]!.count);
  const total = merged.at(-1)!.count;
  if (merged.length < 2 || total === 0 || Number.isNaN(total)) return Number.NaN;
  const rank = share * total;
  const at = merged.slice(0, -1).findIndex(({ count }) => count >= rank);
  if (at === -1) return merged.at(-2)!.bound;
  if (at === 0 && merged[0]!.bound <= 0) return merged[0]!.bound;
  const below = at > 0 ? merged[at - 1]! : { bound: 0, count: 0 };
  const { bound, count } = merged[at]!;
  return below.bound + (bound - below.bound) * ((rank - below.count) / (count - below.count));
}
