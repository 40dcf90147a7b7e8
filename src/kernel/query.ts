import { invalid, type TowerError } from './errors.ts';
import { parseTime } from './time-text.ts';

/** Parsers of query parameters; each error names the parameter and its rule. */

export const invalidParameter = (parameter: string, rule: string, value: unknown): TowerError =>
  invalid(`${parameter} ${rule} (got ${JSON.stringify(value)})`, { parameter, constraint: rule, value });

/** @throws TowerError `invalid` */
export function wholeNumber(parameter: string, text: string, min: number, max: number): number {
  const value = /^(0|-?[1-9]\d{0,14})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw invalidParameter(parameter, `must be an integer between ${min} and ${max}`, text);
  return value;
}

/** A count from 1 to `max`, or the default if the parameter is missing. @throws TowerError `invalid` */
export const countOr = (parameter: string, text: string | undefined, preset: number, max: number): number =>
  text === undefined ? preset : wholeNumber(parameter, text, 1, max);

/** @throws TowerError `invalid` */
export function decimalNumber(parameter: string, text: string, min: number, max: number): number {
  const value = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw invalidParameter(parameter, `must be a number between ${min} and ${max}`, text);
  return value;
}

/**
 * A time in milliseconds: an ISO 8601 time, in UTC if it has no zone, or a date, which means 00:00 UTC.
 * @throws TowerError `invalid`
 */
export function moment(parameter: string, text: string): number {
  const at = parseTime(text);
  // The years that both calendars and the clocks here can represent.
  if (!(at >= 0 && at < Date.UTC(9_000, 0)))
    throw invalidParameter(
      parameter,
      'must be a date or an ISO 8601 time, such as 2026-11-20 or 2026-11-20T10:30:00Z',
      text,
    );
  return at;
}

/** `true` or `false`; false if it is not given. @throws TowerError `invalid` */
export function flag(parameter: string, text: string | undefined): boolean {
  if (text === undefined || text === 'true' || text === 'false') return text === 'true';
  throw invalidParameter(parameter, 'must be true or false', text);
}
