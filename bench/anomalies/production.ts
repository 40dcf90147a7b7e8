import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createDetector } from '#services/analytics/analysis/detector.ts';
import { directoryOf, filesOf, type Kind } from '../support/data.ts';

/** Servers (SMD, 5-minute means) and virtual machines (Bitbrains) in mostly normal operation. */
function series(): number[][] {
  const tables = (kind: Kind) =>
    filesOf(kind, /^(?!meta)[^/]*\.csv$/).map((file) =>
      readFileSync(join(directoryOf(kind), file), 'utf8')
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.split(',').slice(1)),
    );
  const columns = (rows: string[][]) => rows[0]!.map((_, column) => rows.map((row) => row[column] ?? ''));
  const fiveMinutes = (values: number[]) =>
    Array.from({ length: Math.floor(values.length / 5) }, (_, i) =>
      values.slice(5 * i, 5 * i + 5).reduce((total, value) => total + value / 5, 0),
    );
  return [
    ...tables('smd').flatMap((rows) => columns(rows).map((cells) => fiveMinutes(cells.map(Number)))),
    ...tables('bitbrains').flatMap((rows) =>
      columns(rows).map((cells) => cells.map((cell) => (cell === '' ? Number.NaN : Number(cell)))),
    ),
  ];
}

export function alarmsPerThousand(): number {
  let [alarms, points] = [0, 0];
  for (const values of series()) {
    const detector = createDetector(300_000);
    for (const [i, value] of values.entries()) {
      if (!Number.isFinite(value)) continue;
      const { alarm } = detector.see(i * 300_000, value);
      // The first days are the warm-up.
      if (i < 750) continue;
      points += 1;
      if (alarm) alarms += 1;
    }
  }
  return (1000 * alarms) / points;
}
