import { mean, median } from '#kernel/stats.ts';
import { localClock } from '#kernel/time-zone.ts';
import {
  businessDays,
  type DayOfMonth,
  dayInMonth,
  dayMs,
  type Frequency,
  type Grid,
  monthOf,
  nearestSlot,
  type WantedFrequency,
  weekdayOf,
} from './calendar.ts';

/** Finds the grid of times that the timestamps of a series lie on: a fixed step, or a calendar frequency. */

/** Timestamps are distinct milliseconds in ascending order; `offsets` are those written in the timestamps. */
export type Timestamps = { times: number[]; offsets: number[] };

/** Steps shorter than this are elapsed time: a day has at least 23 hours, and times may scatter. */
const shortestDay = 20 * 3_600_000;

/**
 * The coarsest frequency whose times are those of all rows. Rows may be missing, repeated, or scatter around the times
 * of the grid.
 * @param wanted - a requested frequency; only its phase is then inferred
 * @param timeZone - null: that of the offsets, or the zone in which all rows have the same time of day, or UTC
 */
export function inferGrid(
  { times, offsets }: Timestamps,
  wanted: WantedFrequency | null,
  timeZone: string | null,
): { grid: Grid; irregular: boolean } {
  const step = stepOf(times);
  const elapsed = wanted ? wanted.unit === 'elapsed' : step < shortestDay;
  const zones = timeZone === null ? zonesOf(times, offsets, elapsed) : [timeZone];
  if (elapsed) {
    const grid = elapsedGrid(times, wanted?.unit === 'elapsed' ? wanted.every : step, zones[0]!, wanted !== null);
    return { grid, irregular: false };
  }
  const best = zones
    .map((zone) => calendarGrid(times, zone, wanted))
    .reduce((least, found) => (found.rank < least.rank ? found : least));
  return best.grid
    ? { grid: best.grid, irregular: false }
    : { grid: elapsedGrid(times, step, zones[0]!, false), irregular: true };
}

/** The calendar frequency of the rows in a zone. A lower rank is a more likely one. */
function calendarGrid(times: number[], timeZone: string, wanted: WantedFrequency | null) {
  const locals = times.map(localClock(timeZone).localOf);
  const hour = usualTimeOfDay(locals);
  const days = distinct(
    locals.map((local) => (hour === null ? Math.floor(local / dayMs) : Math.round((local - hour) / dayMs))),
  );
  const exact = wanted ? phased(wanted, days) : exactFrequency(days);
  const found = exact ?? scatteredFrequency(days);
  if (!found) return { grid: null, rank: 10 };
  const { frequency, day } = found;
  const rare =
    (frequency.unit === 'month' && typeof frequency.day === 'number' && frequency.day !== 1) ||
    (frequency.unit === 'weekdays' && frequency.weekdays.join() !== businessDays.join());
  const rank = (exact ? (rare ? 2 : 0) : 4) + (hour === 0 || timeZone === 'UTC' ? 0 : 1);
  return { grid: { frequency, timeZone, origin: day * dayMs + (hour ?? 0), first: 0 }, rank };
}

const distinct = (sorted: number[]): number[] => sorted.filter((value, i) => i === 0 || value !== sorted[i - 1]);
const differences = (sorted: number[]): number[] => sorted.slice(1).map((value, i) => value - sorted[i]!);
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Typical time between rows. Rows that are repeated a little later do not count, if the others are regular. */
function stepOf(times: number[]): number {
  const gaps = differences(times).sort((a, b) => a - b);
  const upper = gaps[Math.floor(gaps.length * 0.75)]!;
  const large = gaps.filter((gap) => gap >= upper / 10);
  const step = median(large);
  const isEven = (gap: number) => Math.abs(gap - step * Math.round(gap / step)) < step / 4;
  return large.length > 2 && large.filter(isEven).length >= 0.8 * large.length ? step : median(gaps);
}

const roundSteps = [
  ...[1, 2, 5, 10, 15, 20, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => hours * 3_600_000),
];

/** A grid of a fixed step; a round one if the rows keep to it. `given`: the step is requested. */
function elapsedGrid(times: number[], step: number, timeZone: string, given: boolean): Grid {
  const grid = (every: number): Grid => {
    const frequency: Frequency = { unit: 'elapsed', every };
    return { frequency, timeZone, origin: phaseOf(times, every), first: 0 };
  };
  if (given || isOn(times, step)) return grid(step);
  // Errors of the step add up over the series, so it is measured over the whole of it.
  const count = differences(times).reduce((sum, gap) => sum + Math.round(gap / step), 0);
  const measured = (times.at(-1)! - times[0]!) / count;
  const near = roundSteps.filter((round) => Math.abs(round / measured - 1) < 0.1);
  const scatter = scatterOf(times, measured);
  return grid(near.find((round) => scatterOf(times, round) < 1.5 * scatter) ?? measured);
}

/** Mean distance of the rows from the grid. */
function scatterOf(times: number[], step: number): number {
  const phase = phaseOf(times, step);
  return mean(times.map((time) => Math.abs(time - phase - step * Math.round((time - phase) / step))));
}

const isOn = (times: number[], step: number): boolean =>
  times.filter((time) => (time - times[0]!) % step === 0).length > 0.9 * times.length;

/** A time of the grid near the first row: the phase of most rows, or else the mean one. */
function phaseOf(times: number[], step: number): number {
  const first = times[0]!;
  const phases = times.map((time) => (((time - first) % step) + step) % step);
  const phase = usualOf(phases, step) ?? meanPhase(phases, step);
  return first + (phase > step / 2 ? phase - step : phase);
}

/** Value of at least half of a cyclic quantity; null if there is none. */
function usualOf(phases: number[], cycle: number): number | null {
  const counts = new Map<number, number>();
  for (const phase of phases) counts.set(phase % cycle, (counts.get(phase % cycle) ?? 0) + 1);
  const [usual, most] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), [0, 0]);
  return 2 * most >= phases.length ? usual : null;
}

function meanPhase(phases: number[], cycle: number): number {
  const turn = (2 * Math.PI) / cycle;
  const sum = (of: (angle: number) => number) => phases.reduce((total, phase) => total + of(turn * phase), 0);
  const angle = Math.atan2(sum(Math.sin), sum(Math.cos));
  return Math.round((angle < 0 ? angle + 2 * Math.PI : angle) / turn) % cycle;
}

const quarterHour = 900_000;

/** Time of day of the rows, in milliseconds; null if they are spread over the day. */
function usualTimeOfDay(locals: number[]): number | null {
  const phases = locals.map(phaseOfDay);
  const usual = usualOf(phases, dayMs);
  if (usual !== null) return usual;
  const center = meanPhase(phases, dayMs);
  const apart = phases.map((phase) => Math.min(Math.abs(phase - center), dayMs - Math.abs(phase - center)));
  if (apart.filter((distance) => distance < dayMs / 6).length < 0.9 * phases.length) return null;
  const round = quarterHour * Math.round(center / quarterHour);
  return Math.abs(center - round) < mean(apart) ? round % dayMs : center;
}

/** Zones with daylight saving time, one for each set of rules. The rules of the others follow from an offset. */
const seasonalZones = [
  'Europe/Berlin',
  'America/New_York',
  'Europe/London',
  'America/Los_Angeles',
  'America/Chicago',
  'America/Denver',
  'Europe/Helsinki',
  'Australia/Sydney',
  'Pacific/Auckland',
  'America/Halifax',
  'America/St_Johns',
  'America/Anchorage',
  'America/Santiago',
  'America/Havana',
  'Asia/Jerusalem',
  'Asia/Beirut',
  'Africa/Cairo',
  'Africa/Casablanca',
  'Australia/Adelaide',
  'Australia/Lord_Howe',
  'Atlantic/Azores',
  'Europe/Chisinau',
];

/** Zones of the offsets in the timestamps, or in which daily rows have the same time of day. */
function zonesOf(times: number[], offsets: number[], elapsed: boolean): string[] {
  const written = new Set(offsets);
  if (written.size === 1 && offsets[0] !== 0) return [offsetName(offsets[0]!)];
  if (written.size > 1) {
    const fits = (zone: string) => {
      const { localOf } = localClock(zone);
      return times.every((time) => written.has(localOf(time) - time));
    };
    return [seasonalZones.find(fits) ?? 'UTC'];
  }
  if (elapsed) return ['UTC'];
  if (hasSameTimeOfDay(times)) return ['UTC', ...zoneWithMidnightAt(times[0]!)];
  const zones = seasonalZones.filter((zone) => hasSameTimeOfDay(times.map(localClock(zone).localOf)));
  return zones.length > 0 ? zones : ['UTC'];
}

const phaseOfDay = (local: number): number => ((local % dayMs) + dayMs) % dayMs;
const hasSameTimeOfDay = (locals: number[]): boolean =>
  locals.every((local) => phaseOfDay(local) === phaseOfDay(locals[0]!));

/** Dates of a zone east or west of UTC are often written as the UTC times of their midnights. */
function zoneWithMidnightAt(time: number): string[] {
  const phase = phaseOfDay(time);
  const offset = phase >= dayMs - 14 * 3_600_000 ? dayMs - phase : -phase;
  return phase > 0 && phase % quarterHour === 0 ? [offsetName(offset)] : [];
}

function offsetName(offset: number): string {
  const minutes = Math.abs(offset) / 60_000;
  const digits = (value: number) => String(value).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${digits(Math.floor(minutes / 60))}:${digits(minutes % 60)}`;
}

type Found = { frequency: Frequency; day: number };

/** A frequency on whose dates all days lie. */
function exactFrequency(days: number[]): Found | null {
  if (days.length < 2) return null;
  return monthFrequency(days) ?? dayFrequency(days);
}

function monthFrequency(days: number[]): Found | null {
  const months = days.map((day) => monthOf(day * dayMs));
  const gaps = differences(months);
  if (gaps.includes(0)) return null;
  const dates = days.map((day) => new Date(day * dayMs).getUTCDate());
  // Some month's first or last business day is also its first or last day, or all of few may be.
  const enough = days.length > 3 ? (['business start', 'business end'] as const) : [];
  const day = ([1, 'end', Math.max(...dates), ...enough] as DayOfMonth[]).find((each) =>
    days.every((known, i) => dayInMonth(months[i]!, each) === known),
  );
  return day === undefined ? null : { frequency: { unit: 'month', every: gaps.reduce(gcd), day }, day: days[0]! };
}

function dayFrequency(days: number[]): Found | null {
  const step = differences(days).reduce(gcd);
  const span = days.at(-1)! - days[0]! + 1;
  const every = { frequency: { unit: 'clock' as const, every: step * dayMs }, day: days[0]! };
  if (step % 7 === 0) return every;
  const counts = Array.from({ length: 7 }, (_, weekday) => days.filter((day) => weekdayOf(day) === weekday).length);
  const seen = [0, 1, 2, 3, 4, 5, 6].filter((weekday) => counts[weekday]! > 0);
  const isBusiness = seen.every((weekday) => businessDays.includes(weekday)) && seen.length > 3;
  const weekdays = isBusiness ? businessDays : seen;
  const slots = (weekdays.length * span) / 7;
  // A weekend without rows may be a gap; two are not.
  if (isBusiness && days.length > 0.8 * slots && span > 7)
    return { frequency: { unit: 'weekdays', weekdays }, day: days[0]! };
  if (seen.length < 7 && span > 20 && days.length > 0.6 * slots && seen.every((weekday) => counts[weekday]! > 1))
    return { frequency: { unit: 'weekdays', weekdays }, day: days[0]! };
  return days.length * step >= span / 2 ? every : null;
}

/** Weeks, months and years whose days scatter by at most a third of a step. */
function scatteredFrequency(days: number[]): Found | null {
  if (days.length < 4) return null;
  const step = median(differences(days));
  const candidates: WantedFrequency[] = [
    ...[7, 14].map((length) => ({ unit: 'clock' as const, every: length * dayMs })),
    ...[1, 2, 3, 6, 12].map((every) => ({ unit: 'month' as const, every, day: null })),
  ];
  const near = candidates.find((each) => {
    const length = each.unit === 'month' ? each.every * 30.44 : (each as { every: number }).every / dayMs;
    return Math.abs(step / length - 1) < 0.12;
  });
  if (!near) return null;
  const found = phased(near, days);
  const grid: Grid = { frequency: found.frequency, timeZone: 'UTC', origin: found.day * dayMs, first: 0 };
  const slots = days.map((day) => nearestSlot(grid, day * dayMs));
  return new Set(slots).size >= 0.9 * days.length ? found : null;
}

/** A requested frequency, with the day of the month and the phase that most days have. */
function phased(wanted: WantedFrequency, days: number[]): Found {
  const first = days[0]!;
  if (wanted.unit === 'weekdays') {
    const day = Array.from({ length: 7 }, (_, i) => first - i).find((each) =>
      wanted.weekdays.includes(weekdayOf(each)),
    );
    return { frequency: wanted, day: day! };
  }
  if (wanted.unit !== 'month') {
    const every = wanted.every / dayMs;
    return { frequency: wanted, day: phaseOf(days, every) };
  }
  const day = wanted.day ?? usualDayOfMonth(days);
  // The month of the phase that most rows have, among the months of one step.
  const months = days.map((each) => nearestMonth(each, day));
  return { frequency: { ...wanted, day }, day: dayInMonth(phaseOf(months, wanted.every), day) };
}

function nearestMonth(day: number, anchor: DayOfMonth): number {
  const month = monthOf(day * dayMs);
  const apart = (each: number) => Math.abs(dayInMonth(each, anchor) - day);
  return [month - 1, month, month + 1].reduce((best, each) => (apart(each) < apart(best) ? each : best));
}

/** The day of the month of most rows, or else their mean one. */
function usualDayOfMonth(days: number[]): DayOfMonth {
  const months = days.map((day) => monthOf(day * dayMs));
  const dates = days.map((day) => new Date(day * dayMs).getUTCDate());
  const matches = (each: DayOfMonth) => days.filter((day, i) => dayInMonth(months[i]!, each) === day).length;
  const candidates: DayOfMonth[] = [1, 'end', Math.max(...dates), 'business start', 'business end', ...new Set(dates)];
  const best = candidates.reduce((most, each) => (matches(each) > matches(most) ? each : most));
  return 2 * matches(best) >= days.length ? best : Math.max(1, Math.round(meanPhase(dates, 30.44)));
}
