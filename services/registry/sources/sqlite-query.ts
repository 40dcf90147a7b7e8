import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { openStoreFile } from './sqlite-open.ts';

/**
 * A query of one table. Missing columns are read as null, and a missing table as no rows: MLflow's schema changed over
 * the years, and its tables tell more than its migration ids.
 */
export type TableRead = {
  table: string;
  columns: string[];
  /** Integer ids that may exceed 2^53 and are read as text. */
  asText?: string[];
  where?: string;
  values?: SQLInputValue[];
  /** Only rows of this workspace, if the table has workspaces. */
  workspace?: string;
  orderBy?: string;
};

export type TableRows = Record<string, string | number | null>[];

/**
 * Runs queries over one read-only connection, each in a short transaction of its own, because a long-running reader
 * blocks MLflow's commits. If another process committed in between, all are run again (at most twice), so that the
 * result is consistent unless the store changes constantly.
 * @throws Error if a store in WAL mode changes constantly
 * @param emit receives up to 500 rows of one table at a time; `restart` invalidates the rows so far
 */
export function readTables(
  path: string,
  reads: TableRead[],
  emit: (table: string, rows: TableRows) => void,
  restart: () => void,
): void {
  for (let attempt = 0; ; attempt += 1) {
    const { file, isUnchanged, close } = openStoreFile(path, attempt);
    try {
      for (const read of reads) readTable(file, read, emit);
      if (isUnchanged() || attempt >= 2) return;
    } finally {
      close();
    }
    restart();
  }
}

function readTable(file: DatabaseSync, read: TableRead, emit: (table: string, rows: TableRows) => void): void {
  const existing = new Set(
    file
      .prepare(`pragma table_info(${read.table})`)
      .all()
      .map((column) => String(column['name'])),
  );
  if (existing.size === 0) return;
  const byWorkspace = read.workspace !== undefined && existing.has('workspace');
  const conditions = [read.where, byWorkspace ? 'workspace = ?' : undefined].filter(Boolean);
  const sql = [
    `select ${read.columns.map((name) => columnSql(name, existing, read.asText ?? [])).join(', ')} from ${read.table}`,
    conditions.length > 0 ? `where ${conditions.join(' and ')}` : '',
    read.orderBy ? `order by ${read.orderBy}` : '',
  ].join(' ');
  const values = [...(read.values ?? []), ...(byWorkspace ? [read.workspace as string] : [])];
  let batch: TableRows = [];
  const statement = file.prepare(sql);
  // Clients log times in nanoseconds too; converted to numbers, they would throw and stop the full read.
  statement.setReadBigInts(true);
  for (const row of statement.iterate(...values)) {
    batch.push(plainRow(row));
    if (batch.length === 500) {
      emit(read.table, batch);
      batch = [];
    }
  }
  emit(read.table, batch);
}

function plainRow(row: Record<string, unknown>): TableRows[number] {
  for (const name in row) if (typeof row[name] === 'bigint') row[name] = Number(row[name]);
  return row as TableRows[number];
}

function columnSql(name: string, existing: Set<string>, asText: string[]): string {
  if (!existing.has(name)) return `null as ${name}`;
  return asText.includes(name) ? `cast(${name} as text) as ${name}` : `"${name}"`;
}
