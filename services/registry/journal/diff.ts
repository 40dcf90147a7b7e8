import { isoTime } from '#kernel/clock.ts';
import type { ModelVersion, RegisteredModel } from '../snapshot/snapshot.ts';

/** Every kind of change that the mirror can detect, in MLflow's terms where there are any. */
export const eventTypes = [
  'registered_model.created',
  'registered_model.deleted',
  'registered_model.renamed',
  'registered_model.description_changed',
  'registered_model.tags_changed',
  'model_version.created',
  'model_version.deleted',
  'model_version.stage_changed',
  'model_version.status_changed',
  'model_version.description_changed',
  'model_version.tags_changed',
  'model_version.metrics_changed',
  'model_version_alias.created',
  'model_version_alias.moved',
  'model_version_alias.deleted',
] as const;
export type EventType = (typeof eventTypes)[number];

/** Compared fields of a version; a version of a snapshot has them all. */
export type VersionState = Pick<
  ModelVersion,
  'version' | 'createdAt' | 'updatedAt' | 'stage' | 'currentStage' | 'stageSource' | 'status' | 'description' | 'tags'
> & { runId: string | null; metrics: Record<string, number | null> };

/** Compared fields of a model; a model of a snapshot has them all. */
export type ModelState = Pick<RegisteredModel, 'name' | 'createdAt' | 'description' | 'tags' | 'aliases'> & {
  versions: readonly VersionState[];
};

/** One change of one model. `before` and `after` hold the differing fields; null = did not exist, no longer exists. */
export type Change = {
  type: EventType;
  name: string;
  version: string | null;
  alias: string | null;
  before: unknown;
  after: unknown;
  /** Time of the change, if MLflow has one: it stores none for deletions, tags and aliases. */
  changedAt: number | null;
};

/**
 * Changes of one model between two polls; null = the model does not exist. A version (or model) of the same name with
 * another creation time is a new one: the old one was deleted.
 */
export function diffModel(before: ModelState | null, after: ModelState | null): Change[] {
  if (before && after && !isSame(before, after)) return [...diffModel(before, null), ...diffModel(null, after)];
  const model = after ?? before;
  if (!model) return [];
  const { name } = model;
  const changes: Change[] = [];
  const add = (type: EventType, more: Partial<Change>) =>
    changes.push({ type, name, version: null, alias: null, before: null, after: null, changedAt: null, ...more });

  if (!before && after) add('registered_model.created', { after: modelFacts(after), changedAt: after.createdAt });
  if (before && after) {
    if (before.name !== after.name) add('registered_model.renamed', { before: before.name, after: after.name });
    if (before.description !== after.description)
      add('registered_model.description_changed', { before: before.description, after: after.description });
    const tags = differing(before.tags, after.tags);
    if (tags) add('registered_model.tags_changed', tags);
  }
  const [old, now] = [byVersion(before), byVersion(after)];
  for (const version of new Set([...old.keys(), ...now.keys()])) {
    diffVersion(old.get(version) ?? null, now.get(version) ?? null, (type, more) => add(type, { version, ...more }));
  }
  const [oldAliases, newAliases] = [before?.aliases ?? {}, after?.aliases ?? {}];
  for (const alias of new Set([...Object.keys(oldAliases), ...Object.keys(newAliases)])) {
    const [from, to] = [oldAliases[alias] ?? null, newAliases[alias] ?? null];
    if (from === to) continue;
    const type = from === null ? 'created' : to === null ? 'deleted' : 'moved';
    add(`model_version_alias.${type}`, { alias, version: to ?? from, before: from, after: to });
  }
  if (before && !after) add('registered_model.deleted', { before: modelFacts(before) });
  return changes;
}

/**
 * @param add receives a change of this version
 */
function diffVersion(
  before: VersionState | null,
  after: VersionState | null,
  add: (type: EventType, more: Partial<Change>) => void,
): void {
  if (before && after && !isSame(before, after)) {
    diffVersion(before, null, add);
    return diffVersion(null, after, add);
  }
  if (!before && after) add('model_version.created', { after: versionFacts(after), changedAt: after.createdAt });
  if (before && !after) add('model_version.deleted', { before: versionFacts(before) });
  if (!before || !after) return;
  // MLflow has a timestamp of these two changes only, and only of the latest.
  const changedAt = after.updatedAt === before.updatedAt ? null : after.updatedAt;
  if (before.stage !== after.stage || before.currentStage !== after.currentStage) {
    const isRaw = before.currentStage !== after.currentStage;
    add('model_version.stage_changed', {
      before: stageFacts(before),
      after: stageFacts(after),
      changedAt: isRaw ? changedAt : null,
    });
  }
  if (before.status !== after.status)
    add('model_version.status_changed', { before: before.status, after: after.status });
  if (before.description !== after.description)
    add('model_version.description_changed', { before: before.description, after: after.description, changedAt });
  const tags = differing(before.tags, after.tags);
  if (tags) add('model_version.tags_changed', tags);
  const metrics = differing(before.metrics, after.metrics);
  if (metrics) add('model_version.metrics_changed', metrics);
}

/**
 * Detects renames among models that disappeared and models that appeared in one poll: the same creation time to the
 * millisecond, and no contradicting version. Ambiguous cases are not renames.
 * @returns new name -> old name
 */
export function findRenames(vanished: ModelState[], appeared: ModelState[]): Map<string, string> {
  const renames = new Map<string, string>();
  const oldByTime = Map.groupBy(vanished, (model) => model.createdAt);
  for (const [createdAt, [now, ...others]] of Map.groupBy(appeared, (model) => model.createdAt)) {
    const [old, ...more] = oldByTime.get(createdAt) ?? [];
    if (createdAt === null || !now || !old || others.length + more.length > 0) continue;
    if (mayBeSameModel(old, now)) renames.set(now.name, old.name);
  }
  return renames;
}

function mayBeSameModel(old: ModelState, now: ModelState): boolean {
  const known = byVersion(old);
  const shared = now.versions.filter((item) => known.has(item.version));
  const agree = shared.every((item) => item.createdAt === known.get(item.version)?.createdAt);
  return agree && (shared.length > 0 || old.versions.length + now.versions.length === 0);
}

/** MLflow never reuses a version number within a model, but a recreated model starts again at 1. */
export const isSame = (before: { createdAt: number | null }, after: { createdAt: number | null }): boolean =>
  before.createdAt === null || after.createdAt === null || before.createdAt === after.createdAt;

const byVersion = (model: ModelState | null): Map<string, VersionState> =>
  new Map(model?.versions.map((item) => [item.version, item]));

/** The differing entries, before and after; null if there are none. */
function differing<T>(before: Record<string, T>, after: Record<string, T>) {
  const [was, is]: [Record<string, T>, Record<string, T>] = [{}, {}];
  for (const key of Object.keys(before))
    if (!Object.hasOwn(after, key) || after[key] !== before[key]) was[key] = before[key] as T;
  for (const key of Object.keys(after))
    if (!Object.hasOwn(before, key) || after[key] !== before[key]) is[key] = after[key] as T;
  return Object.keys(was).length + Object.keys(is).length > 0 ? { before: was, after: is } : null;
}

const modelFacts = ({ description, tags }: ModelState) => ({ description, tags });

const stageFacts = (version: VersionState) => ({
  stage: version.stage,
  current_stage: version.currentStage,
  stage_source: version.stageSource,
});

const versionFacts = (version: VersionState) => ({
  ...stageFacts(version),
  status: version.status,
  description: version.description,
  run_id: version.runId,
  creation_timestamp: isoTime(version.createdAt),
  tags: version.tags,
  metrics: version.metrics,
});
