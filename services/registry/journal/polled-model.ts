import type { RegisteredModel } from '../snapshot/snapshot.ts';
import { isSame, type ModelState, type VersionState } from './diff.ts';

/**
 * State of a model after a poll. Anything missing from one poll is kept: a list that changes while it is paged can skip
 * items. It counts as deleted when two consecutive polls miss it.
 * @param missed - receives what this poll missed, with the time it was last seen (`seenAt`)
 */
export function modelAfterPoll(
  before: ModelState | null,
  seen: RegisteredModel | null,
  missedBefore: ReadonlyMap<string, string>,
  missed: Map<string, string>,
  seenAt: string,
): ModelState | null {
  const isGone = (key: string) => {
    if (missedBefore.has(key)) return true;
    missed.set(key, seenAt);
    return false;
  };
  if (!seen) return before && isGone(before.name) ? null : before;
  if (seen.unlisted && before) return modelAfterPoll(before, asListed(seen, before), missedBefore, missed, seenAt);
  const presentVersions = new Set(seen.versions.map((item) => item.version));
  const sameModel = before !== null && isSame(before, seen);
  const lost = before?.versions.filter((item) => !presentVersions.has(item.version)) ?? [];
  const held = sameModel ? lost.filter((item) => !isGone(`${item.version}\n${seen.name}`)) : [];
  if (held.length === 0) return seen;
  const versions = [...seen.versions, ...held.map((item) => withoutAlias(item, seen))].sort(
    (a, b) => Number(a.version) - Number(b.version),
  );
  return { ...seen, versions };
}

/**
 * A server that lists versions of a model but not the model itself reveals nothing about its aliases and tags: these,
 * and the stages that aliases imply, are assumed unchanged.
 */
function asListed(
  seen: RegisteredModel,
  { createdAt, description, tags, aliases, versions }: ModelState,
): RegisteredModel {
  const known = new Map(versions.map((item) => [item.version, item]));
  const withStage = seen.versions.map((item) => {
    const before = known.get(item.version);
    return before && before.currentStage === item.currentStage
      ? { ...item, stage: before.stage, stageSource: before.stageSource }
      : item;
  });
  return { ...seen, unlisted: false, createdAt, description, tags, aliases, versions: withStage };
}

/** The stage implied by an alias ends when the alias moves, whether or not the version still exists. */
function withoutAlias(item: VersionState, { aliases }: RegisteredModel): VersionState {
  const isNamed = Object.values(aliases).includes(item.version);
  return item.stageSource === 'alias' && !isNamed ? { ...item, stage: 'None', stageSource: 'none' } : item;
}
