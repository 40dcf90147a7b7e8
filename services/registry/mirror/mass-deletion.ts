import { type Clock, steadyMs } from '#kernel/clock.ts';
import { findRenames } from '../journal/diff.ts';
import type { RegisteredModel, Snapshot } from '../snapshot/snapshot.ts';

/**
 * A server that answers wrongly (a lost permission, an empty database behind a proxy) looks as if most models had been
 * deleted. Such a read is not believed until a later one confirms it.
 */

/** A deletion of fewer models is believed at once. */
const minModels = 5;
const confirmAfterMs = 60_000;

export type DeletionGuard = ReturnType<typeof createDeletionGuard>;

/** @param share - share of the models that may be deleted from one read to the next, 0 to 1 */
export function createDeletionGuard(share: number, clock: Pick<Clock, 'now' | 'steady'>) {
  /** When a read lost these models first, in steady time. */
  let doubt: { since: number; lost: Set<string> } | null = null;
  return {
    /** Whether `fresh` lost too many models of `before`; for reads that a whole read follows. */
    isMass: (before: Snapshot, fresh: Snapshot): boolean => isMass(lostModels(before, fresh).size, before),
    /** @returns why a whole read must not be believed yet; null: it may */
    check: (before: Snapshot | null, fresh: Snapshot): string | null => {
      const lost = before ? lostModels(before, fresh) : new Set<string>();
      if (!before || !isMass(lost.size, before)) {
        doubt = null;
        return null;
      }
      const now = steadyMs(clock);
      // Models that came back in between must be missing for the whole time again.
      const stillLost = new Set([...lost].filter((name) => doubt?.lost.has(name)));
      const isConfirmed = doubt !== null && now - doubt.since >= confirmAfterMs;
      const unconfirmed = isConfirmed ? lost.size - stillLost.size : lost.size;
      if (!isMass(unconfirmed, before)) {
        doubt = null;
        return null;
      }
      if (doubt === null || isConfirmed || !isMass(stillLost.size, before)) doubt = { since: now, lost };
      else doubt.lost = stillLost;
      return `${lost.size} of ${before.models.size} models are missing from MLflow, or have lost all versions: not believed until a read at least ${confirmAfterMs / 1000} s later confirms it (MASS_DELETION_PCT)`;
    },
  };

  function isMass(count: number, { models }: Snapshot): boolean {
    return count >= minModels && count > share * models.size;
  }
}

/** Names of models that are missing, no longer listed or without any of their versions; renamed models are not lost. */
function lostModels(before: Snapshot, fresh: Snapshot): Set<string> {
  const gone: RegisteredModel[] = [];
  const lost = new Set<string>();
  for (const model of before.models.values()) {
    const now = fresh.models.get(model.name);
    if (!now) gone.push(model);
    else if ((now.unlisted && !model.unlisted) || (now.versions.length === 0 && model.versions.length > 0))
      lost.add(model.name);
  }
  const appeared = gone.length === 0 ? [] : [...fresh.models.values()].filter(({ name }) => !before.models.has(name));
  const renamed = new Set(findRenames(gone, appeared).values());
  for (const { name } of gone) if (!renamed.has(name)) lost.add(name);
  return lost;
}
