/** Units of an age, in milliseconds. */
const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * A time as the API takes it: an age such as 90m, 6h, 7d or 2w counts back from now, anything else stays as it is. For
 * Commander's options, which pass the value only.
 */
export function timeOf(text: string): string {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(text.trim()) ?? [];
  return count === undefined ? text : new Date(Date.now() - Number(count) * units[unit!]!).toISOString();
}
