import { type Clock, isoTime } from '#kernel/clock.ts';
import type { Store, Transaction } from '#store/store.ts';
import type { DriftOverview } from './schemas.ts';

/** Alerts about drift: one when the verdict of a monitored version becomes drift, one when it no longer is. */

export type DriftEvent = {
  type: 'drift.detected' | 'drift.cleared';
  registry: string;
  name: string;
  version: string;
  /** Null if the version is no longer monitored. */
  status: Verdict['status'] | null;
  reason: string;
  at: string;
};

/** `isPartial`: some of its data could not be read. */
export type Verdict = DriftOverview['versions'][number] & { isPartial: boolean };

type Options = {
  store: Store;
  clock: Clock;
  /** Name under which alerts are stored. */
  registry: () => string;
  /** Enqueues notifications, in the transaction that records the alerts. */
  enqueue: (transaction: Transaction, events: DriftEvent[]) => Promise<void>;
};

/**
 * Records changes of verdicts and enqueues an event for each. Missing data does not clear an alert; the end of
 * monitoring does.
 * @param monitored - keys `name\nversion`
 */
export async function recordAlerts(
  { store, clock, registry, enqueue }: Options,
  verdicts: readonly Verdict[],
  monitored: ReadonlySet<string>,
): Promise<void> {
  const at = isoTime(clock.now())!;
  const own = registry();
  const db = await store.db();
  const open = await db.selectFrom('drift_alerts').selectAll().where('registry', '=', own).execute();
  const openKeys = new Set(open.map(keyOf));
  const eventOf = (type: DriftEvent['type'], { name, version, status, reason }: EventFacts): DriftEvent => ({
    type,
    registry: own,
    name,
    version,
    status,
    reason,
    at,
  });
  const whole = verdicts.filter(({ isPartial }) => !isPartial);
  const detected = whole.filter((item) => item.status === 'drift' && !openKeys.has(keyOf(item)));
  const recovered = whole.filter(({ status }) => status === 'stable' || status === 'warning');
  const ended = open
    .filter((row) => !monitored.has(keyOf(row)))
    .map(({ name, version }) => ({ name, version, status: null, reason: 'no longer monitored' }));
  const cleared = [...recovered.filter((item) => openKeys.has(keyOf(item))), ...ended];
  if (detected.length + cleared.length === 0) return;
  await db.transaction().execute(async (transaction) => {
    const events: DriftEvent[] = [];
    // Several instances assess the same versions: the one that changes the row sends the event.
    for (const item of detected) {
      const { name, version } = item;
      const { numInsertedOrUpdatedRows } = await transaction
        .insertInto('drift_alerts')
        .values({ registry: own, name, version, since: at })
        .onConflict((on) => on.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows === 1n) events.push(eventOf('drift.detected', item));
    }
    for (const item of cleared) {
      const { numDeletedRows } = await transaction
        .deleteFrom('drift_alerts')
        .where('registry', '=', own)
        .where('name', '=', item.name)
        .where('version', '=', item.version)
        .executeTakeFirst();
      if (numDeletedRows === 1n) events.push(eventOf('drift.cleared', item));
    }
    await enqueue(transaction, events);
  });
  store.notifier.notify('outbox');
}

type EventFacts = Pick<DriftEvent, 'name' | 'version' | 'status' | 'reason'>;

const keyOf = ({ name, version }: { name: string; version: string }): string => `${name}\n${version}`;
