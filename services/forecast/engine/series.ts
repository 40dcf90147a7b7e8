import { invalid } from '#kernel/errors.ts';
import {
  type Frequency,
  frequencyText,
  type Grid,
  gridTime,
  meanStep,
  nearestSlot,
  type WantedFrequency,
} from './calendar.ts';
import { inferGrid } from './infer-grid.ts';
import { detectSupport, type Support } from './support.ts';

/**
 * A series as members get it: evenly spaced, complete, finite. `periods`: season lengths in steps, shortest first;
 * `step`: mean milliseconds between two values, null if unknown; `grid`: null for a series without timestamps.
 */
export type Series = {
  values: Float64Array;
  periods: number[];
  step: number | null;
  grid: Grid | null;
  support: Support;
};

/** Time of a step in milliseconds; null without timestamps. */
export const timeAt = ({ grid }: Pick<Series, 'grid'>, index: number): number | null => grid && gridTime(grid, index);

export type Prepared = {
  series: Series;
  /** Missing steps at the end of the series: they are forecast too. */
  trailing: number;
  /** Changes made to the series, as text. */
  notes: string[];
};

const hour = 3_600_000;
/** Days and weeks for steps below a day, then weeks and years. */
const clockPeriods = [24 * hour, 168 * hour, 365.25 * 24 * hour];

/** Larger values overflow when squared and summed. */
const largest = 1e150;
const maxPoints = 20_000;
/** Maximum number of missing steps at the end, which are forecast before the requested ones. */
const maxTrailing = 1_000;

/** What a request says about the times of a series; `step` in milliseconds. */
export type WantedTimes = {
  step?: number | null;
  frequency?: WantedFrequency | null;
  /** IANA zone; null: inferred. */
  timeZone?: string | null;
  periods?: number[] | null;
};

/** Values that the series can have; what is undefined is detected. */
export type WantedSupport = { [Field in keyof Support]?: Support[Field] | undefined };

/**
 * Puts a series on an even grid, fills its gaps and detects its seasons. Timestamps are milliseconds, in any order, one
 * per value, or null; `offsets` are the offsets from UTC that they were written with. Missing values are null or NaN.
 * @throws TowerError `invalid`: empty, values out of range, invalid timestamps, or timestamps too sparse for a grid
 */
export function prepareSeries(
  raw: readonly (number | null)[],
  times: readonly number[] | null,
  wanted: WantedTimes = {},
  offsets: readonly number[] = [],
  declared: WantedSupport = {},
): Prepared {
  const notes: string[] = [];
  const placed = times ? onGrid(raw, times, offsets, wanted, notes) : withoutTimes(raw, wanted);
  const { grid, step, seasons } = placed;
  let { values } = placed;
  for (const [index, value] of values.entries())
    if (Math.abs(value) > largest)
      throw invalid(`the value at position ${index} is beyond ±${largest}`, { parameter: 'values' });
  const first = values.findIndex((value) => !Number.isNaN(value));
  if (first === -1) throw invalid('the series has no values', { parameter: 'values' });
  const last = values.findLastIndex((value) => !Number.isNaN(value));
  const trailing = values.length - 1 - last;
  if (trailing > maxTrailing)
    throw invalid(`the last ${trailing} values are missing; at most ${maxTrailing} are allowed`, {
      parameter: 'values',
    });
  const begin = Math.max(first, last + 1 - maxPoints);
  // If the cut falls into a gap, the series starts after it.
  values = values.slice(begin + values.slice(begin).findIndex((value) => !Number.isNaN(value)), last + 1);
  if (last + 1 - first > maxPoints) notes.push(`only the last ${maxPoints} points were used`);
  const missing = values.reduce((count, value) => count + (Number.isNaN(value) ? 1 : 0), 0);
  const periods = wanted.periods ?? seasons ?? foundPeriods(values);
  if (missing > values.length / 2)
    throw invalid(
      `${missing} of ${values.length} values are missing: too many to fill in${times ? ' (check the step)' : ''}`,
      { parameter: 'values' },
    );
  const usable = periods.filter((period) => Number.isInteger(period) && period > 1 && values.length >= 2 * period);
  if (missing > 0) {
    fillGaps(values, usable[0] ?? 1);
    notes.push(`${missing} of ${values.length} missing values were filled in`);
  }
  if (trailing > 0) notes.push(`the last ${trailing} values are missing; the forecast starts after them`);
  const shifted = grid && { ...grid, first: grid.first + last + 1 - values.length };
  return {
    series: { values, periods: usable, step, grid: shifted, support: supportOf(raw, declared) },
    trailing,
    notes,
  };
}

function supportOf(raw: readonly (number | null)[], declared: WantedSupport): Support {
  const detected = detectSupport(raw);
  const { lower = detected.lower, upper = detected.upper, integer = detected.integer } = declared;
  return { lower, upper, integer };
}

type Placed = { values: Float64Array; grid: Grid | null; step: number | null; seasons: number[] | null };

function withoutTimes(raw: readonly (number | null)[], { step = null, frequency }: WantedTimes): Placed {
  const values = Float64Array.from(raw, (value) => finiteOrNaN(value));
  if (step !== null || !frequency)
    return { values, grid: null, step, seasons: step === null ? null : periodsOfStep(step) };
  const known: Frequency = frequency.unit === 'month' ? { ...frequency, day: frequency.day ?? 1 } : frequency;
  return { values, grid: null, step: meanStep(known), seasons: periodsOf(known) };
}

const finiteOrNaN = (value: number | null): number => (value !== null && Number.isFinite(value) ? value : Number.NaN);

/** Several values of one step are averaged. */
function onGrid(
  raw: readonly (number | null)[],
  times: readonly number[],
  offsets: readonly number[],
  wanted: WantedTimes,
  notes: string[],
): Placed {
  if (times.length !== raw.length)
    throw invalid(`timestamps must have as many elements as values, ${raw.length} (got ${times.length})`, {
      parameter: 'timestamps',
    });
  const points = raw.map((value, i) => ({ at: times[i]!, value: finiteOrNaN(value) })).sort((a, b) => a.at - b.at);
  const wrong = points.find(({ at }) => !Number.isFinite(at));
  if (wrong) throw invalid('timestamps must be ISO 8601 times with a zone', { parameter: 'timestamps' });
  const grid = gridOf(
    points.map(({ at }) => at),
    offsets,
    wanted,
    notes,
  );
  if (!grid) return { values: Float64Array.from(points, ({ value }) => value), grid, step: null, seasons: null };
  const slots = points.map(({ at }) => nearestSlot(grid, at));
  const first = slots.reduce((least, slot) => Math.min(least, slot));
  const count = slots.reduce((most, slot) => Math.max(most, slot)) - first + 1;
  const step = meanStep(grid.frequency);
  if (count > 10 * raw.length + 1000)
    throw invalid(`${raw.length} values over ${count} steps of ${frequencyText(grid.frequency)} are too sparse`, {
      parameter: 'timestamps',
    });
  const [sums, counts] = [new Float64Array(count), new Float64Array(count)];
  for (const [i, { value }] of points.entries()) {
    const slot = slots[i]! - first;
    if (Number.isNaN(value)) continue;
    sums[slot] = sums[slot]! + value;
    counts[slot] = counts[slot]! + 1;
  }
  if (counts.some((n) => n > 1)) notes.push('several values of one time step were averaged');
  const values = sums.map((sum, i) => sum / counts[i]!);
  return { values, grid: { ...grid, first }, step, seasons: periodsOf(grid.frequency) };
}

/** Null for a single time whose step is not requested. */
function gridOf(sorted: number[], offsets: readonly number[], wanted: WantedTimes, notes: string[]): Grid | null {
  const times = sorted.filter((at, i) => i === 0 || at !== sorted[i - 1]);
  const { step = null, frequency = null, timeZone = null } = wanted;
  if (times.length === 0) return null;
  if (step !== null) {
    const fixed: Frequency = { unit: 'elapsed', every: step };
    return { frequency: fixed, timeZone: timeZone ?? 'UTC', origin: times[0]!, first: 0 };
  }
  if (times.length === 1 && !frequency) {
    if (sorted.length === 1) return null;
    throw invalid('all timestamps are the same', { parameter: 'timestamps' });
  }
  const { grid, irregular } = inferGrid({ times, offsets: [...offsets] }, frequency, timeZone);
  if (irregular)
    notes.push(
      `the timestamps fit no calendar frequency; steps of ${frequencyText(grid.frequency)} are used (set frequency to change this)`,
    );
  return grid;
}

/** Seasons suggested by the frequency. */
function periodsOf(frequency: Frequency): number[] {
  if (frequency.unit === 'month') return 12 % frequency.every === 0 ? [12 / frequency.every] : [];
  if (frequency.unit !== 'weekdays') return periodsOfStep(frequency.every);
  const week = frequency.weekdays.length;
  return [week, Math.round((365.25 / 7) * week)];
}

const isMonthLong = (step: number): boolean => step >= 27 * 24 * hour && step <= 32 * 24 * hour;

/** Seasons suggested by the step; members detect whether they exist. */
export function periodsOfStep(step: number): number[] {
  const periods = clockPeriods.map((length) => Math.round(length / step)).filter((period) => period >= 4);
  // For daily steps the week is the shortest season; for monthly steps the year has twelve.
  if (isMonthLong(step)) return [12];
  return step < 24 * hour ? periods.slice(0, 2) : periods;
}

/**
 * Season of a series without timestamps: the lag of the highest peak of the autocorrelation after detrending, if it is
 * significant. One season or none.
 */
function foundPeriods(given: Float64Array): number[] {
  const values = given.filter((value) => !Number.isNaN(value));
  const n = values.length;
  if (n < 12) return [];
  const slope = (values[n - 1]! - values[0]!) / (n - 1);
  const center = values.reduce((total, value, i) => total + value - slope * i, 0) / n;
  const flat = values.map((value, i) => value - slope * i - center);
  const power = flat.reduce((total, value) => total + value * value, 0);
  if (power === 0) return [];
  const most = Math.min(Math.floor(n / 3), 400);
  const shared = Array.from({ length: most + 2 }, (_, lag) => {
    let total = 0;
    for (let i = lag; i < n; i += 1) total += flat[i]! * flat[i - lag]!;
    return (total / power) * (n / (n - lag));
  });
  let best = 0;
  for (let lag = 2; lag <= most; lag += 1) {
    const isPeak = shared[lag]! > shared[lag - 1]! && shared[lag]! >= shared[lag + 1]!;
    if (
      isPeak &&
      shared[lag]! > Math.max(0.3, 3 / Math.sqrt(n)) &&
      shared[lag]! > (shared[best === 0 ? most + 1 : best] ?? 0) * 1.02
    )
      best = lag;
  }
  return best > 1 ? [best] : [];
}

/**
 * Short gaps are interpolated linearly; longer ones are filled with the previous (or next) season, shifted to fit the
 * ends.
 */
function fillGaps(values: Float64Array, period: number): void {
  for (let from = 0; from < values.length; from += 1) {
    if (!Number.isNaN(values[from]!)) continue;
    let to = from;
    while (Number.isNaN(values[to]!)) to += 1;
    const [before, after] = [values[from - 1]!, values[to]!];
    const length = to - from + 1;
    const like = (i: number) => (period > 1 && length > period / 4 ? (values[i - period] ?? Number.NaN) : Number.NaN);
    const seasonal = [like(from - 1), like(to)];
    for (let i = from; i < to; i += 1) {
      const share = (i - from + 1) / length;
      const line = before + (after - before) * share;
      const shape = like(i) - (seasonal[0]! + (seasonal[1]! - seasonal[0]!) * share);
      values[i] = Number.isNaN(shape) ? line : line + shape;
    }
    from = to;
  }
}
