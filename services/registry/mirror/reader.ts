import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import { buildSnapshot, type RegistryRows, type Snapshot } from '../snapshot/snapshot.ts';
import type { AliasTable } from '../snapshot/stages.ts';
import type { ModelRows, RegistrySource } from '../sources/source.ts';

export type ReaderOptions = {
  aliasTable: AliasTable;
  /** Every n-th read rereads the metrics of finished runs. */
  rereadEvery: number;
  /** Runs whose metrics may change after their end: those of monitored versions. */
  monitoredRunIds: () => Promise<Set<string>>;
  /** false: nothing is reused from the last snapshot. */
  cacheEnabled: boolean;
  clock: Pick<Clock, 'now'>;
};

/** Builds snapshots from a source. Stateless. */
export type Reader = ReturnType<typeof createReader>;

export function createReader({ aliasTable, rereadEvery, monitoredRunIds, cacheEnabled, clock }: ReaderOptions) {
  return {
    /**
     * The whole registry.
     * @param known - the last snapshot of the same source, of which finished runs are taken over; null: none
     * @param rounds - reads before this one
     */
    readAll: async (
      source: RegistrySource,
      known: Snapshot | null,
      rounds: number,
      signal: AbortSignal,
    ): Promise<Snapshot> => {
      const everything = rounds > 0 && rounds % rereadEvery === 0;
      const monitored = await monitoredRunIds();
      const reread = (runId: string) => everything || monitored.has(runId);
      const readAt = clock.now();
      const rows = await source.readRegistry(cacheEnabled && known ? { rows: known.rows, reread } : null, signal);
      if (rows) return buildSnapshot(rows, readAt, aliasTable);
      if (known) return { ...known, readAt };
      throw new TowerError('internal', 'a source said "unchanged" before it was ever read');
    },
    /**
     * The snapshot with some models reread. Its age is unchanged, since nothing else in it is newer.
     * @returns null if the source cannot read models by name
     */
    readModels: async (
      source: RegistrySource,
      snapshot: Snapshot,
      names: ReadonlySet<string>,
      signal: AbortSignal,
    ): Promise<Snapshot | null> => {
      const parts = await source.readModels?.([...names], snapshot.rows, signal);
      return parts ? buildSnapshot(spliced(snapshot.rows, names, parts), snapshot.readAt, aliasTable) : null;
    },
    /** The snapshot with some models as `other` has them. */
    copyModels: (snapshot: Snapshot, names: ReadonlySet<string>, other: Snapshot): Promise<Snapshot> =>
      buildSnapshot(spliced(snapshot.rows, names, partsOf(other.rows, names)), snapshot.readAt, aliasTable),
    /** A snapshot of rows read earlier. */
    build: (rows: RegistryRows, readAt: number): Promise<Snapshot> => buildSnapshot(rows, readAt, aliasTable),
  };
}

/** The rows of some models. */
function partsOf({ models, versions, runs }: RegistryRows, names: ReadonlySet<string>): ModelRows {
  const ofNames = versions.filter((row) => names.has(row.name));
  const runIds = new Set(ofNames.map((row) => row.runId));
  return {
    models: models.filter((row) => names.has(row.name)),
    versions: ofNames,
    runs: runs.filter((run) => runIds.has(run.runId)),
  };
}

/** The rows with some models replaced. */
function spliced(rows: RegistryRows, names: ReadonlySet<string>, parts: ModelRows): RegistryRows {
  const read = new Set(parts.runs.map((run) => run.runId));
  return {
    ...rows,
    models: [...rows.models.filter((row) => !names.has(row.name)), ...parts.models],
    versions: [...rows.versions.filter((row) => !names.has(row.name)), ...parts.versions],
    runs: [...rows.runs.filter((run) => !read.has(run.runId)), ...parts.runs],
  };
}
