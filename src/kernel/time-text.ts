import { z } from 'zod';

const pattern = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(?:Z|([+-])(\d\d):?(\d\d))?)?$/i;

/**
 * Milliseconds since 1970 of an ISO 8601 time, or of a date, which is its midnight. Without a zone it is UTC. NaN for
 * anything else, including dates that do not exist: JavaScript takes 30 February for 2 March.
 */
export function parseTime(text: string): number {
  const found = pattern.exec(text);
  if (!found) return Number.NaN;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [, , , , , , , fraction = '.0', sign, offsetHours = '0', offsetMinutes = '0'] = found;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!exists || hour > 23 || minute > 59 || second > 59 || Number(offsetHours) > 23 || Number(offsetMinutes) > 59)
    return Number.NaN;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -1 : 1);
  const ms = Math.trunc(Number(fraction) * 1000);
  return date.getTime() + ((hour * 60 + minute - offset) * 60 + second) * 1000 + ms;
}

/** An ISO 8601 time in a request body; without a zone it is UTC. */
export const timeText = () =>
  z.iso
    .datetime({ offset: true, local: true, error: 'must be an ISO 8601 time, such as 2026-11-20T10:30:00Z' })
    .overwrite((text) => (/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`))
    // zod states no format for times that may have no zone; generated clients know a time by it.
    .meta({ format: 'date-time' });
