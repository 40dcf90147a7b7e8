import { createHmac } from 'node:crypto';
import { invalid } from '#kernel/errors.ts';
import type { DeriveKey } from '#store/master-key.ts';
import type { Tables } from '#store/tables.ts';

/** The hash chain of the audit log and its verification. */

export type AuditRow = Tables['audit'];
export type AuditHead = Omit<Tables['audit_head'], 'id'>;

/** Number of verified rows, and the fault of the next row; null = no fault. */
export type Verdict = { rows: number; problem: string | null };

export type Chain = ReturnType<typeof chainWith>;

/** Fields are hashed with their names, so that a renamed field cannot pass for a missing one. */
export const rowLine = (row: AuditRow): string =>
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

export const headLine = (head: AuditHead | null): string =>
  JSON.stringify({ head: head && { count: head.count, hash: head.hash, seal: head.seal } });

/** Verifies an exported log byte by byte: a line with the same meaning but other bytes counts as an edit. */
export async function verifyExport(bytes: Uint8Array, chain: Chain, earlierHead: AuditHead | null): Promise<Verdict> {
  const broken = (rows: number, problem: string) => ({ rows, problem });
  const text = Buffer.from(bytes).toString('latin1');
  if (/[^\n -~]/.test(text)) return broken(0, 'the file contains non-ASCII bytes');
  const lines = text.split('\n');
  if (lines.pop() !== '') return broken(0, 'the last line is incomplete: the file is truncated or was extended');
  const rows: AuditRow[] = [];
  let head: AuditHead | null = null;
  for (const [index, line] of lines.entries()) {
    const value = parse(line);
    if (value === null) return broken(rows.length, `line ${index + 1} was changed`);
    const isLast = index === lines.length - 1;
    if (isLast && !('head' in value))
      return broken(rows.length, 'the last line is not the head: the file is truncated');
    const written = isLast ? headLine((value as { head: AuditHead | null }).head) : rowLine(value as AuditRow);
    if (written !== line) return broken(rows.length, `line ${index + 1} was changed`);
    if (isLast) head = (value as { head: AuditHead | null }).head;
    else rows.push(value as AuditRow);
  }
  return verifyAudit(rows, head, chain, earlierHead);
}

/** The head of an earlier export, which must itself be intact. @throws `invalid` if the export is not intact */
export async function verifiedHead(earlier: Uint8Array | null, chain: Chain): Promise<AuditHead | null> {
  const earlierHead = markOf(earlier);
  const { problem } = earlier === null ? { problem: null } : await verifyExport(earlier, chain, null);
  if (problem !== null) throw invalid(`the earlier log was changed: ${problem}`);
  return earlierHead;
}

function markOf(earlier: Uint8Array | null): AuditHead | null {
  if (earlier === null) return null;
  const last = Buffer.from(earlier).toString('latin1').trimEnd().split('\n').at(-1) ?? '';
  const value = parse(last);
  const head = value !== null && 'head' in value ? (value.head as AuditHead | null) : null;
  if (!head || typeof head.count !== 'number')
    throw invalid('the earlier log has no head at its end: it is not an export, or truncated');
  return head;
}

function parse(line: string): object | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

export async function verifyAudit(
  rows: AsyncIterable<AuditRow> | Iterable<AuditRow>,
  head: AuditHead | null,
  chain: Chain,
  earlierHead: AuditHead | null,
): Promise<Verdict> {
  let [count, hash] = [0, chain.start.hash];
  let isPast = earlierHead === null || earlierHead.count === 0;
  for await (const { hash: written, ...row } of rows) {
    count += 1;
    if (row.seq !== count)
      return { rows: count - 1, problem: `row ${count} is missing or misplaced (found ${row.seq})` };
    hash = chain.hash(hash, row);
    if (hash !== written || !isAsWritten(row))
      return {
        rows: count - 1,
        problem: `row ${count} was changed${count === 1 ? ', or the secret key differs now (TOWER_SECRET_KEY, tower.key)' : ''}`,
      };
    if (count === earlierHead?.count) isPast = hash === earlierHead.hash;
  }
  if (head === null) return { rows: count, problem: 'the head is missing' };
  if (head.seal !== chain.seal(head.count, head.hash)) return { rows: count, problem: 'the head was changed' };
  if (head.count !== count) return { rows: count, problem: `${head.count} rows were written, ${count} were found` };
  if (head.hash !== hash) return { rows: count, problem: 'the last row differs from the last one written' };
  return {
    rows: count,
    problem: isPast ? null : `it does not continue the earlier log, which had ${earlierHead?.count} rows`,
  };
}

const isAsWritten = (row: Omit<AuditRow, 'hash'>): boolean =>
  Object.values(row).every((value) => typeof value !== 'string' || /^[ -~]*$/.test(value));

/** The HMACs of one audit log. */
export function chainWith(deriveKey: DeriveKey) {
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
