import {
  binEdges,
  chiSquare,
  countIn,
  jensenShannon,
  kolmogorovSmirnov,
  populationStability,
  wasserstein,
  wassersteinOfBins,
} from './distribution-tests.ts';
import type { Baseline, Posted } from './posted.ts';
import type { DistributionAssessment, DriftTest } from './schemas.ts';
import { combinePValues, type Draft, roundDigits } from './verdict.ts';

/** Assesses samples or histograms of one feature on one dataset for a change of distribution. */

type Window = { from: number; until: number; n: number } & (
  | { type: 'numeric'; samples: number[] }
  | { type: 'bins'; edges: number[]; counts: number[] }
  | { type: 'categorical'; counts: Map<string, number> }
);
type Item = Exclude<Posted, { kind: 'value' }>;

const dayMs = 86_400_000;
/** Minimum rows on either side. */
const minRows = 20;
/** With more rows every difference is significant, and the effect size decides (as in Evidently). */
const manyRows = 1000;
const effectFloor = 0.1;

export function assessDistribution(
  feature: string,
  dataset: string | null,
  items: Item[],
  pinned: Baseline | null,
  warningP: number,
): Draft<DistributionAssessment> {
  // A pinned single value is no distribution; only pinned days are.
  const days = pinned?.from === null ? null : pinned;
  const { baseline, previous, current, mixed } = windowsOf(items, days);
  const enough = baseline !== null && current !== null && baseline.n >= minRows && current.n >= minRows;
  const against = (name: 'baseline' | 'previous', before: Window | null): DriftTest[] =>
    before && current && before.n >= minRows && current.n >= minRows ? compare(name, before, current, warningP) : [];
  const [ofBaseline, ofPrevious] = [against('baseline', baseline), against('previous', previous)];
  const effect = ofBaseline.some(
    (test) => (test.name === 'wasserstein' || test.name === 'jensen_shannon') && test.flag,
  );
  const far = ofBaseline.find((test) => test.name === 'jensen_shannon')?.statistic ?? 0;
  const p = combinePValues(ofBaseline);
  return {
    assessment: {
      kind: 'distribution',
      feature,
      type: current?.type === 'categorical' ? 'categorical' : 'numeric',
      dataset,
      status: 'insufficient_data',
      reason: insufficientDataReason(baseline, current, days),
      p: enough ? p : null,
      p_adjusted: null,
      tests: [...ofBaseline, ...ofPrevious],
      caveats: [
        ...(mixed
          ? [
              'data posted in different forms (samples, histograms, other bins) is not comparable; the form of the last day is used',
            ]
          : []),
        ...(pinned && !days
          ? ['a pinned value applies to metrics only: a distribution is compared with pinned days']
          : []),
      ],
      baseline: baseline && { ...sampleOf(baseline), source: days ? 'pinned' : 'first_day' },
      previous: previous && sampleOf(previous),
      current: current && sampleOf(current),
    },
    isRelevant: effect,
    evidenceFactor: 1,
    summary: `the distribution of ${feature} has changed (Jensen-Shannon distance ${roundDigits(far)})`,
  };
}

const sampleOf = ({ n, from, until }: Window) => ({
  n,
  from: new Date(from).toISOString(),
  until: new Date(until).toISOString(),
});

function insufficientDataReason(baseline: Window | null, current: Window | null, pinned: Baseline | null): string {
  if (!baseline && pinned) return 'the pinned days have no data before the last day';
  if (!baseline || !current) return 'only one day has data; two are required';
  return `${baseline.n} and ${current.n} rows; at least ${minRows} each are required for a verdict`;
}

/**
 * Reference (the pinned days, or the first day), previous day and last day. Only observations of the last day's form.
 */
function windowsOf(items: Item[], pinned: Baseline | null) {
  const days = new Map([...Map.groupBy(items, (item) => Math.floor(item.at / dayMs))].sort(([a], [b]) => a - b));
  const form = [...days.values()].at(-1)?.at(-1);
  const fits = (item: Item) => form !== undefined && formOf(item) === formOf(form);
  const same = [...days.values()].map((list) => list.filter(fits)).filter((list) => list.length > 0);
  const [last = [], before = []] = same.toReversed();
  // A day is never compared with itself.
  const earlier = same.slice(0, -1);
  const [first = []] = earlier;
  const inPinned =
    pinned && earlier.flat().filter((item) => item.at >= (pinned.from ?? 0) && item.at < (pinned.until ?? 0));
  const base = inPinned ?? first;
  return {
    baseline: base.length > 0 ? pooled(base) : null,
    previous: before.length > 0 && before !== base ? pooled(before) : null,
    current: last.length > 0 ? pooled(last) : null,
    mixed: items.some((item) => !fits(item)),
  };
}

function formOf(item: Item): string {
  if (item.kind === 'samples') return typeof item.samples[0];
  return item.edges === null ? 'string' : JSON.stringify(item.edges);
}

/** All observations of a window, pooled. */
function pooled(items: Item[]): Window {
  // Observations are in order of time.
  const span = { from: items[0]?.at ?? 0, until: items.at(-1)?.at ?? 0 };
  const [first] = items;
  if (first?.kind === 'histogram' && first.edges !== null) {
    const counts = first.edges
      .slice(1)
      .map((_, i) => items.reduce((sum, item) => sum + ((item as { counts: number[] }).counts[i] ?? 0), 0));
    return { ...span, type: 'bins', edges: first.edges, counts, n: counts.reduce((sum, count) => sum + count, 0) };
  }
  if (first?.kind === 'samples' && typeof first.samples[0] === 'number') {
    const samples = thinned(items.flatMap((item) => (item as { samples: number[] }).samples));
    return { ...span, type: 'numeric', samples, n: samples.length };
  }
  const counts = new Map<string, number>();
  const add = (name: string, count: number) => counts.set(name, (counts.get(name) ?? 0) + count);
  for (const item of items) {
    if (item.kind === 'samples') for (const name of item.samples) add(String(name), 1);
    else for (const [name, count] of Object.entries(item.counts as Record<string, number>)) add(name, count);
  }
  return { ...span, type: 'categorical', counts, n: [...counts.values()].reduce((sum, count) => sum + count, 0) };
}

/** Cap on rows: more add no power, and take time to sort. */
const maxSamples = 10_000;

/** Evenly spaced sample of too many values. */
const thinned = (samples: number[]): number[] =>
  samples.length <= maxSamples
    ? samples
    : Array.from({ length: maxSamples }, (_, i) => samples[Math.floor((i * samples.length) / maxSamples)] ?? 0);

function compare(against: DriftTest['against'], before: Window, now: Window, level: number): DriftTest[] {
  const tests: DriftTest[] = [];
  const withP = (name: DriftTest['name'], { statistic, p }: { statistic: number; p: number }) =>
    tests.push({
      name,
      against,
      statistic: roundDigits(statistic),
      threshold: level,
      p: roundDigits(p),
      flag: p <= level,
    });
  const withSize = (name: DriftTest['name'], statistic: number, threshold: number) =>
    tests.push({
      name,
      against,
      statistic: roundDigits(statistic),
      threshold: roundDigits(threshold),
      p: null,
      flag: statistic >= threshold,
    });
  const counts = (a: number[], b: number[]) => {
    withSize('jensen_shannon', jensenShannon(a, b), Math.max(effectFloor, noise(a, b)));
    const { statistic, critical } = populationStability(a, b);
    withSize('psi', statistic, Math.max(effectFloor, critical));
  };
  if (before.type === 'numeric' && now.type === 'numeric') {
    withP('kolmogorov_smirnov', kolmogorovSmirnov(before.samples, now.samples));
    withSize('wasserstein', wasserstein(before.samples, now.samples), floorOf(before.n, now.n));
    const edges = binEdges(before.samples, now.samples);
    counts(countIn(before.samples, edges), countIn(now.samples, edges));
  } else if (before.type === 'bins' && now.type === 'bins') {
    withP('chi_square', chiSquare(before.counts, now.counts));
    withSize('wasserstein', wassersteinOfBins(before.counts, now.counts, before.edges), floorOf(before.n, now.n));
    counts(before.counts, now.counts);
  } else if (before.type === 'categorical' && now.type === 'categorical') {
    const names = [...new Set([...before.counts.keys(), ...now.counts.keys()])].sort();
    const [a, b] = [names.map((name) => before.counts.get(name) ?? 0), names.map((name) => now.counts.get(name) ?? 0)];
    withP('chi_square', chiSquare(a, b));
    counts(a, b);
  }
  return tests;
}

/** Minimum relevant effect: 0.1 standard deviations, or the expected noise of small samples. */
const floorOf = (n: number, m: number): number =>
  Math.min(n, m) > manyRows ? effectFloor : Math.max(effectFloor, Math.sqrt(1 / n + 1 / m));

/**
 * Expected noise of the Jensen-Shannon distance: without drift its square is approximately (bins - 1) (1/n + 1/m) / (8
 * ln 2).
 */
function noise(before: number[], now: number[]): number {
  const total = (list: number[]) => list.reduce((sum, count) => sum + count, 0);
  const bins = before.filter((count, i) => count + (now[i] ?? 0) > 0).length;
  return Math.sqrt(((bins - 1) * (1 / total(before) + 1 / total(now))) / (8 * Math.LN2));
}
