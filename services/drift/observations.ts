import { createHash } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound } from '#kernel/errors.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Executor, Store } from '#store/store.ts';
import type { BaselineInfo, BaselineRequest, Observation, ObservationsTaken } from './observation-schemas.ts';

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

/** Stored observations of versions, and pinned baselines. */
export type Observations = {
  /** Stores a batch completely or not at all. @throws `invalid` for an impossible time */
  add(target: Target, batch: Observation[]): Promise<ObservationsTaken>;
  /**
   * Observations needed to assess a version, in order of time: every metric value; of each feature, the first day, the
   * last two, and its pinned days. Other samples are neither read nor parsed. Of more than `maxRows` observations the
   * newest are used; of a day of a feature with more than its share of `maxCharacters`, evenly spaced ones.
   */
  of(target: Target, pinned: Baseline[]): Promise<{ posted: Posted[]; omitted: number }>;
  pin(target: Target, request: BaselineRequest, by: string): Promise<BaselineInfo>;
  /** @throws `not_found` */
  unpin(target: Target, subject: string): Promise<void>;
  baselines(target: Target): Promise<BaselineInfo[]>;
  prune(before: number): Promise<void>;
};

const earliest = Date.UTC(2000, 0, 1);
/** Tolerance for clocks of other machines. */
const aheadMs = 300_000;

export function createObservations({ store, clock }: { store: Store; clock: Clock }): Observations {
  return {
    add: (target, batch) => add(store, clock, target, batch),
    of: (target, pinned) => readPosted(store, target, pinned),
    pin: (target, request, by) => pin(store, clock, target, request, by),
    unpin: async (target, subject) => {
      const db = await store.db();
      const { numDeletedRows } = await db
        .deleteFrom('drift_baselines')
        .where('registry', '=', target.registry)
        .where('name', '=', target.name)
        .where('version', '=', target.version)
        .where('subject', '=', subject)
        .executeTakeFirst();
      if (numDeletedRows === 0n)
        throw notFound(`No baseline of ${JSON.stringify(subject)} is pinned`, { parameter: 'subject', value: subject });
    },
    baselines: async (target) => {
      const db = await store.db();
      const rows = await db
        .selectFrom('drift_baselines')
        .selectAll()
        .where('registry', '=', target.registry)
        .where('name', '=', target.name)
        .where('version', '=', target.version)
        .orderBy('subject')
        .execute();
      return rows.map(({ subject, payload, pinned_by, pinned_at }) => ({
        subject,
        ...(JSON.parse(payload) as Omit<BaselineInfo, 'subject' | 'pinned_by' | 'pinned_at'>),
        pinned_by,
        pinned_at,
      }));
    },
    prune: async (before) => {
      const db = await store.db();
      await db.deleteFrom('observations').where('at', '<', new Date(before).toISOString()).execute();
    },
  };
}

const rowsAtOnce = 200;
/** Limits of what one assessment reads: observations, and characters of stored samples and histograms. */
export const maxRows = 200_000;
const maxCharacters = 64 * 2 ** 20;
/** Enough for the 10,000 samples that a comparison uses. */
const maxPerDay = 2 ** 20;

type OfVersion = ReturnType<typeof observationsOf>;

const observationsOf = (db: Executor, { registry, name, version }: Target) =>
  db
    .selectFrom('observations')
    .where('registry', '=', registry)
    .where('name', '=', name)
    .where('version', '=', version);

async function readPosted(
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
  let omitted = newest.length - all.length;
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

type Row = { key: string; kind: string; subject: string; dataset: string; at: string };

/** Reads and parses the payloads of rows; yields to the event loop in between. */
async function readPayloads(ofVersion: OfVersion, keys: Row[]): Promise<Posted[]> {
  const yielder = createYielder();
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
      if (yielder.due()) await yielder.yieldNow();
      const payload = JSON.parse(payloads.get(key) ?? '{}') as object;
      posted.push({ kind, subject, dataset: dataset || null, at: Date.parse(at), ...payload } as Posted);
    }
  }
  return posted;
}

/** Evenly spaced rows, at least one, of a day with more than the given number of characters. */
function evenlySpaced<Row extends { characters: number }>(rows: Row[], characters: number): Row[] {
  const step = Math.ceil(rows.reduce((sum, row) => sum + row.characters, 0) / characters);
  return step <= 1 ? rows : rows.filter((_, index) => index % step === 0);
}

async function add(store: Store, clock: Clock, target: Target, batch: Observation[]): Promise<ObservationsTaken> {
  const now = clock.now();
  const received_at = new Date(now).toISOString();
  const rows = batch.map((item, index) => {
    const at = Date.parse(item.at);
    if (at < earliest || at > now + aheadMs) {
      const constraint = 'must be between the year 2000 and now';
      throw invalid(`observations.${index}.at ${constraint} (got ${JSON.stringify(item.at)})`, {
        parameter: `observations.${index}.at`,
        constraint,
        value: item.at,
      });
    }
    const { kind, subject, payload } = partsOf(item);
    const content = JSON.stringify([at, kind, subject, item.dataset ?? '', payload]);
    const key =
      item.id === undefined ? `sha256:${createHash('sha256').update(content).digest('hex')}` : `id:${item.id}`;
    return {
      ...target,
      key,
      kind,
      subject,
      dataset: item.dataset ?? '',
      at: new Date(at).toISOString(),
      payload: JSON.stringify(payload),
      received_at,
    };
  });
  const db = await store.db();
  return db.transaction().execute(async (transaction) => {
    let accepted = 0;
    for (let from = 0; from < rows.length; from += 100) {
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto('observations')
        .values(rows.slice(from, from + 100))
        .onConflict((on) => on.doNothing())
        .executeTakeFirstOrThrow();
      accepted += Number(numInsertedOrUpdatedRows ?? 0);
    }
    return { accepted, duplicates: rows.length - accepted };
  });
}

function partsOf(item: Observation): { kind: Posted['kind']; subject: string; payload: object } {
  if ('metric' in item)
    return { kind: 'value', subject: item.metric, payload: { value: item.value, n: item.n ?? null } };
  if ('samples' in item) return { kind: 'samples', subject: item.feature, payload: { samples: item.samples } };
  const { histogram } = item;
  const payload = 'categories' in histogram ? { edges: null, counts: histogram.categories } : histogram;
  return { kind: 'histogram', subject: item.feature, payload };
}

async function pin(
  store: Store,
  clock: Clock,
  target: Target,
  request: BaselineRequest,
  by: string,
): Promise<BaselineInfo> {
  const nothing = { from: null, until: null, value: null, sd: null, n: null };
  const { subject, ...given } = request;
  const payload = { ...nothing, ...given };
  const row = { payload: JSON.stringify(payload), pinned_by: by, pinned_at: new Date(clock.now()).toISOString() };
  const db = await store.db();
  await db
    .insertInto('drift_baselines')
    .values({ ...target, subject, ...row })
    .onConflict((at) => at.columns(['registry', 'name', 'version', 'subject']).doUpdateSet(row))
    .execute();
  return { subject, ...payload, pinned_by: by, pinned_at: row.pinned_at };
}

export const baselineOf = ({ subject, from, until, value, sd, n }: BaselineInfo): Baseline => ({
  subject,
  from: from === null ? null : Date.parse(from),
  until: until === null ? null : Date.parse(until),
  value,
  sd,
  n,
});
