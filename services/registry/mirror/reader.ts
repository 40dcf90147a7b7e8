import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';
import { forEachYielding } from '#kernel/yield-event-loop.ts';
import { createLoggedModelIds } from '../snapshot/logged-models.ts';
import { buildSnapshot, type RegistryRows, type Snapshot, versionKey } from '../snapshot/snapshot.ts';
import { type AliasTable, effectiveStage, stageOf } from '../snapshot/stages.ts';
import type { CachedState, ModelRows, RegistrySource } from '../sources/source.ts';

export type ReaderOptions = {
  aliasTable: AliasTable;
  /** Every n-th read rereads the metrics of finished runs. */
  rereadEvery: number;
  /** Keys (name, line break, version) of the versions whose metrics may change after the end of their runs. */
  monitored: () => Promise<ReadonlySet<string>>;
  /** false: nothing is reused from the last snapshot. */
  cacheEnabled: boolean;
  clock: Pick<Clock, 'now'>;
};

/** Builds snapshots from a source. Stateless. */
export type Reader = ReturnType<typeof createReader>;

export function createReader({ aliasTable, rereadEvery, monitored, cacheEnabled, clock }: ReaderOptions) {
  return {
    /**
     * The whole registry.
     * @param known - the last snapshot of the same source, of which finished runs are taken over; null: none
     * @param rounds - reads before this one
     * @param isForced - also rereads everything that is usually taken over
     */
    readAll: async (
      source: RegistrySource,
      known: Snapshot | null,
      rounds: number,
      isForced: boolean,
      signal: AbortSignal,
    ): Promise<Snapshot> => {
      const everything = isForced || (rounds > 0 && rounds % rereadEvery === 0);
      const watched = await monitored();
      const reread: CachedState['reread'] = async (read) => {
        if (everything) return () => true;
        const ids = await changingIds(read, watched, aliasTable);
        return (id) => ids.has(id);
      };
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

/** Runs and logged models whose metrics may change after training: those of versions in production, in staging or monitored. */
async function changingIds(
  { models, versions }: Pick<RegistryRows, 'models' | 'versions'>,
  monitored: ReadonlySet<string>,
  aliasTable: AliasTable,
): Promise<Set<string>> {
  const aliases = new Map<string, string[]>();
  await forEachYielding(models, (model) => {
    for (const [alias, version] of Object.entries(model.aliases)) {
      const key = versionKey(model.name, version);
      aliases.set(key, [...(aliases.get(key) ?? []), alias]);
    }
  });
  const idOf = createLoggedModelIds(versions);
  const ids = new Set<string>();
  await forEachYielding(versions, (row) => {
    const named = aliases.get(versionKey(row.name, row.version)) ?? [];
    const { stage } = effectiveStage(stageOf(row.currentStage), named, aliasTable);
    if (stage !== 'Production' && stage !== 'Staging' && !monitored.has(`${row.name}\n${row.version}`)) return;
    for (const id of [row.runId, idOf(row)]) if (id !== null) ids.add(id);
  });
  return ids;
}

/** The rows of some models. */
function partsOf({ models, versions, runs, loggedModels }: RegistryRows, names: ReadonlySet<string>): ModelRows {
  const ofNames = versions.filter((row) => names.has(row.name));
  const runIds = new Set(ofNames.map((row) => row.runId));
  const modelIds = new Set(ofNames.map(createLoggedModelIds(versions)));
  return {
    models: models.filter((row) => names.has(row.name)),
    versions: ofNames,
    runs: runs.filter((run) => runIds.has(run.runId)),
    loggedModels: loggedModels.filter((row) => modelIds.has(row.modelId)),
  };
}

/** The rows with some models replaced. */
function spliced(rows: RegistryRows, names: ReadonlySet<string>, parts: ModelRows): RegistryRows {
  const read = new Set(parts.runs.map((run) => run.runId));
  const readModels = new Set(parts.loggedModels.map((row) => row.modelId));
  return {
    ...rows,
    models: [...rows.models.filter((row) => !names.has(row.name)), ...parts.models],
    versions: [...rows.versions.filter((row) => !names.has(row.name)), ...parts.versions],
    runs: [...rows.runs.filter((run) => !read.has(run.runId)), ...parts.runs],
    loggedModels: [...rows.loggedModels.filter((row) => !readModels.has(row.modelId)), ...parts.loggedModels],
  };
}
