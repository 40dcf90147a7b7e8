import { movedResult } from '#kernel/moved-result.ts';
import { readTables, type TableRead } from './sqlite-query.ts';

/** Up to 500 rows of a table, as JSON in UTF-8. */
export type Chunk = [table: string, json: Uint8Array];

/** Reads SQLite tables on a thread. @returns chunks that are moved to the caller's thread rather than copied */
export function readChunks({ path, reads }: { path: string; reads: TableRead[] }) {
  const chunks: Chunk[] = [];
  const encoder = new TextEncoder();
  readTables(
    path,
    reads,
    (table, rows) => void chunks.push([table, encoder.encode(JSON.stringify(rows))]),
    () => {
      chunks.length = 0;
    },
  );
  return movedResult(
    chunks,
    chunks.map(([, { buffer }]) => buffer),
  );
}
