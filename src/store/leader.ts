import type { Clock } from '#kernel/clock.ts';
import { unavailable } from '#kernel/errors.ts';
import type { Store } from './store.ts';

/**
 * Which of several towers over one store leads: does what is to be done once, like reading the registry by schedule. It
 * is a lease in one row, counted by the database's clock and renewed well before it ends. A tower counts its own part of
 * it from the moment it asked, so that it stops no later than another may begin; one that stood still finds its time over.
 * What a former leader still had under way cannot do harm: rows carry numbers of their own (attempts, revisions).
 */
export type Leadership = {
  /** Whether this tower leads now. */
  leads(): boolean;
  status(): { leads: boolean; leader: string | null };
  /** Background step: takes or renews the lease. */
  step(): Promise<void>;
  /** Lets another lead at once. */
  resign(): Promise<void>;
};

type Options = {
  store: Store;
  /** How this tower is called among the others. */
  tower: string;
  clock: Clock;
  onChange: (leads: boolean) => void;
};

/** A dead leader is followed after this long, and the time of a step (leaseMs / 4) at most. */
const leaseMs = 8_000;
export const renewalMs = leaseMs / 4;

/** Over a folder this tower leads: whoever else works on the same folder does no harm (docs/store.md). */
const alone = (tower: string): Leadership => ({
  leads: () => true,
  status: () => ({ leads: true, leader: tower }),
  step: async () => undefined,
  resign: async () => undefined,
});

export function createLeadership({ store, tower, clock, onChange }: Options): Leadership {
  if (store.engine === 'sqlite') return alone(tower);
  /** When this tower asked for the lease it has, by two clocks: one goes on when the other is set back. */
  let asked: { wall: number; steady: number } | null = null;
  let leader: string | null = null;
  let told = false;
  const leads = () => asked !== null && Math.max(clock.now() - asked.wall, performance.now() - asked.steady) < leaseMs;
  const tell = () => {
    if (leads() === told) return;
    told = !told;
    onChange(told);
  };
  return {
    leads,
    status: () => ({ leads: leads(), leader }),
    step: async () => {
      const now = { wall: clock.now(), steady: performance.now() };
      try {
        leader = await inTime(take(store, tower), clock);
        asked = leader === tower ? now : null;
      } finally {
        tell();
      }
    },
    resign: async () => {
      if (!leads()) return;
      asked = null;
      tell();
      const db = await store.db();
      await db.updateTable('leader').set({ until: 0 }).where('holder', '=', tower).execute();
      store.notifier.notify('leader');
    },
  };
}

/** A question that hangs must not keep this tower from knowing that its time is over. */
async function inTime<T>(asking: Promise<T>, clock: Clock): Promise<T> {
  const answered = new AbortController();
  const late = clock.sleep(leaseMs / 2, answered.signal).then(() => {
    throw unavailable('the store did not answer in time');
  });
  late.catch(() => undefined);
  asking.catch(() => undefined);
  try {
    return await Promise.race([asking, late]);
  } finally {
    answered.abort();
  }
}

/** Takes the lease where it is free or this tower's own. @returns whose it is then */
async function take(store: Store, tower: string): Promise<string> {
  const [db, now] = [await store.db(), await store.now()];
  const mine = await db
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
        .where((row) => row.or([row('leader.holder', '=', tower), row('leader.until', '<', now)])),
    )
    .returning('holder')
    .executeTakeFirst();
  return (mine ?? (await db.selectFrom('leader').select('holder').executeTakeFirstOrThrow())).holder;
}
