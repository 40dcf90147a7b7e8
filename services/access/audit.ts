import { createHash } from 'node:crypto';
import type { Clock } from '#kernel/clock.ts';
import { TowerError, unavailable } from '#kernel/errors.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import { exportHead } from '#store/audit-head-file.ts';
import { type DeriveKey, requireKeyOf } from '#store/master-key.ts';
import type { Executor, Store } from '#store/store.ts';
import {
  type AuditHead,
  type AuditRow,
  type Chain,
  chainWith,
  headLine,
  rowLine,
  type Verdict,
  verifiedHead,
  verifyAudit,
  verifyExport,
} from './audit-chain.ts';

/** Audit record of a change, before it is made (`requested`) and after it (`done`, with the HTTP status). */
export type AuditEntry = {
  phase: 'requested' | 'done';
  actor: string;
  via: string;
  address: string;
  /** Method and route: `POST /models/:model_name/:model_version/monitor`. */
  action: string;
  target: unknown;
  details: unknown;
  status: number | null;
  requestId: string;
};

/**
 * Tamper-evident log of who did what, when, from where. Each row's hash is an HMAC over the row and the previous hash;
 * count and last hash are stored apart, authenticated too. Without the store's key, no row can be changed, removed,
 * moved, added or truncated without `verify` noticing. Values that may be secret are stored as an HMAC: equal values
 * can be matched, but not read.
 */
export type Audit = {
  /** Creates the head of an empty log. */
  begin(): Promise<void>;
  /** @throws `unavailable` if the record cannot be written: the change must not be made then */
  record(entry: AuditEntry): Promise<void>;
  /** Rows with a smaller number than `before` (null = the newest), newest first. */
  list(before: number | null, limit: number): Promise<{ rows: AuditRow[]; total: number }>;
  /** The whole log as JSON lines, oldest first, the head last. */
  export(): AsyncGenerator<string>;
  /**
   * Verifies the log in the store.
   * @param earlier an export that the log must continue, which detects a log restored to an earlier state
   */
  verify(earlier?: Uint8Array | null): Promise<Verdict>;
  /** Verifies an exported log. */
  verifyExport(bytes: Uint8Array, earlier?: Uint8Array | null): Promise<Verdict>;
};

type Deps = {
  store: Store;
  clock: Clock;
  deriveKey: DeriveKey;
  /** Where the head is exported to after each record. */
  directory: string;
};

const rowsAtOnce = 500;
/** Longer requests are recorded by their digest. */
const longestDetails = 2_000;
const secretNames = /secret|token|password|passwd|credential|authorization|(^|_)(api_?)?key$|url/i;

export function createAudit(deps: Deps): Audit {
  const { store } = deps;
  const chain = chainWith(deps.deriveKey);
  return {
    begin: async () => {
      const db = await store.db();
      const { seal } = chain.start;
      await db.updateTable('audit_head').set({ seal }).where('count', '=', 0).where('seal', '=', '').execute();
    },
    record: (entry) => append(deps, chain, entry),
    list: async (before, limit) => {
      const db = await store.db();
      const { total } = await db
        .selectFrom('audit')
        .select((at) => at.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const rows = await db
        .selectFrom('audit')
        .selectAll()
        .where('seq', '<', before ?? Number.MAX_SAFE_INTEGER)
        .orderBy('seq', 'desc')
        .limit(limit)
        .execute();
      return { rows, total };
    },
    export: () => exported(store),
    // One transaction: otherwise concurrent inserts would exceed the head's count.
    verify: async (earlier = null) =>
      (await store.db())
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (view) =>
          verifyAudit(allRows(view), await headOf(view), chain, await verifiedHead(earlier, chain)),
        )
        .catch((error: unknown) => {
          if (error instanceof RangeError) return { rows: 0, problem: 'a row has a number that is out of range' };
          throw error;
        }),
    verifyExport: async (bytes, earlier = null) => verifyExport(bytes, chain, await verifiedHead(earlier, chain)),
  };
}

async function append({ store, clock, deriveKey, directory }: Deps, chain: Chain, entry: AuditEntry): Promise<void> {
  const db = await store.db();
  try {
    const written = await db.transaction().execute(async (transaction) => {
      // Writing first takes the lock, so that no other process continues from the same head.
      const head = await transaction
        .updateTable('audit_head')
        .set((at) => ({ count: at('count', '+', 1) }))
        .returningAll()
        .executeTakeFirstOrThrow();
      // A rotation may have ended while this transaction waited for the lock.
      await requireKeyOf(transaction, deriveKey);
      const row = {
        seq: head.count,
        at: new Date(clock.now()).toISOString(),
        phase: entry.phase,
        actor: plain(entry.actor),
        via: entry.via,
        address: plain(entry.address),
        action: plain(entry.action),
        target: plain(JSON.stringify(concealed(entry.target ?? {}, chain.conceal))),
        details: plain(detailsOf(entry.details, chain.conceal)),
        status: entry.status,
        request_id: plain(entry.requestId),
      };
      const hash = chain.hash(head.hash, row);
      await transaction
        .insertInto('audit')
        .values({ ...row, hash })
        .execute();
      const after = { count: head.count, hash, seal: chain.seal(head.count, hash) };
      await transaction.updateTable('audit_head').set(after).execute();
      return after;
    });
    await exportHead(directory, written);
  } catch (error) {
    if (error instanceof TowerError && error.code === 'conflict') throw error;
    throw unavailable('The audit log cannot be written, so nothing was changed', error);
  }
}

/** All rows, oldest first. */
export async function* allRows(db: Executor): AsyncGenerator<AuditRow> {
  const yielder = createYielder();
  for (let last: number | null = null; ; ) {
    const all = db.selectFrom('audit').selectAll();
    const rows: AuditRow[] = await (last === null ? all : all.where('seq', '>', last))
      .orderBy('seq')
      .limit(rowsAtOnce)
      .execute();
    yield* rows;
    if (yielder.due()) await yielder.yieldNow();
    if (rows.length < rowsAtOnce) return;
    last = rows.at(-1)?.seq ?? last;
  }
}

/** Printable ASCII only: other bytes can be changed so that they still display as the same text. */
const plain = (text: string): string =>
  text.replaceAll(/[^ -~]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Count and last hash of the log; null if they were deleted. */
export const headOf = async (db: Executor): Promise<AuditHead | null> =>
  (await db.selectFrom('audit_head').select(['count', 'hash', 'seal']).executeTakeFirst()) ?? null;

async function* exported(store: Store): AsyncGenerator<string> {
  const db = await store.db();
  // The head first: later rows are beyond it and left for the next export.
  const head = await headOf(db);
  for await (const row of allRows(db)) {
    if (row.seq > (head?.count ?? 0)) break;
    yield `${rowLine(row)}\n`;
  }
  yield `${headLine(head)}\n`;
}

function detailsOf(details: unknown, conceal: (value: unknown) => string): string {
  const text = JSON.stringify(concealed(details ?? {}, conceal));
  if (text.length <= longestDetails) return text;
  return JSON.stringify({ bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') });
}

/** A copy in which every value whose name suggests a secret is an HMAC. */
function concealed(value: unknown, conceal: (value: unknown) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => concealed(item, conceal));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      secretNames.test(name) && item !== null ? conceal(item) : concealed(item, conceal),
    ]),
  );
}
