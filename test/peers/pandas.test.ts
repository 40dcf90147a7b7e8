import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { frequencyText } from '#services/forecast/engine/calendar.ts';
import { prepareSeries, timeAt } from '#services/forecast/engine/series.ts';
import { readTimestamps } from '#services/forecast/timestamps.ts';
import { peerProgram } from '../support/mlflow-server.ts';

const python = peerProgram('prophet', 'python');

/** Random ranges of each frequency and zone, 12 to 70 times, and the 20 times that follow. */
const program = `
import json, random, sys, warnings, pandas
warnings.simplefilter('ignore')
random.seed(7)
frequencies = ['D', '2D', '3D', 'B', 'W-SUN', 'W-WED', '2W-FRI', 'MS', 'ME', 'BMS', 'BME', '2MS', 'QS-JAN', 'QS-FEB', 'QE-DEC', 'QE-OCT',
  'BQE-DEC', 'BQS-JAN', '6MS', '6ME', 'YS-JAN', 'YS-JUL', 'YE-DEC', 'YE-MAR', '2YS-JAN', 'h', '3h', '12h', '15min', '5min', '30s']
zones = [None, 'Europe/Berlin', 'America/New_York', 'Australia/Sydney', 'Asia/Tokyo', 'Asia/Kolkata', 'America/St_Johns']
cases = []
for frequency in frequencies:
  for zone in zones:
    for _ in range(4):
      start = pandas.Timestamp(2015, 1, 1) + pandas.Timedelta(days=random.randrange(4000))
      if frequency[-1] not in 'hns': start += pandas.Timedelta(hours=random.choice([0, 0, 5, 12]))
      count = random.randrange(12, 70)
      times = pandas.date_range(start, periods=count + 20, freq=frequency, tz=zone)
      text = lambda list: [time.isoformat() for time in list]
      cases.append({'frequency': frequency, 'zone': zone, 'times': text(times[:count]), 'next': text(times[count:]),
        'utc': text(times[:count].tz_convert('UTC') if zone else times[:count]), 'naive': text(times[:count].tz_localize(None)),
        'inferred': pandas.infer_freq(times[:count])})
json.dump(cases, sys.stdout)`;

type Case = {
  frequency: string;
  zone: string | null;
  times: string[];
  next: string[];
  utc: string[];
  naive: string[];
  inferred: string | null;
};

const ahead = 20;
const continued = (times: string[], zone: string | undefined) => {
  const read = readTimestamps(times, zone);
  const values = times.map(() => 1);
  const { series } = prepareSeries(values, read.times, { timeZone: zone ?? null }, read.offsets);
  const next = Array.from({ length: ahead }, (_, h) => timeAt(series, series.values.length + h)!);
  return { next, frequency: frequencyText(series.grid!.frequency), length: series.values.length };
};

const cases = python
  ? (JSON.parse(execFileSync(python, ['-c', program], { encoding: 'utf8', maxBuffer: 2 ** 27 })) as Case[])
  : [];
/** Offsets say nothing of changes that come after the last row. */
const offsetsSaySo = ({ times, next }: Case) => {
  const offsets = (texts: string[]) => new Set(texts.map((text) => text.slice(19)));
  return offsets(times).size === offsets([...times, ...next]).size;
};
const isMidnight = ({ times }: Case) => times[0]!.includes('T00:00:00');
/** By the dates alone, some ranges have a simpler frequency; pandas infers it too. */
const isClear = ({ frequency, inferred }: Case) => !frequency.startsWith('B') || frequency === inferred;
const instants = (texts: string[], zone: string | null) => texts.map((text) => Date.parse(zone ? text : `${text}Z`));

describe.skipIf(!python)('a series with the times of a pandas date range', () => {
  const clear = cases.filter(isClear);

  it('is continued as by pandas, in a named zone', () => {
    for (const { times, naive, next, zone, ...rest } of clear)
      for (const texts of [times, naive]) {
        const { next: ours, length } = continued(texts, zone ?? undefined);
        expect({ ...rest, zone, ours, length }).toEqual({
          ...rest,
          zone,
          ours: instants(next, zone),
          length: times.length,
        });
      }
  });

  it('is continued as by pandas, in the zone of its offsets', () => {
    for (const { times, next, zone, ...rest } of clear.filter(offsetsSaySo))
      expect({ ...rest, zone, ours: continued(times, undefined).next }).toEqual({
        ...rest,
        zone,
        ours: instants(next, zone),
      });
  });

  it('is continued as by pandas, with midnights of a zone that are written in UTC', () => {
    for (const { utc, next, zone, ...rest } of clear.filter(offsetsSaySo).filter(isMidnight))
      expect({ ...rest, zone, ours: continued(utc, undefined).next }).toEqual({
        ...rest,
        zone,
        ours: instants(next, zone),
      });
  });

  it('is continued with the same dates if rows are missing, repeated, unordered or scatter by minutes', () => {
    const random = seededRandom(5);
    for (const { times, next, zone, ...rest } of clear.filter(({ frequency }) => !/[hns]$/.test(frequency))) {
      const kept = times.filter((_, i) => i < 8 || i > times.length - 3 || random() < 0.8);
      const rows = [...kept, ...kept.filter(() => random() < 0.1)].sort(() => random() - 0.5);
      const scattered = instants(rows, zone).map((at) =>
        new Date(at + Math.round((random() - 0.5) * 600_000)).toISOString(),
      );
      for (const texts of [rows, scattered]) {
        const ours = continued(texts, zone ?? 'UTC');
        const apart = ours.next.map((at, h) => Math.abs(at - instants(next, zone)[h]!));
        const note = { ...rest, zone, first: times[0], rows: rows.length, frequency: ours.frequency };
        expect({ ...note, apart: Math.max(...apart) < 300_000, length: ours.length }).toEqual({
          ...note,
          apart: true,
          length: times.length,
        });
      }
    }
  });

  it('keeps a round step if rows scatter', () => {
    const random = seededRandom(6);
    for (const { times, next, zone, frequency } of clear.filter((item) => /[hns]$/.test(item.frequency))) {
      const [first, second] = instants(times, zone) as [number, number];
      const rows = instants(times, zone)
        .filter((_, i) => i < 3 || i > times.length - 3 || random() < 0.8)
        .map((at) => new Date(at + Math.round((random() - 0.5) * 0.3 * (second - first))).toISOString());
      const ours = continued([...rows, ...rows.slice(0, 4)], zone ?? undefined).next;
      const apart = ours.map((at, h) => Math.abs(at - instants(next, zone)[h]!));
      expect({ frequency, first: times[0], kept: Math.max(...apart) < 0.2 * (second - first) }).toEqual({
        frequency,
        first: times[0],
        kept: true,
      });
    }
  });
});
