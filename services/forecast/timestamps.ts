import { parseLocalTime } from '#kernel/time-text.ts';
import { localClock } from '#kernel/time-zone.ts';

/**
 * Reads the timestamps of a request: their instants in milliseconds, and the offsets from UTC that they state. Without an
 * offset a time is of the time zone, or UTC. A local time that occurs twice, at the end of daylight saving time, is the
 * first of the two for the first row that has it, and the second for the next one.
 */
export function readTimestamps(texts: readonly string[], timeZone: string | undefined) {
  const clock = localClock(timeZone ?? 'UTC');
  const read = texts.map(parseLocalTime);
  const descending = (read[0]?.local ?? 0) > (read.at(-1)?.local ?? 0);
  const seen = new Map<number, number>();
  const times = read.map(({ local, offset }) => {
    if (offset !== null) return local - offset;
    const instants = clock.instantsOf(local);
    const before = seen.get(local) ?? 0;
    seen.set(local, before + 1);
    return (descending ? instants.toReversed() : instants)[Math.min(before, instants.length - 1)]!;
  });
  return { times, offsets: read.flatMap(({ offset }) => offset ?? []) };
}
