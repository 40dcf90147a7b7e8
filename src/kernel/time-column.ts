import { invalid } from './errors.ts';
import { parseTime } from './time-text.ts';

/** Times of a column of text, in ISO 8601 and the other forms that programs and spreadsheets write. */

export type DateOrder = 'day-first' | 'month-first';
/** `times`: ISO 8601, with the offset of the text if it states one. `form`: the form in words. */
export type TimeColumn = { times: string[]; form: string };

type Form = { name: string; read: (cell: string) => string | null };

const two = (text: string | number): string => String(text).padStart(2, '0');
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const dayMs = 86_400_000;

/** Hours, minutes and seconds, an AM or PM, and an offset or UTC; 24:00 is not allowed. */
const clock = String.raw`(?:,?[ T]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:\s*([ap])\.?m\.?)?\s*(z|utc|gmt|[+-]\d\d(?::?\d\d)?)?)?`;

/** ISO 8601 of a date and the groups of `clock`; null if the hour does not exist. */
function timeText(year: string, month: string | number, day: string, parts: (string | undefined)[]): string | null {
  const [hour = '0', minute = '00', second = '00', fraction, half, zone = ''] = parts;
  if (half && (Number(hour) < 1 || Number(hour) > 12)) return null;
  const hours = half ? (Number(hour) % 12) + (half.toLowerCase() === 'p' ? 12 : 0) : hour;
  const offset = /^(z|utc|gmt)$/i.test(zone)
    ? 'Z'
    : zone.replace(/^(...):?(\d\d)?$/, (_, hours, minutes = '00') => `${hours}:${minutes}`);
  const text = `${year}-${two(month)}-${two(day)}T${two(hours)}:${minute}:${second}${fraction ? `.${fraction}` : ''}${offset}`;
  return Number.isNaN(parseTime(text)) ? null : text;
}

const matched = (pattern: string, build: (...groups: string[]) => string | null): Form['read'] => {
  const expression = new RegExp(`^${pattern}$`, 'i');
  return (cell) => {
    const found = expression.exec(cell);
    return found && build(...found.slice(1));
  };
};

const epoch = (name: string, digits: string, perMs: number): Form => ({
  name,
  read: matched(String.raw`(-?\d{${digits}}(?:\.\d+)?)`, (text) =>
    new Date(Math.round(Number(text) / perMs)).toISOString(),
  ),
});

const named = (day: string, month: string, year: string, parts: string[]): string | null => {
  const index = months.indexOf(month.slice(0, 3).toLowerCase());
  return index < 0 ? null : timeText(year, index + 1, day, parts);
};
const weekday = String.raw`(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?`;

const forms: Form[] = [
  {
    name: 'ISO 8601',
    read: matched(String.raw`(\d{4})-(\d\d)-(\d\d)${clock}`, (y, m, d, ...rest) => timeText(y, m, d, rest)),
  },
  {
    name: 'year/month/day',
    read: matched(String.raw`(\d{4})[/.](\d{1,2})[/.](\d{1,2})${clock}`, (y, m, d, ...rest) => timeText(y, m, d, rest)),
  },
  {
    name: 'day.month.year',
    read: matched(String.raw`(\d{1,2})\.(\d{1,2})\.(\d{4})${clock}`, (d, m, y, ...rest) => timeText(y, m, d, rest)),
  },
  {
    name: 'day month year',
    read: matched(String.raw`${weekday}(\d{1,2})[ -]([a-z]{3,9})\.?[ -](\d{4})${clock}`, (d, m, y, ...rest) =>
      named(d, m, y, rest),
    ),
  },
  {
    name: 'month day, year',
    read: matched(String.raw`${weekday}([a-z]{3,9})\.? (\d{1,2}),? (\d{4})${clock}`, (m, d, y, ...rest) =>
      named(d, m, y, rest),
    ),
  },
  { name: 'year-month', read: matched(String.raw`(\d{4})[-/](\d\d)`, (y, m) => timeText(y, m, '1', [])) },
  { name: 'month year', read: matched(String.raw`([a-z]{3,9})\.?[ -](\d{4})`, (m, y) => named('1', m, y, [])) },
  {
    name: 'year and quarter',
    read: matched(String.raw`(\d{4})[- ]?q([1-4])`, (y, q) => timeText(y, 3 * Number(q) - 2, '1', [])),
  },
  { name: 'year and ISO week', read: matched(String.raw`(\d{4})-?w(\d\d)`, mondayOf) },
  { name: 'year', read: matched(String.raw`([12]\d{3})`, (y) => timeText(y, 1, '1', [])) },
  {
    name: 'yearmonthday',
    read: matched(String.raw`(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)?(Z)?)?`, (y, m, d, hour, minute, second, zone) =>
      timeText(y, m, d, hour ? [hour, minute, second, undefined, undefined, zone] : []),
    ),
  },
  {
    name: 'spreadsheet days',
    read: matched(String.raw`([2-7]\d{4}(?:\.\d+)?)`, (days) =>
      new Date(Math.round((Number(days) - 25_569) * dayMs)).toISOString(),
    ),
  },
  epoch('Unix time in seconds', '9,11', 1e-3),
  epoch('Unix time in milliseconds', '12,14', 1),
  epoch('Unix time in microseconds', '15,17', 1e3),
  epoch('Unix time in nanoseconds', '18,20', 1e6),
];

const slashed = (order: DateOrder): Form => ({
  name: order === 'day-first' ? 'day/month/year' : 'month/day/year',
  read: matched(String.raw`(\d{1,2})([/-])(\d{1,2})\2(\d{4})${clock}`, (a, _, b, y, ...rest) =>
    order === 'day-first' ? timeText(y, b, a, rest) : timeText(y, a, b, rest),
  ),
});

/** Monday of an ISO week; week 1 has 4 January. */
function mondayOf(...[year, week]: string[]): string | null {
  const january = Date.UTC(Number(year), 0, 4);
  const first = january - ((new Date(january).getUTCDay() + 6) % 7) * dayMs;
  const monday = new Date(first + (Number(week) - 1) * 7 * dayMs);
  const thursday = new Date(monday.getTime() + 3 * dayMs);
  return Number(week) >= 1 && thursday.getUTCFullYear() === Number(year) ? monday.toISOString() : null;
}

export const timeForms =
  'ISO 8601, year/month/day, day.month.year, day/month/year, month/day/year, a month name, a year with a month, quarter or week, Unix times, or spreadsheet days';

/**
 * Reads all cells in the same form: the first one that all cells allow.
 * @param order - of dates such as 3/4/2026; null: found in the cells
 * @throws TowerError `invalid`, with the row, for a cell that is no time, or if cells can be read in two ways
 */
export function readTimes(cells: readonly string[], name: string, order: DateOrder | null): TimeColumn {
  const texts = cells.map((cell) => cell.trim());
  const orders = order ? [slashed(order)] : [slashed('day-first'), slashed('month-first')];
  // Most files have one of the first forms, so a form is left at its first cell that does not fit.
  const found = [...forms, ...orders].filter(({ read }) => texts.every((text) => read(text) !== null));
  if (found.length > 1 && orders.every((each) => found.includes(each)))
    throw invalid(
      `${name} can be read with the day or the month first (${JSON.stringify(texts[0])}); state the order of dates`,
      { option: 'dates' },
    );
  const form = found[0];
  if (form) return { times: texts.map((text) => form.read(text)!), form: form.name };
  const all = [...forms, ...orders];
  const best = all.reduce((most, each) => (readable(each, texts) > readable(most, texts) ? each : most));
  const row = texts.findIndex((text) => best.read(text) === null);
  const others = readable(best, texts) > 0 ? `; the rows before are ${best.name}` : '';
  throw invalid(
    `${name} in row ${row + 1} must be a time (got ${JSON.stringify(texts[row]!.slice(0, 40))}${others}); accepted: ${timeForms}`,
  );
}

/** Number of cells before the first that the form does not allow. */
const readable = ({ read }: Form, texts: string[]): number => {
  const first = texts.findIndex((text) => read(text) === null);
  return first < 0 ? texts.length : first;
};
