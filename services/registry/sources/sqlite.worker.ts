import { readTables, type TableRead } from './sqlite-query.ts';

/** Reads SQLite tables on a thread. @returns up to 500 rows each, as JSON text */
export function readChunks({ path, reads }: { path: string; reads: TableRead[] }): [table: string, json: string][] {
  const chunks: [string, string][] = [];
  readTables(
    path,
    reads,
    (table, rows) => void chunks.push([table, JSON.stringify(rows)]),
    () => {
      chunks.length = 0;
    },
  );
  return chunks;
}
