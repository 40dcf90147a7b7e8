import { InvalidArgumentError } from 'commander';
import { parseTime } from '#kernel/time-text.ts';

/** Units of an age, in milliseconds. */
const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * A time as the API takes it: an age such as 90m, 6h, 7d or 2w counts back from now, a date is its midnight (UTC). For
 * Commander's options, which pass the value only.
 * @throws InvalidArgumentError, to which Commander adds the name of the option
 */
export function timeOf(text: string): string {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(text.trim()) ?? [];
  if (count !== undefined) return new Date(Date.now() - Number(count) * units[unit!]!).toISOString();
  if (Number.isNaN(parseTime(text.trim())))
    throw new InvalidArgumentError(
      'It must be a date, an ISO 8601 time (UTC if it has no zone), or an age such as 90m, 6h or 7d.',
    );
  return new Date(parseTime(text.trim())).toISOString();
}
