import { createHash } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound } from '#kernel/errors.ts';
import type { Store } from '#store/store.ts';
import type { BaselineInfo, BaselineRequest, Observation, ObservationsTaken } from './observation-schemas.ts';
import type { Posted, Target } from './posted.ts';

/** Stored observations of versions, and pinned baselines. */
export type Observations = {
  /** Stores a batch completely or not at all. @throws `invalid` for an impossible time */
  add(target: Target, batch: Observation[]): Promise<ObservationsTaken>;
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
