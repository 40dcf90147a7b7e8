import type { Executor, Store } from '#store/store.ts';
import type { BaselineInfo } from './observation-schemas.ts';

/** Reads the stored observations of a version for its assessment. Runs in a thread (drift.worker.ts). */

/** The version that an observation is about. */
export type Target = { registry: string; name: string; version: string };

/** An observation as it is assessed. Times in milliseconds. */
export type Posted =
  | { kind: 'value'; subject: string; dataset: string | null; at: number; value: number; n: number | null }
  | { kind: 'samples'; subject: string; dataset: string | null; at: number; samples: number[] | string[] }
  | {
      kind: 'histogram';
      subject: string;
      dataset: string | null;
      at: number;
      edges: number[] | null;
      counts: Record<string, number> | number[];
    };

export type Baseline = {
  subject: string;
  from: number | null;
  until: number | null;
  value: number | null;
  sd: number | null;
  n: number | null;
};

const rowsAtOnce = 200;
/** Limits of what one assessment reads: observations, and characters of stored samples and histograms. */
const maxRows = 200_000;
const maxCharacters = 32 * 2 ** 20;
/** Enough for the 10,000 samples that a comparison uses. */
const maxPerDay = 2 ** 19;

type OfVersion = ReturnType<typeof observationsOf>;

const observationsOf = (db: Executor, { registry, name, version }: Target) =>
  db
    .selectFrom('observations')
    .where('registry', '=', registry)
    .where('name', '=', name)
    .where('version', '=', version);

/**
 * Observations needed to assess a version, in order of time: every metric value; of each feature, the first day, the
 * last two, and its pinned days. Other samples are neither read nor parsed. Of more than `maxRows` observations the
 * newest are used; of a day of a feature with more than its share of `maxCharacters`, evenly spaced ones.
 * @returns also the number of observations left out because of these limits
 */
export async function readPosted(
  store: Store,
  target: Target,
  pinned: Baseline[],
): Promise<{ posted: Posted[]; omitted: number }> {
  const ofVersion = observationsOf(await store.db(), target);
  const newest = await ofVersion
    .select((row) => [
      'key',
      'kind',
      'subject',
      'dataset',
      'at',
      row.fn<number>('length', ['payload']).as('characters'),
    ])
    .orderBy('at', 'desc')
    .limit(maxRows + 1)
    .execute();
  const all = newest.slice(0, maxRows).toReversed();
  const wanted = new Set(all.flatMap((row) => (row.kind === 'value' ? [row.key] : [])));
  const days: (typeof all)[] = [];
  const features = Map.groupBy(
    all.filter((row) => row.kind !== 'value'),
    (row) => JSON.stringify([row.subject, row.dataset]),
  );
  for (const rows of features.values()) {
    const byDay = Map.groupBy(rows, (row) => row.at.slice(0, 10));
    const names = [...byDay.keys()];
    const evaluated = new Set([names[0], ...names.slice(-2)]);
    const base = pinned.find((item) => item.subject === rows[0]?.subject && item.from !== null);
    const isPinned = (at: string) =>
      base !== undefined && Date.parse(at) >= (base.from ?? 0) && Date.parse(at) < (base.until ?? 0);
    for (const [name, ofDay] of byDay) days.push(evaluated.has(name) ? ofDay : ofDay.filter((row) => isPinned(row.at)));
  }
  const share = Math.min(maxPerDay, maxCharacters / days.length);
  let omitted = newest.length > maxRows ? (await countOf(ofVersion)) - maxRows : 0;
  for (const ofDay of days) {
    const used = evenlySpaced(ofDay, share);
    omitted += ofDay.length - used.length;
    for (const row of used) wanted.add(row.key);
  }
  return {
    posted: await readPayloads(
      ofVersion,
      all.filter((row) => wanted.has(row.key)),
    ),
    omitted,
  };
}

const countOf = async (ofVersion: OfVersion): Promise<number> =>
  (await ofVersion.select((row) => row.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()).count;

type Row = { key: string; kind: string; subject: string; dataset: string; at: string };

/** Reads and parses the payloads of rows. */
async function readPayloads(ofVersion: OfVersion, keys: Row[]): Promise<Posted[]> {
  const posted: Posted[] = [];
  for (let from = 0; from < keys.length; from += rowsAtOnce) {
    const some = keys.slice(from, from + rowsAtOnce);
    const rows = await ofVersion
      .select(['key', 'payload'])
      .where(
        'key',
        'in',
        some.map((row) => row.key),
      )
      .execute();
    const payloads = new Map(rows.map((row) => [row.key, row.payload]));
    for (const { key, kind, subject, dataset, at } of some) {
      const payload = payloads.get(key);
      // Deleted since it was listed.
      if (payload === undefined) continue;
      const values = JSON.parse(payload) as object;
      posted.push({ kind, subject, dataset: dataset || null, at: Date.parse(at), ...values } as Posted);
    }
  }
  return posted;
}

/** Evenly spaced rows, at least one, of a day with more than the given number of characters. */
function evenlySpaced<Row extends { characters: number }>(rows: Row[], characters: number): Row[] {
  const step = Math.ceil(rows.reduce((sum, row) => sum + row.characters, 0) / characters);
  return step <= 1 ? rows : rows.filter((_, index) => index % step === 0);
}

export const baselineOf = ({ subject, from, until, value, sd, n }: BaselineInfo): Baseline => ({
  subject,
  from: from === null ? null : Date.parse(from),
  until: until === null ? null : Date.parse(until),
  value,
  sd,
  n,
});
