import { day, hour, quantileOf, sorted } from '../usage.ts';
import { createLogHistogram } from './log-histogram.ts';

/** Simple predictors of the next horizon; the sizer weights them. */

export type Experts = {
  names: string[];
  /** Adds the next values. */
  add(values: Float64Array): void;
  /** Prediction of each expert for the coming horizon; NaN if it has none. */
  guesses(): Float64Array;
};

type Expert = { name: string; guess(past: Past): number };
/** All values seen so far, one step apart. */
type Past = { values: Float64Array; size: number; stepMs: number; horizonMs: number };

export function createExperts(stepMs: number, horizonMs: number, share: number, least: number): Experts {
  const halfLives = horizonMs >= day ? [6, 12, 24, 72, 168] : [0.5, 2, 6, 12, 24, 72];
  const histograms = halfLives.map((hours) => ({ hours, histogram: createLogHistogram(least, hours * hour) }));
  const all: Expert[] = [
    ...histograms.map(({ hours, histogram }) => ({
      name: `quantile with a half-life of ${hours} h`,
      guess: () => histogram.quantile(share),
    })),
    ...[1, 2, 7].map((days) => ({
      name: days === 1 ? 'same hours of yesterday' : `same hours of ${days} days`,
      guess: (past: Past) => quantileOf(sameHours(past, days, 0), share),
    })),
    { name: 'same hours a week ago', guess: (past) => quantileOf(horizonValues(past, -7 * day), share) },
    { name: 'quantile of the last horizon', guess: (past) => quantileOf(horizonValues(past, -past.horizonMs), share) },
    { name: 'peak of the last horizon', guess: (past) => horizonValues(past, -past.horizonMs).at(-1) ?? Number.NaN },
    ...(horizonMs < day
      ? [{ name: 'last horizon, adjusted to the time of day', guess: (past: Past) => moved(past, share) }]
      : []),
  ];
  const past: Past = { values: new Float64Array(1024), size: 0, stepMs, horizonMs };
  return {
    names: all.map(({ name }) => name),
    add: (values) => {
      if (past.size + values.length > past.values.length) {
        const wider = new Float64Array(2 * (past.size + values.length));
        wider.set(past.values.subarray(0, past.size));
        past.values = wider;
      }
      past.values.set(values, past.size);
      for (let i = 0; i < values.length; i += 1) {
        const value = values[i]!;
        if (Number.isNaN(value)) continue;
        for (const { histogram } of histograms) histogram.add(value, (past.size + i) * stepMs);
      }
      past.size += values.length;
    },
    guesses: () => Float64Array.from(all, ({ guess }) => guess(past)),
  };
}

/** Known values of one horizon that starts at an offset from now (negative), ascending. */
function horizonValues({ values, size, stepMs, horizonMs }: Past, fromMs: number): Float64Array {
  const from = size + Math.round(fromMs / stepMs);
  const to = Math.min(size, from + Math.round(horizonMs / stepMs));
  return sorted(values.subarray(Math.max(0, from), Math.max(0, to)));
}

/** Values at the same time of day on previous days; `aheadMs` shifts the time. */
function sameHours(past: Past, days: number, aheadMs: number): Float64Array {
  const parts = Array.from({ length: days }, (_, i) => horizonValues(past, aheadMs - (i + 1) * day));
  const all = new Float64Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}

/** The last horizon, scaled by the ratio of the coming hours to the current ones on previous days. */
function moved(past: Past, share: number): number {
  const [coming, past7] = [sameHours(past, 7, 0), sameHours(past, 7, -past.horizonMs)].map((each) =>
    quantileOf(each, share),
  );
  const now = quantileOf(horizonValues(past, -past.horizonMs), share);
  return past7! > 0 ? now * Math.min(4, Math.max(0.25, coming! / past7!)) : now;
}
