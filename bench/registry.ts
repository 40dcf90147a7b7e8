import { benchChanges } from './registry/changes.ts';
import { benchMemory } from './registry/memory.ts';
import { benchStart } from './registry/start.ts';
import { benchSync } from './registry/sync.ts';
import { benchThroughput } from './registry/throughput.ts';
import type { Report } from './support/report.ts';

const parts: Record<string, (report: Report) => Promise<void>> = {
  throughput: benchThroughput,
  sync: benchSync,
  start: benchStart,
  memory: benchMemory,
  changes: benchChanges,
};

/** Claims of the registry mirror, each relative to a rival measured in the same run. */
export async function bench(report: Report, only?: string): Promise<void> {
  for (const [name, run] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    report.note(`registry: ${name}`);
    await run(report);
  }
}
