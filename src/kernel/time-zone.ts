/**
 * The clock of a time zone. Local times are milliseconds since 1970 as if the local clock were UTC, so that calendar
 * fields are read with the UTC functions of Date.
 */
export type LocalClock = {
  localOf(at: number): number;
  /** A local time that occurs twice is the first; one that is skipped is read with the offset before the gap. */
  instantOf(local: number): number;
  /** Both instants of a local time that occurs twice, else one. */
  instantsOf(local: number): number[];
};

const dayMs = 86_400_000;
/** Two offset changes within this time are not seen if the second undoes the first; the shortest known pause is a month. */
const blockMs = 7 * dayMs;

/** Whether the runtime knows the name: an IANA zone, `UTC` or an offset such as +09:00. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const clocks = new Map<string, LocalClock>();
/** Maximum number of weeks of a zone whose offsets are kept. */
const maxWeeks = 10_000;

/** @throws RangeError for an unknown zone */
export function localClock(name: string): LocalClock {
  const clock = clocks.get(name) ?? createClock(name);
  clocks.set(name, clock);
  return clock;
}

function createClock(name: string): LocalClock {
  if (name === 'UTC') return { localOf: (at) => at, instantOf: (local) => local, instantsOf: (local) => [local] };
  const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
  const read = (at: number): number => {
    const [, sign, hours, minutes, seconds = '0'] = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(format.format(at)) ?? [];
    if (sign === undefined) return 0;
    return (sign === '-' ? -1000 : 1000) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  };
  const starts = new Map<number, number>();
  const startOffset = (block: number): number => {
    const offset = starts.get(block) ?? read(block * blockMs);
    if (starts.size > maxWeeks) starts.clear();
    starts.set(block, offset);
    return offset;
  };
  // Formatting takes microseconds, so a week with one offset is formatted at its ends only.
  const offsetAt = (at: number): number => {
    const block = Math.floor(at / blockMs);
    const offset = startOffset(block);
    return offset === startOffset(block + 1) ? offset : read(at);
  };
  const instantsOf = (local: number): number[] => {
    const before = local - offsetAt(local - dayMs);
    const after = local - offsetAt(local + dayMs);
    const found = [...new Set([before, after])].filter((at) => at + offsetAt(at) === local).sort((a, b) => a - b);
    return found.length > 0 ? found : [before];
  };
  return { localOf: (at) => at + offsetAt(at), instantOf: (local) => instantsOf(local)[0]!, instantsOf };
}
