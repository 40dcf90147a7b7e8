import { day, strideOf } from '../usage.ts';
import { confidenceOf, createCoverageTracker } from './coverage.ts';
import { createExperts } from './experts.ts';
import { type Window, windowOf } from './window.ts';

/**
 * A request for the coming horizon, so that the stated share of samples lies above it and as little as can be below.
 * Experts are weighed by what their guesses would have cost (exponentially weighted forecasts whose losses fade:
 * Cesa-Bianchi and Lugosi 2006, chapter 2), then a margin on their blend by the same rule. What is left is corrected
 * online, so that the share that was above is the stated one (Gibbs and Candès 2021, adaptive conformal inference).
 */

export type SizerSettings = {
  stepMs: number;
  horizonMs: number;
  /** Stated share of samples above the request. */
  violation: number;
  /** The least request, above 0. */
  least: number;
};

export type Sized = {
  /** Null where nothing is known. */
  request: number | null;
  /** Calibrated probability that the stated share is kept over the horizon. */
  confidence: number | null;
  /** The same with other factors of the request, see `keeping.ts`; null where nobody keeps count. */
  confidences: number[] | null;
  /** What the blend of the experts was multiplied by, the online correction included. */
  factor: number;
  /** Those with a say, most first. `says`: cores or bytes. */
  experts: { name: string; weight: number; says: number }[];
};

export type Sizer = {
  /** Time between two looks at what came. */
  strideMs: number;
  /** Takes one stride of samples. */
  add(values: Float64Array): void;
  recommend(): Sized;
};

/** Losses of a week ago count half. */
const halfLifeMs = 7 * day;
/** How much more the better is listened to. */
const sharpness = 60;
/** How far one window that violates corrects what follows: ln units per share. */
const pull = 0.1;
/** So many horizons' worth of belief that four of five windows keep the stated share. */
const belief = { horizons: 20, kept: 0.8 };
/** A window tells no more than this about an expert, in times of what it cost at least. */
const mostLoss = 5;
const furthest = { up: 1.5, down: -0.5 };
/** ln of the factors that are tried; without experience the middle of what right-sizers add. */
const margins = Float64Array.from({ length: 41 }, (_, i) => (i - 20) * 0.04);
const usual = 0.03;

type Pending = { guesses: Float64Array; blend: number; request: number };

export function createSizer({ stepMs, horizonMs, violation, least }: SizerSettings): Sizer {
  const weight = 1 / violation;
  const strideMs = strideOf(horizonMs);
  const strides = Math.round(horizonMs / strideMs);
  const fade = 2 ** (-strideMs / halfLifeMs);
  const experts = createExperts(stepMs, horizonMs, 1 - violation, least / 10);
  const ofExperts = new Float64Array(experts.names.length);
  const ofMargins = margins.map((margin) => (margin - usual) ** 2);
  const keeping = createCoverageTracker(belief);
  let [level, correction] = [0, 0];

  const ask = () => {
    const guesses = experts.guesses();
    const judged = keeping.judged();
    const shares = sharesOf(ofExperts, judged, guesses);
    if (!shares) return null;
    const blend = shares.reduce(
      (sum, share, e) => (share > 0 ? sum + share * Math.log(Math.max(guesses[e]!, least)) : sum),
      0,
    );
    const margin = sharesOf(ofMargins, judged, margins)!.reduce((sum, share, m) => sum + share * margins[m]!, 0);
    const request = Math.max(least, Math.exp(blend + margin + correction));
    return { guesses, shares, blend, request, factor: Math.exp(margin + correction) };
  };

  const judge = ({ guesses, blend, request }: Pending, window: Window) => {
    const best = window.least(weight, least);
    level = level === 0 ? best : level * 0.9 + best * 0.1;
    const scale = Math.max(level, best);
    const loss = (log: number) =>
      Math.min(mostLoss, (window.cost(Math.max(least, Math.exp(log)), weight) - best) / scale);
    for (let e = 0; e < ofExperts.length; e += 1)
      ofExperts[e] = ofExperts[e]! * fade + loss(Number.isNaN(guesses[e]!) ? blend : Math.log(guesses[e]!));
    for (let m = 0; m < margins.length; m += 1) ofMargins[m] = ofMargins[m]! * fade + loss(blend + margins[m]!);
    const above = window.above(request);
    correction = Math.min(furthest.up, Math.max(furthest.down, correction + (pull / strides) * (above - violation)));
    keeping.note(fade, (factor) => window.above(request * factor) <= violation);
  };

  const recommend = (): Sized => {
    const asked = ask();
    if (!asked) return { request: null, confidence: null, confidences: null, factor: 1, experts: [] };
    const { request, factor, shares, guesses } = asked;
    const confidences = keeping.confidences();
    return {
      request,
      confidence: confidenceOf(confidences),
      confidences,
      factor,
      experts: heard(experts.names, shares, guesses),
    };
  };

  return { strideMs, add: inStrides(strides, ask, experts.add, judge), recommend };
}

/** Asks before each stride, and judges what was asked a horizon ago by what came since. */
function inStrides<Asked>(
  strides: number,
  ask: () => Asked | null,
  see: (values: Float64Array) => void,
  judge: (asked: Asked, window: Window) => void,
) {
  const recent: Float64Array[] = [];
  const pending: (Asked | null)[] = [];
  return (values: Float64Array): void => {
    pending.push(ask());
    see(values);
    recent.push(values);
    if (recent.length > strides) recent.shift();
    if (recent.length < strides) return;
    const due = pending.shift();
    const window = windowOf(joined(recent));
    if (due && window.size > 0) judge(due, window);
  };
}

const heard = (names: string[], shares: Float64Array, guesses: Float64Array): Sized['experts'] =>
  names
    .map((name, e) => ({ name, weight: shares[e]!, says: guesses[e]! }))
    .filter(({ weight }) => weight >= 0.01)
    .sort((a, b) => b.weight - a.weight);

/** The less one lost, the more it weighs; what has no value has no say. Null where nothing has. */
function sharesOf(losses: Float64Array, judged: number, values: Float64Array): Float64Array | null {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < losses.length; i += 1) if (!Number.isNaN(values[i]!)) best = Math.min(best, losses[i]!);
  if (best === Number.POSITIVE_INFINITY) return null;
  const shares = losses.map((loss, i) =>
    Number.isNaN(values[i]!) ? 0 : Math.exp((-sharpness * (loss - best)) / Math.max(judged, 1e-9)),
  );
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share) => share / total);
}

/** One after the other in one array. */
function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
