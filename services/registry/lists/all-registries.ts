import type { ListAnswer, Provenance } from '#kernel/answers.ts';
import { unavailable } from '#kernel/errors.ts';
import { forEachYielding } from '#kernel/yield-event-loop.ts';
import type { Registry } from '../registry.ts';
import type { ModelListQuery } from '../schemas.ts';
import type { ExperimentRow, ModelVersion, Snapshot } from '../snapshot/snapshot.ts';
import type { AliasTable, Stage } from '../snapshot/stages.ts';
import { createLists } from './lists.ts';

/** One of several registries. */
export type Member = { name: string; registry: Registry };

/**
 * Lists over several registries, each item with its registry's name. A registry that cannot be read is left out and
 * named; the others are unaffected.
 */
export type AllRegistries = {
  names: string[];
  /** @throws `invalid` for a query that breaks a rule, `unavailable` while no registry was ever read */
  versions(stage: Stage | null, query: ModelListQuery): Promise<ListAnswer>;
  experiments(query: ModelListQuery): Promise<ListAnswer>;
  /** Age of the oldest registry shown, and whether any is stale. */
  provenance(): Provenance;
  /** Registries that were never read, and are therefore in no list. */
  missing(): string[];
  /** Registries that have a model of this name. */
  ownersOfModel(name: string): string[];
  ownersOfExperiment(experimentId: string): string[];
};

type Merged = { versions: ModelVersion[]; experiments: ExperimentRow[] };

export function createAllRegistries(members: Member[], maxLimit: number, aliasTable: AliasTable): AllRegistries {
  const lists = createLists(maxLimit, aliasTable);
  const readable = () =>
    members.flatMap(({ name, registry }) => {
      const { snapshot } = registry.status();
      return snapshot ? [{ name, registry, snapshot }] : [];
    });
  let merging: Promise<Merged> | null = null;
  let mergedOf: Snapshot[] = [];
  const current = async (): Promise<Merged> => {
    const shown = readable();
    if (shown.length === 0) throw unavailable('none of the registries has been read yet');
    const snapshots = shown.map((item) => item.snapshot);
    // Built once per set of snapshots, which keeps the cached lists valid.
    if (merging === null || snapshots.length !== mergedOf.length || snapshots.some((item, i) => item !== mergedOf[i])) {
      mergedOf = snapshots;
      merging = merge(shown);
    }
    return merging;
  };
  return {
    names: members.map((member) => member.name),
    versions: async (stage, query) => {
      const { versions } = await current();
      return lists.versions(versions, stage === null ? query : { ...query, stage });
    },
    experiments: async (query) => lists.experiments((await current()).experiments, query),
    provenance: () => {
      const all = readable().map(({ registry }) => registry.provenance());
      return {
        ageMs: all.length === 0 ? null : Math.max(...all.map((item) => item.ageMs ?? 0)),
        stale: all.some((item) => item.stale) || all.length < members.length,
        origin: all.some((item) => item.origin === 'sample') ? 'sample' : 'mlflow',
      };
    },
    missing: () => {
      const shown = readable().map((item) => item.name);
      return members.flatMap(({ name }) => (shown.includes(name) ? [] : [name]));
    },
    ownersOfModel: (name) => readable().flatMap((item) => (item.snapshot.models.has(name) ? [item.name] : [])),
    ownersOfExperiment: (id) =>
      readable().flatMap((item) =>
        item.snapshot.experiments.some((row) => row.experimentId === id) ? [item.name] : [],
      ),
  };
}

async function merge(shown: { name: string; snapshot: Snapshot }[]): Promise<Merged> {
  const versions: ModelVersion[] = [];
  const experiments: ExperimentRow[] = [];
  for (const { name, snapshot } of shown) {
    await forEachYielding(snapshot.versions, (version) => versions.push({ ...version, registry: name }));
    for (const row of snapshot.experiments) experiments.push({ ...row, registry: name });
  }
  // Lists without a sort parameter are ordered by name, registry and version.
  versions.sort(
    (a, b) =>
      compare(a.name, b.name) || compare(a.registry ?? '', b.registry ?? '') || Number(a.version) - Number(b.version),
  );
  experiments.sort(
    (a, b) =>
      a.experimentId.length - b.experimentId.length ||
      compare(a.experimentId, b.experimentId) ||
      compare(a.registry ?? '', b.registry ?? ''),
  );
  return { versions, experiments };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
