import type { Transaction } from '#store/store.ts';
import type { VersionMove } from '#store/version-rows.ts';
import { isSame, type ModelState, type VersionState } from './diff.ts';

/**
 * A model is identified by its creation time and those of its versions, not by its name: what users attached to a version
 * must not pass to another one of the same name and number, and follows a renamed model.
 */

type Step = { name: string; before: ModelState | null; after: ModelState | null };

/** The moves of attached rows that changed models require. */
export async function movesOf(
  transaction: Transaction,
  registry: string,
  steps: readonly Step[],
  at: string,
): Promise<VersionMove[]> {
  const moves: VersionMove[] = [];
  let deletedNames: Promise<Set<string>> | null = null;
  for (const { before, after } of steps) {
    if (!after) continue;
    const isSameModel = before !== null && isSame(before, after);
    if (isSameModel && before.name !== after.name)
      moves.push({ kind: 'renamed', from: before.name, to: after.name, at });
    const known = new Map(before?.versions.map((version) => [version.version, version]));
    const isNew = (version: VersionState) => {
      const former = known.get(version.version);
      return !isSameModel || !former || !isSame(former, version);
    };
    const created = after.versions.filter(isNew);
    if (created.length === 0) continue;
    deletedNames ??= namesWithDeletions(transaction, registry);
    const deleted = (await deletedNames).has(after.name)
      ? await deletedVersions(transaction, registry, after.name)
      : new Map<string, number | null>();
    for (const { version, createdAt } of created) {
      const former = known.get(version);
      const from = former ? former.createdAt : deleted.get(version);
      if (from !== undefined && from !== createdAt)
        moves.push({ kind: 'replaced', name: after.name, version, from, to: createdAt });
    }
  }
  return moves;
}

const deletions = (transaction: Transaction, registry: string) =>
  transaction
    .selectFrom('registry_events')
    .where('registry', '=', registry)
    .where('type', '=', 'model_version.deleted');

async function namesWithDeletions(transaction: Transaction, registry: string): Promise<Set<string>> {
  const rows = await deletions(transaction, registry).select('name').distinct().execute();
  return new Set(rows.map(({ name }) => name));
}

/** Creation times of the versions that were deleted last under each number of a model; null: unknown. */
async function deletedVersions(
  transaction: Transaction,
  registry: string,
  name: string,
): Promise<Map<string, number | null>> {
  const rows = await deletions(transaction, registry)
    .select(['version', 'before'])
    .where('name', '=', name)
    .orderBy('id')
    .execute();
  return new Map(
    rows.map(({ version, before }) => {
      const { creation_timestamp: at } = JSON.parse(before ?? '{}') as { creation_timestamp?: string | null };
      return [version ?? '', at ? Date.parse(at) : null];
    }),
  );
}
