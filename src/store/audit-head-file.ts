import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { conflict } from '#kernel/errors.ts';
import { writeText } from '#kernel/files.ts';
import type { Store } from './store.ts';
import type { Tables } from './tables.ts';

/** The audit log's head, exported to a file of the data directory: an empty store in place of the log is noticed. */

type AuditHead = Omit<Tables['audit_head'], 'id'>;

const pathIn = (directory: string): string => join(directory, 'audit-head.json');

/**
 * Writes the head. A directory that cannot be written to has no such file; an earlier export of the whole log
 * (`tower audit verify --against`) shows the same and more.
 */
export const exportHead = (directory: string, head: AuditHead): Promise<void> =>
  writeText(pathIn(directory), `${JSON.stringify(head)}\n`).catch(() => undefined);

/** For a store that is replaced on purpose. */
export const forgetHead = (directory: string): void => rmSync(pathIn(directory), { force: true });

/** @throws TowerError `conflict` for a store without audit records if the exported head has some */
export async function requireAuditLog(store: Store, directory: string): Promise<void> {
  const exported = exportedCount(directory);
  if (exported === 0) return;
  const row = await (await store.db()).selectFrom('audit').select('seq').limit(1).executeTakeFirst();
  if (row !== undefined) return;
  throw conflict(
    `the store is empty, but ${pathIn(directory)} says that its audit log has ${exported} records: restore the store from your backup ("tower store restore"). To start with an empty store, remove that file`,
  );
}

function exportedCount(directory: string): number {
  try {
    const { count } = JSON.parse(readFileSync(pathIn(directory), 'utf8')) as Partial<AuditHead>;
    return Number.isSafeInteger(count) ? Number(count) : 0;
  } catch {
    return 0;
  }
}
