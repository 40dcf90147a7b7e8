import { isStorableKey } from '#store/storable.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';

/** Without the names that the store cannot hold: one of them must not keep the changes of all others from being recorded. */
export function storableModels(snapshot: Snapshot): { storable: Snapshot; setAside: string[] } {
  const setAside: string[] = [];
  const models = new Map(snapshot.models);
  for (const [name, model] of snapshot.models) {
    const aliases = Object.keys(model.aliases).filter((alias) => !isStorableKey(alias));
    if (!isStorableKey(name)) models.delete(name);
    else if (aliases.length > 0) {
      const kept = Object.entries(model.aliases).filter(([alias]) => isStorableKey(alias));
      models.set(name, { ...model, aliases: Object.fromEntries(kept) });
    } else continue;
    setAside.push(name, ...aliases);
  }
  return { storable: setAside.length === 0 ? snapshot : { ...snapshot, models }, setAside };
}

export function setAsideText(names: string[]): string {
  const first = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 100)));
  return `changes of some models or aliases are not recorded, since the store cannot hold their names: ${first.join(', ')}${names.length > 3 ? ', …' : ''}`;
}
