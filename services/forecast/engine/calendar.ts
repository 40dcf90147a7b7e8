import { localClock } from '#kernel/time-zone.ts';

/** Frequencies of time series, and the grids of times that they produce. Plain data: a grid is sent to worker threads. */

/** Day of the month; a day that a month does not have is its last one. Business days are Monday to Friday. */
export type DayOfMonth = number | 'end' | 'business start' | 'business end';

/**
 * `elapsed`: a number of milliseconds; `clock`: the same on the local clock, so that a day can have 23 or 25 hours;
 * `weekdays`: on these days of the week, 0 is Sunday; `month`: a number of months.
 */
export type Frequency =
  | { unit: 'elapsed' | 'clock'; every: number }
  | { unit: 'weekdays'; weekdays: number[] }
  | { unit: 'month'; every: number; day: DayOfMonth };

/** `origin`: time of slot 0, in milliseconds; local for all units but `elapsed`. `first`: slot of the first value. */
export type Grid = { frequency: Frequency; timeZone: string; origin: number; first: number };

const minuteMs = 60_000;
const hourMs = 3_600_000;
export const dayMs = 86_400_000;
const meanMonthMs = (365.25 / 12) * dayMs;
export const businessDays = [1, 2, 3, 4, 5];

/** Mean time between two values, in milliseconds. */
export function meanStep(frequency: Frequency): number {
  if (frequency.unit === 'weekdays') return (7 * dayMs) / frequency.weekdays.length;
  return frequency.unit === 'month' ? frequency.every * meanMonthMs : frequency.every;
}

/** Whether values belong to dates instead of times of day. */
export const isDated = (frequency: Frequency): boolean =>
  frequency.unit === 'weekdays' || frequency.unit === 'month' || frequency.every % dayMs === 0;

/** Month number of a local time, counted from the year 0. */
export const monthOf = (local: number): number => new Date(local).getUTCFullYear() * 12 + new Date(local).getUTCMonth();
export const weekdayOf = (day: number): number => (((day + 4) % 7) + 7) % 7;

/** Local midnight of day `date` of a month; the date may be 0 or beyond the end of the month. */
function dayOf(month: number, date: number): number {
  const time = new Date(0);
  time.setUTCFullYear(Math.floor(month / 12), month - 12 * Math.floor(month / 12), date);
  return time.getTime() / dayMs;
}

/** Day number, since 1970, of the values of a month. */
export function dayInMonth(month: number, day: DayOfMonth): number {
  const last = dayOf(month + 1, 0);
  if (day === 'end') return last;
  if (typeof day === 'number') return Math.min(dayOf(month, day), last);
  const from = day === 'business end' ? last : dayOf(month, 1);
  const weekday = weekdayOf(from);
  if (day === 'business end') return from - (weekday === 6 ? 1 : weekday === 0 ? 2 : 0);
  return from + (weekday === 6 ? 2 : weekday === 0 ? 1 : 0);
}

const timeOfDay = (local: number): number => local - dayMs * Math.floor(local / dayMs);

/** Local time of a slot (the instant for `elapsed`). */
function slotTime({ frequency, origin }: Grid, slot: number): number {
  if (frequency.unit === 'month')
    return dayInMonth(monthOf(origin) + slot * frequency.every, frequency.day) * dayMs + timeOfDay(origin);
  if (frequency.unit !== 'weekdays') return origin + slot * frequency.every;
  const { weekdays } = frequency;
  const day = Math.floor(origin / dayMs);
  const position = weekdays.indexOf(weekdayOf(day)) + slot;
  const week = Math.floor(position / weekdays.length);
  const sunday = day - weekdayOf(day);
  return (sunday + 7 * week + weekdays[position - week * weekdays.length]!) * dayMs + timeOfDay(origin);
}

/** Time of the value at `index`, in milliseconds; indexes beyond the series are its future. */
export function gridTime(grid: Grid, index: number): number {
  const local = slotTime(grid, grid.first + index);
  return grid.frequency.unit === 'elapsed' ? local : localClock(grid.timeZone).instantOf(local);
}

/** The same time on the local clock. */
export function gridLocalTime(grid: Grid, index: number): number {
  const local = slotTime(grid, grid.first + index);
  return grid.frequency.unit === 'elapsed' ? localClock(grid.timeZone).localOf(local) : local;
}

/** Slot whose time is nearest. On a day that is not in `weekdays`, the slot before it. */
export function nearestSlot(grid: Grid, at: number): number {
  const { frequency, origin } = grid;
  if (frequency.unit === 'elapsed') return Math.round((at - origin) / frequency.every);
  const local = localClock(grid.timeZone).localOf(at);
  if (frequency.unit === 'clock') return Math.round((local - origin) / frequency.every);
  if (frequency.unit === 'weekdays') {
    const { weekdays } = frequency;
    const day = Math.round((local - timeOfDay(origin)) / dayMs);
    const start = Math.floor(origin / dayMs);
    const weeks = (day - weekdayOf(day) - (start - weekdayOf(start))) / 7;
    const position = weekdays.findLastIndex((weekday) => weekday <= weekdayOf(day));
    return weeks * weekdays.length + position - weekdays.indexOf(weekdayOf(start));
  }
  const about = Math.round((monthOf(local) - monthOf(origin)) / frequency.every);
  const distance = (slot: number) => Math.abs(slotTime(grid, slot) - local);
  return [about - 1, about, about + 1].reduce((best, slot) => (distance(slot) < distance(best) ? slot : best));
}

const units: [string, number][] = [
  ['week', 7 * dayMs],
  ['day', dayMs],
  ['hour', hourMs],
  ['minute', minuteMs],
  ['second', 1000],
];
const monthUnits: [string, number][] = [
  ['year', 12],
  ['half-year', 6],
  ['quarter', 3],
  ['month', 1],
];
const weekdayNames = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const counted = (count: number, unit: string): string => (count === 1 ? unit : `${count} ${unit}s`);

/** A frequency in words, such as `15 minutes`, `business day`, `month end` or `quarter day 15`. */
export function frequencyText(frequency: Frequency): string {
  if (frequency.unit === 'weekdays') {
    if (frequency.weekdays.join() === businessDays.join()) return 'business day';
    return `weekdays ${frequency.weekdays.map((day) => weekdayNames[day]).join(', ')}`;
  }
  if (frequency.unit === 'month') {
    const [unit, months] = monthUnits.find(([, size]) => frequency.every % size === 0)!;
    const day =
      frequency.day === 1 ? 'start' : typeof frequency.day === 'number' ? `day ${frequency.day}` : frequency.day;
    return `${counted(frequency.every / months, unit)} ${day}`;
  }
  const [unit, size] = units.find(([, length]) => frequency.every % length === 0) ?? ['second', 1000];
  return counted(frequency.every / size, unit);
}

/** A requested frequency; `day` of a month is null if it comes from the timestamps. */
export type WantedFrequency =
  | Exclude<Frequency, { unit: 'month' }>
  | { unit: 'month'; every: number; day: DayOfMonth | null };

/** pandas' offset aliases, without the day or month after a hyphen. */
const aliases: Record<string, string> = {
  s: 'second',
  min: 'minute',
  t: 'minute',
  h: 'hour',
  d: 'day',
  b: 'business day',
  w: 'week',
  ms: 'month start',
  me: 'month end',
  m: 'month end',
  bms: 'month business start',
  bme: 'month business end',
  qs: 'quarter start',
  qe: 'quarter end',
  q: 'quarter end',
  bqs: 'quarter business start',
  bqe: 'quarter business end',
  ys: 'year start',
  ye: 'year end',
  y: 'year end',
  a: 'year end',
  bys: 'year business start',
  bye: 'year business end',
};

export const frequencyRule =
  'must be a frequency, such as 15 minutes, hour, day, business day, week, month start, month end, month day 15, quarter end, half-year start or year, or a pandas alias such as D, B, W, MS or QE';

/** Reads the words of `frequencyText` or a pandas alias; null for anything else. */
export function parseFrequency(text: string): WantedFrequency | null {
  const words = text
    .trim()
    .toLowerCase()
    .replace(/[_\s]+/g, ' ');
  const [, amount = '1', rest = ''] = /^(\d{1,6})?\s*(.+)$/.exec(words) ?? [];
  const count = Number(amount);
  const name = aliases[rest] ?? rest.replace(/^(second|minute|hour|day|week|month|quarter|half-year|year)s\b/, '$1');
  if (count < 1) return null;
  if (name === 'business day') return count === 1 ? { unit: 'weekdays', weekdays: businessDays } : null;
  if (name.startsWith('weekdays ')) {
    const weekdays = name
      .slice(9)
      .split(/, ?/)
      .map((day) => weekdayNames.findIndex((known) => known.toLowerCase() === day));
    return count === 1 && !weekdays.includes(-1)
      ? { unit: 'weekdays', weekdays: [...new Set(weekdays)].sort((a, b) => a - b) }
      : null;
  }
  const size = units.find(([unit]) => unit === name)?.[1];
  if (size !== undefined) return { unit: size * count >= dayMs ? 'clock' : 'elapsed', every: size * count };
  const [, unit = '', place = '', date] =
    /^(month|quarter|half-year|year)(?: (start|end|business start|business end|day ([1-9]|[12]\d|3[01])))?$/.exec(
      name,
    ) ?? [];
  const months = monthUnits.find(([known]) => known === unit)?.[1];
  if (months === undefined) return null;
  const day = date ? Number(date) : place === 'start' ? 1 : place === '' ? null : (place as DayOfMonth);
  return { unit: 'month', every: months * count, day };
}
