import { z } from 'zod';

const pattern = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/**
 * Milliseconds since 1970 of an ISO 8601 time, or of a date, which is its midnight. Without a zone it is UTC. NaN for
 * anything else, including dates that do not exist: JavaScript takes 30 February for 2 March.
 */
export function parseTime(text: string): number {
  const { local, offset } = parseLocalTime(text);
  return local - (offset ?? 0);
}

/**
 * The same time as the clock shows it, in milliseconds as if that clock were UTC, and the offset from UTC that the text
 * states, in milliseconds; null if it states none.
 */
export function parseLocalTime(text: string): { local: number; offset: number | null } {
  const found = pattern.exec(text);
  if (!found) return { local: Number.NaN, offset: null };
  const part = (index: number) => Number(found[index] ?? 0);
  const [month, day, hour, minute, second] = [part(2), part(3), part(4), part(5), part(6)];
  const date = new Date(0);
  date.setUTCFullYear(part(1), month - 1, day);
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  const offset = found[8] === undefined ? null : offsetOf(found[8]);
  if (!exists || hour > 23 || minute > 59 || second > 59 || Number.isNaN(offset))
    return { local: Number.NaN, offset: null };
  const ms = Math.trunc(Number(found[7] ?? 0) * 1000);
  return { local: date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + ms, offset };
}

/** Milliseconds of Z, +02, +0230 or +02:30; NaN outside of ±23:59. */
function offsetOf(text: string): number {
  if (/^z$/i.test(text)) return 0;
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(3).replace(':', '') || 0)];
  if (hours > 23 || minutes > 59) return Number.NaN;
  return (text.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

/** An ISO 8601 time in a request body; without a zone it is UTC. */
export const timeText = () =>
  z.iso
    .datetime({ offset: true, local: true, error: 'must be an ISO 8601 time, such as 2026-11-20T10:30:00Z' })
    .overwrite((text) => (/(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`))
    // zod states no format for times that may have no zone; generated clients know a time by it.
    .meta({ format: 'date-time' });

/** An ISO 8601 time or date in a request body whose zone is read with other fields of the body. */
export const zonedTimeText = () =>
  z.union(
    [z.iso.datetime({ offset: true, local: true }).meta({ format: 'date-time' }), z.iso.date()],
    'must be an ISO 8601 time or date, such as 2026-11-20T10:30:00Z or 2026-11-20',
  );
