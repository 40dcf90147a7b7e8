import { median } from '#kernel/stats.ts';
import { dayMs } from '../storage/reader.ts';
import { createTail } from './tail.ts';

/**
 * Online anomaly detector of one series. It compares each point in four ways: with the usual value at this time of day,
 * with the previous point, the recent mean with the long-term mean, and the recent variability with the long-term one.
 * Each score is calibrated by its own tail; the rarities are added. Single pass; microseconds per point.
 */
export type Detector = {
  /** Scores a point against those before it, then learns it. The value must be finite. */
  see(at: number, value: number): Detection;
};

export const channels = ['level', 'change', 'shift', 'volatility'] as const;
export type Channel = (typeof channels)[number];

export type Detection = {
  /** A point is anomalous above 1. */
  score: number;
  /** Whether to alarm: anomalous, and more so than any of the last points. */
  alarm: boolean;
  /** Usual value at this time of day, or of the last points if that is unknown; null at first. */
  expected: number | null;
  /** The comparison with the highest rarity, and -log10 of that probability. */
  channel: Channel;
  rarity: number;
};

/** Sum of rarities at which a point is anomalous: then one in a thousand points of production servers alarms. */
const threshold = 7.5;
/** Number of previous points that an alarm must exceed. */
const hold = 100;
/** Days of history per time of day. */
const days = 7;
const shortSpan = 12;
const longSpan = 288;
/** Points without alarms at first: a day of five-minute steps, and enough for the tails. */
const [minWarmUp, maxWarmUp] = [60, 288];
/** A day, so that the first morning is no anomaly. */
export const warmUpPoints = (stepMs: number): number =>
  Math.min(maxWarmUp, Math.max(minWarmUp, Math.round(dayMs / stepMs)));

/** Differences below this share of a usual value are ignored. */
const floorShare = 1e-3;

/**
 * @param stepMs the usual interval between points: the slots of a day
 */
export function createDetector(stepMs: number): Detector {
  const perDay = dayMs / stepMs;
  const warmUp = warmUpPoints(stepMs);
  const slots = new Map<number, number[]>();
  const recent: number[] = [];
  const tails = { level: createTail(), change: createTail(), shift: createTail(), volatility: createTail() };
  const scores: number[] = [];
  let count = 0;
  const rarities = (deviations: Record<Channel, number>, floors: Record<Channel, number>): Record<Channel, number> => {
    const found = { level: 0, change: 0, shift: 0, volatility: 0 };
    for (const channel of channels) {
      if (count >= 2 * shortSpan) found[channel] = tails[channel].rarity(deviations[channel], floors[channel]);
      tails[channel].learn(deviations[channel]);
    }
    return found;
  };
  return {
    see: (at, value) => {
      const slot = slotOf(slots, at, stepMs, perDay);
      const expected = usual(slot, recent);
      const [near, far] = [momentsOf([...recent.slice(-shortSpan + 1), value]), momentsOf(recent)];
      const floor = floorShare * Math.abs(far.mean);
      const deviations = {
        level: expected === null ? 0 : Math.abs(value - expected),
        change: recent.length === 0 ? 0 : Math.abs(value - recent.at(-1)!),
        shift: recent.length < shortSpan ? 0 : Math.abs(near.mean - far.mean),
        volatility: recent.length < 2 * shortSpan ? 0 : variabilityLogRatio(near.spread, far.spread, floor),
      };
      const found = rarities(deviations, { level: floor, change: floor, shift: floor, volatility: 0.05 });
      const score = channels.reduce((sum, channel) => sum + found[channel], 0) / threshold;
      const alarm = count >= warmUp && score > 1 && scores.every((earlier) => earlier < score);
      const channel = channels.reduce((a, b) => (found[b] > found[a] ? b : a));
      keep(scores, score, hold);
      keep(recent, value, longSpan);
      if (slot) keep(slot, value, days);
      count += 1;
      return { score, alarm, expected, channel, rarity: found[channel] };
    },
  };
}

/** Values at this time of day on the last days; null if a day has too few steps for times of day. */
function slotOf(slots: Map<number, number[]>, at: number, stepMs: number, perDay: number): number[] | null {
  if (perDay < 8) return null;
  const time = Math.floor((at % dayMs) / stepMs);
  const values = slots.get(time) ?? [];
  slots.set(time, values);
  return values;
}

function usual(slot: number[] | null, recent: number[]): number | null {
  if (slot && slot.length >= 2) return median(slot);
  return recent.length >= shortSpan ? median(recent) : null;
}

/** Log ratio of the recent variability to the long-term one. */
function variabilityLogRatio(near: number, far: number, floor: number): number {
  const least = 0.05 * far + floor;
  return least === 0 ? 0 : Math.abs(Math.log((near + least) / (far + least)));
}

function momentsOf(values: readonly number[]): { mean: number; spread: number } {
  let [mean, squares] = [0, 0];
  for (const [i, value] of values.entries()) {
    const apart = value - mean;
    mean += apart / (i + 1);
    squares += apart * (value - mean);
  }
  return { mean, spread: values.length > 0 ? Math.sqrt(squares / values.length) : 0 };
}

function keep(list: number[], value: number, most: number): void {
  list.push(value);
  if (list.length > most) list.shift();
}
