import type { Clock } from '#kernel/clock.ts';
import { unavailable } from '#kernel/errors.ts';
import type { Store } from './store.ts';

/**
 * Leader election among the instances that share one store. The leader runs what must run once, such as scheduled reads
 * of the registry. Leadership is a lease in one row, timed by the database's clock and renewed well before it expires.
 * An instance counts its lease from the moment of its request, so it stops no later than another may start; an instance
 * that was suspended finds its lease expired. Unfinished work of a former leader does no harm: its rows carry attempt
 * and revision numbers.
 */
export type Leadership = {
  /** Whether this instance is the leader now. */
  leads(): boolean;
  status(): { leads: boolean; leader: string | null };
  /** Background step: acquires or renews the lease. */
  step(): Promise<void>;
  /** Releases the lease at once. */
  resign(): Promise<void>;
};

type Options = {
  store: Store;
  /** Name of this instance in the lease. */
  tower: string;
  clock: Clock;
  onChange: (leads: boolean) => void;
};

/** Failover takes at most this long plus one step (leaseMs / 4). */
const leaseMs = 8_000;
export const renewalMs = leaseMs / 4;

/** A data directory has one instance, which leads; a second process on the same directory does no harm (docs/concepts/store.md). */
const singleInstance = (tower: string): Leadership => ({
  leads: () => true,
  status: () => ({ leads: true, leader: tower }),
  step: async () => undefined,
  resign: async () => undefined,
});

export function createLeadership({ store, tower, clock, onChange }: Options): Leadership {
  if (store.engine === 'sqlite') return singleInstance(tower);
  /**
   * Time of the request for the current lease, by two clocks: the monotonic one goes on when the wall clock is set
   * back.
   */
  let leaseRequestedAt: { wall: number; steady: number } | null = null;
  let leader: string | null = null;
  let lastReported = false;
  const leads = () =>
    leaseRequestedAt !== null &&
    Math.max(clock.now() - leaseRequestedAt.wall, performance.now() - leaseRequestedAt.steady) < leaseMs;
  const report = () => {
    if (leads() === lastReported) return;
    lastReported = !lastReported;
    onChange(lastReported);
  };
  return {
    leads,
    status: () => ({ leads: leads(), leader }),
    step: async () => {
      const now = { wall: clock.now(), steady: performance.now() };
      try {
        leader = await withTimeout(take(store, tower), clock);
        leaseRequestedAt = leader === tower ? now : null;
      } finally {
        report();
      }
    },
    resign: async () => {
      if (!leads()) return;
      leaseRequestedAt = null;
      report();
      const db = await store.db();
      await db.updateTable('leader').set({ until: 0 }).where('holder', '=', tower).execute();
      store.notifier.notify('leader');
    },
  };
}

/** A query that hangs must not keep this instance from noticing that its lease expired. */
async function withTimeout<T>(asking: Promise<T>, clock: Clock): Promise<T> {
  const timer = new AbortController();
  const timeout = clock.sleep(leaseMs / 2, timer.signal).then(() => {
    throw unavailable('the store did not answer in time');
  });
  timeout.catch(() => undefined);
  asking.catch(() => undefined);
  try {
    return await Promise.race([asking, timeout]);
  } finally {
    timer.abort();
  }
}

/** Acquires the lease if it is free or held by this instance. @returns the holder */
async function take(store: Store, tower: string): Promise<string> {
  const [db, now] = [await store.db(), await store.now()];
  const acquired = await db
    .insertInto('leader')
    .values({ id: 1, holder: tower, term: 1, until: now + leaseMs })
    .onConflict((on) =>
      on
        .column('id')
        .doUpdateSet((row) => ({
          holder: tower,
          until: now + leaseMs,
          term: row
            .case()
            .when('leader.holder', '=', tower)
            .then(row.ref('leader.term'))
            .else(row('leader.term', '+', 1))
            .end(),
        }))
        .where((row) =>
          row.or([
            row('leader.holder', '=', tower),
            row('leader.until', '<', now),
            // The database's clock was set back.
            row('leader.until', '>', now + 2 * leaseMs),
          ]),
        ),
    )
    .returning('holder')
    .executeTakeFirst();
  return (acquired ?? (await db.selectFrom('leader').select('holder').executeTakeFirstOrThrow())).holder;
}
