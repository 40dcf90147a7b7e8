import { day, strideOf } from '../usage.ts';
import { confidenceOf, createCoverageTracker } from './coverage.ts';
import { createExperts } from './experts.ts';
import { type Window, windowOf } from './window.ts';

/**
 * A request for the coming horizon: the stated share of samples lies above it, and as little as possible is unused.
 *
 *   loss(q) = min(5, (cost(q) - cost*) / scale)            of a request q in a window; cost* the least possible one
 *   Lₑ      = Σ λ^age loss(guess of expert e)              λ halves after a week
 *   wₑ      ∝ exp(-60 (Lₑ - min L) / n)                    exponentially weighted forecasts
 *   blend   = Σ wₑ ln(guessₑ),  margin = Σ vₘ m            margins m weighed by their own losses likewise
 *   ln q    = blend + margin + correction
 *   correction += 0.1 (share above - stated share)         per window, between -0.5 and 1.5
 *
 * Sources: exponentially weighted average forecaster (Cesa-Bianchi and Lugosi 2006, chapter 2); the correction is adaptive
 * conformal inference (Gibbs and Candès 2021).
 */

export type SizerSettings = {
  stepMs: number;
  horizonMs: number;
  /** Stated share of samples above the request. */
  violation: number;
  /** Lower bound of the request, above 0. */
  least: number;
};

export type Sized = {
  /** Null where nothing is known. */
  request: number | null;
  /** Calibrated probability that the stated share is kept over the horizon. */
  confidence: number | null;
  /** Coverage at factors of the request, see coverage.ts; null where it is not tracked. */
  confidences: number[] | null;
  /** Factor of the blend: margin and correction. */
  factor: number;
  /** Experts by weight, largest first. `says`: cores or bytes. */
  experts: { name: string; weight: number; says: number }[];
};

export type Sizer = {
  /** Time between two updates. */
  strideMs: number;
  /** Takes one stride of samples. */
  add(values: Float64Array): void;
  recommend(): Sized;
};

/** Half-life of losses. */
const halfLifeMs = 7 * day;
/** Learning rate of the weights. */
const learningRate = 60;
/** Step of the correction: ln units per share. */
const correctionRate = 0.1;
/** Four of five windows keep the stated share. */
const prior = { horizons: 20, kept: 0.8 };
/** Upper bound of a loss, relative to the scale of costs. */
const maxLoss = 5;
const correctionBounds = { up: 1.5, down: -0.5 };
/** ln of the factors. The prior margin is the middle of what right-sizers add. */
const margins = Float64Array.from({ length: 41 }, (_, i) => (i - 20) * 0.04);
const priorMargin = 0.03;

type Pending = { guesses: Float64Array; blend: number; request: number };

export function createSizer({ stepMs, horizonMs, violation, least }: SizerSettings): Sizer {
  const weight = 1 / violation;
  const strideMs = strideOf(horizonMs);
  const strides = Math.round(horizonMs / strideMs);
  const fade = 2 ** (-strideMs / halfLifeMs);
  const experts = createExperts(stepMs, horizonMs, 1 - violation, least / 10);
  const expertLosses = new Float64Array(experts.names.length);
  const marginLosses = margins.map((margin) => (margin - priorMargin) ** 2);
  const coverage = createCoverageTracker(prior);
  let [level, correction] = [0, 0];

  const propose = () => {
    const guesses = experts.guesses();
    const observed = coverage.observed();
    const shares = sharesOf(expertLosses, observed, guesses);
    if (!shares) return null;
    const blend = shares.reduce(
      (sum, share, e) => (share > 0 ? sum + share * Math.log(Math.max(guesses[e]!, least)) : sum),
      0,
    );
    const margin = sharesOf(marginLosses, observed, margins)!.reduce((sum, share, m) => sum + share * margins[m]!, 0);
    const request = Math.max(least, Math.exp(blend + margin + correction));
    return { guesses, shares, blend, request, factor: Math.exp(margin + correction) };
  };

  const update = ({ guesses, blend, request }: Pending, window: Window) => {
    const best = window.least(weight, least);
    level = level === 0 ? best : level * 0.9 + best * 0.1;
    const scale = Math.max(level, best);
    const loss = (log: number) =>
      Math.min(maxLoss, (window.cost(Math.max(least, Math.exp(log)), weight) - best) / scale);
    for (let e = 0; e < expertLosses.length; e += 1)
      expertLosses[e] = expertLosses[e]! * fade + loss(Number.isNaN(guesses[e]!) ? blend : Math.log(guesses[e]!));
    for (let m = 0; m < margins.length; m += 1) marginLosses[m] = marginLosses[m]! * fade + loss(blend + margins[m]!);
    const above = window.above(request);
    correction = Math.min(
      correctionBounds.up,
      Math.max(correctionBounds.down, correction + (correctionRate / strides) * (above - violation)),
    );
    coverage.add(fade, (factor) => window.above(request * factor) <= violation);
  };

  const recommend = (): Sized => {
    const proposal = propose();
    if (!proposal) return { request: null, confidence: null, confidences: null, factor: 1, experts: [] };
    const { request, factor, shares, guesses } = proposal;
    const confidences = coverage.confidences();
    return {
      request,
      confidence: confidenceOf(confidences),
      confidences,
      factor,
      experts: byWeight(experts.names, shares, guesses),
    };
  };

  return { strideMs, add: inStrides(strides, propose, experts.add, update), recommend };
}

/** Proposes a request before each stride, and updates with the one of a horizon ago and the window since. */
function inStrides<Proposal>(
  strides: number,
  propose: () => Proposal | null,
  see: (values: Float64Array) => void,
  update: (proposal: Proposal, window: Window) => void,
) {
  const recent: Float64Array[] = [];
  const pending: (Proposal | null)[] = [];
  return (values: Float64Array): void => {
    pending.push(propose());
    see(values);
    recent.push(values);
    if (recent.length > strides) recent.shift();
    if (recent.length < strides) return;
    const due = pending.shift();
    const window = windowOf(joined(recent));
    if (due && window.size > 0) update(due, window);
  };
}

const byWeight = (names: string[], shares: Float64Array, guesses: Float64Array): Sized['experts'] =>
  names
    .map((name, e) => ({ name, weight: shares[e]!, says: guesses[e]! }))
    .filter(({ weight }) => weight >= 0.01)
    .sort((a, b) => b.weight - a.weight);

/** Weights by losses; 0 for what has no value, null where nothing has one. */
function sharesOf(losses: Float64Array, observed: number, values: Float64Array): Float64Array | null {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < losses.length; i += 1) if (!Number.isNaN(values[i]!)) best = Math.min(best, losses[i]!);
  if (best === Number.POSITIVE_INFINITY) return null;
  const shares = losses.map((loss, i) =>
    Number.isNaN(values[i]!) ? 0 : Math.exp((-learningRate * (loss - best)) / Math.max(observed, 1e-9)),
  );
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
