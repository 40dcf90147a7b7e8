import { createHash, createHmac } from 'node:crypto';
import { createBreath } from '../../src/kernel/breathe.ts';
import type { Clock } from '../../src/kernel/clock.ts';
import { unavailable } from '../../src/kernel/errors.ts';
import type { DeriveKey } from '../../src/store/master-key.ts';
import type { Store, View } from '../../src/store/store.ts';
import type { Tables } from '../../src/store/tables.ts';

export type AuditRow = Tables['audit'];
export type AuditHead = Omit<Tables['audit_head'], 'id'>;

/** What is written down of a change, before it is made (`requested`) and after it (`done`, with its HTTP status). */
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
 * Who did what, when, from where. Each row's hash is an HMAC over the row and the hash before it; count and last hash
 * are kept apart under a seal. Without the tower's key no row can be changed, left out, moved, added or cut off
 * without `verify` noticing. Values that may be secret are kept as an HMAC: equal values can be matched, not read.
 */
export type Audit = {
  /** @throws `unavailable` where it cannot be written: then nothing must be changed */
  record(entry: AuditEntry): Promise<void>;
  /** Rows with a smaller number than `before` (null = the newest), newest first. */
  list(before: number | null, limit: number): Promise<{ rows: AuditRow[]; total: number }>;
  /** The whole log as JSON lines, oldest first, the head last. */
  export(): AsyncGenerator<string>;
  /** @returns null where the log in the store is whole, else what is wrong with it */
  verify(): Promise<Verdict>;
  /** The same for an exported log. */
  verifyExport(text: string): Promise<Verdict>;
};

/** How many rows were found right, and what is wrong with the next; null = nothing is. */
type Verdict = { rows: number; problem: string | null };

type Deps = { store: Store; clock: Clock; deriveKey: DeriveKey };

const rowsAtOnce = 500;
/** Longer requests are told by their digest. */
const longestDetails = 2_000;
const secretNames = /secret|token|password|passwd|credential|authorization|(^|_)(api_?)?key$|url/i;

export function createAudit(deps: Deps): Audit {
  const { store } = deps;
  const chain = chainWith(deps.deriveKey);
  return {
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
    // In one transaction: rows that are added meanwhile would be more than the head counts.
    verify: async () =>
      (await store.db())
        .transaction()
        .execute(async (view) => verifyAudit(allRows(view), await headOf(view), deps.deriveKey)),
    verifyExport: (text) => verifyExport(text, deps.deriveKey),
  };
}

type Chain = ReturnType<typeof chainWith>;

async function append({ store, clock }: Deps, chain: Chain, entry: AuditEntry): Promise<void> {
  const db = await store.db();
  try {
    await db.transaction().execute(async (transaction) => {
      // Writing first takes the lock, so that nobody else goes on from the same head.
      await transaction
        .insertInto('audit_head')
        .values({ id: 1, ...chain.start })
        .onConflict((at) => at.doNothing())
        .execute();
      const head = await transaction
        .updateTable('audit_head')
        .set((at) => ({ count: at('count', '+', 1) }))
        .returningAll()
        .executeTakeFirstOrThrow();
      const row = {
        seq: head.count,
        at: new Date(clock.now()).toISOString(),
        phase: entry.phase,
        actor: entry.actor,
        via: entry.via,
        address: entry.address,
        action: entry.action,
        target: JSON.stringify(entry.target ?? {}),
        details: detailsOf(entry.details, chain.conceal),
        status: entry.status,
        request_id: entry.requestId,
      };
      const hash = chain.hash(head.hash, row);
      await transaction
        .insertInto('audit')
        .values({ ...row, hash })
        .execute();
      await transaction
        .updateTable('audit_head')
        .set({ hash, seal: chain.seal(head.count, hash) })
        .execute();
    });
  } catch (error) {
    throw unavailable('The audit log cannot be written, so nothing was changed', error);
  }
}

async function* allRows(db: View): AsyncGenerator<AuditRow> {
  const breath = createBreath();
  for (let last = Number.MIN_SAFE_INTEGER; ; ) {
    const rows = await db
      .selectFrom('audit')
      .selectAll()
      .where('seq', '>', last)
      .orderBy('seq')
      .limit(rowsAtOnce)
      .execute();
    yield* rows;
    if (breath.due()) await breath.take();
    if (rows.length < rowsAtOnce) return;
    last = rows.at(-1)?.seq ?? last;
  }
}

const headOf = async (db: View): Promise<AuditHead | null> =>
  (await db.selectFrom('audit_head').select(['count', 'hash', 'seal']).executeTakeFirst()) ?? null;

async function* exported(store: Store): AsyncGenerator<string> {
  const db = await store.db();
  // The head first: rows that are added meanwhile are beyond it and left for the next export.
  const head = await headOf(db);
  for await (const row of allRows(db)) {
    if (row.seq > (head?.count ?? 0)) break;
    yield `${rowLine(row)}\n`;
  }
  yield `${headLine(head)}\n`;
}

/** Every field by its name: a field under another name must not pass for one that is not there. */
const rowLine = (row: AuditRow): string =>
  JSON.stringify({
    seq: row.seq,
    at: row.at,
    phase: row.phase,
    actor: row.actor,
    via: row.via,
    address: row.address,
    action: row.action,
    target: row.target,
    details: row.details,
    status: row.status,
    request_id: row.request_id,
    hash: row.hash,
  });

const headLine = (head: AuditHead | null): string =>
  JSON.stringify({ head: head && { count: head.count, hash: head.hash, seal: head.seal } });

/** Checks an exported log. Every byte counts: a line that means the same but is written otherwise is an edit. */
async function verifyExport(text: string, deriveKey: DeriveKey): Promise<Verdict> {
  const lines = text.split('\n');
  const broken = (rows: number, problem: string) => ({ rows, problem });
  if (lines.pop() !== '') return broken(0, 'the last line has no end: the file is cut off or was added to');
  const rows: AuditRow[] = [];
  let head: AuditHead | null = null;
  for (const [index, line] of lines.entries()) {
    const value = parse(line);
    if (value === null) return broken(rows.length, `line ${index + 1} is not as it was written`);
    const isLast = index === lines.length - 1;
    if (isLast && !('head' in value)) return broken(rows.length, 'the last line is not the head: the file is cut off');
    const written = isLast ? headLine((value as { head: AuditHead | null }).head) : rowLine(value as AuditRow);
    if (written !== line) return broken(rows.length, `line ${index + 1} is not as it was written`);
    if (isLast) head = (value as { head: AuditHead | null }).head;
    else rows.push(value as AuditRow);
  }
  if (lines.length === 0) return broken(0, 'the file is empty');
  return verifyAudit(rows, head, deriveKey);
}

function parse(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

async function verifyAudit(
  rows: AsyncIterable<AuditRow> | Iterable<AuditRow>,
  head: AuditHead | null,
  deriveKey: DeriveKey,
): Promise<Verdict> {
  const chain = chainWith(deriveKey);
  let [count, hash] = [0, chain.start.hash];
  for await (const { hash: written, ...row } of rows) {
    count += 1;
    if (row.seq !== count)
      return { rows: count - 1, problem: `row ${count} is missing or out of its place (found ${row.seq})` };
    hash = chain.hash(hash, row);
    if (hash !== written) return { rows: count - 1, problem: `row ${count} was changed, or a row before it was` };
  }
  if (head === null) return { rows: count, problem: count === 0 ? null : 'the head is missing' };
  if (head.seal !== chain.seal(head.count, head.hash)) return { rows: count, problem: 'the head was changed' };
  if (head.count !== count) return { rows: count, problem: `${head.count} rows were written, ${count} are there` };
  return { rows: count, problem: head.hash === hash ? null : 'the last row is not the one that was written last' };
}

function chainWith(deriveKey: DeriveKey) {
  const key = deriveKey('audit chain');
  const hmac = (text: string) => createHmac('sha256', key).update(text).digest('hex');
  const seal = (count: number, hash: string) => hmac(`head ${count} ${hash}`);
  const empty = '0'.repeat(64);
  const concealKey = deriveKey('audit values');
  return {
    start: { count: 0, hash: empty, seal: seal(0, empty) },
    seal,
    hash: (before: string, row: Omit<AuditRow, 'hash'>) =>
      hmac(
        JSON.stringify([
          before,
          row.seq,
          row.at,
          row.phase,
          row.actor,
          row.via,
          row.address,
          row.action,
          row.target,
          row.details,
          row.status,
          row.request_id,
        ]),
      ),
    conceal: (value: unknown) =>
      `hmac-sha256:${createHmac('sha256', concealKey).update(JSON.stringify(value)).digest('hex')}`,
  };
}

function detailsOf(details: unknown, conceal: (value: unknown) => string): string {
  const text = JSON.stringify(concealed(details ?? {}, conceal));
  if (text.length <= longestDetails) return text;
  return JSON.stringify({ bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') });
}

/** A copy in which every value whose name says it may be secret is an HMAC. */
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
