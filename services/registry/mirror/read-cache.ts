import type { Reading } from '#kernel/answers.ts';
import { type Clock, steadyMs } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';

type Entry<T> = { value: T[]; readAt: number };

/**
 * Cache of reads on demand. A value younger than `freshMs` is returned directly; an older one is read again, and if
 * that fails it is returned as stale. Concurrent reads of one key are merged. Bounded by the number of items in all
 * lists together, least recently read first out.
 * @returns a function that throws the error of `load` if there is no cached value
 */
export function createReadCache<T>(options: {
  freshMs: number;
  maxItems: number;
  clock: Clock;
  /** Whether the source is known to be down: cached values are then returned without waiting for it. */
  isDown: () => boolean;
}) {
  const { clock, freshMs, maxItems, isDown } = options;
  const entries = new Map<string, Entry<T>>();
  let items = 0;
  const forget = (key: string): void => {
    items -= entries.get(key)?.value.length ?? 0;
    entries.delete(key);
  };
  const loading = new Map<string, Promise<T[]>>();

  const load = (key: string, read: () => Promise<T[]>): Promise<T[]> => {
    const pending = loading.get(key) ?? read().finally(() => loading.delete(key));
    loading.set(key, pending);
    return pending;
  };

  return async (key: string, read: () => Promise<T[]>): Promise<Reading<T[]>> => {
    // With a freshness of 0, nothing is cached.
    if (freshMs === 0) return { value: await load(key, read), ageMs: 0, stale: false };
    const entry = entries.get(key);
    const ageMs = entry ? steadyMs(clock) - entry.readAt : 0;
    if (entry && ageMs < freshMs) return { value: entry.value, ageMs, stale: false };
    if (entry && isDown()) return { value: entry.value, ageMs, stale: true };
    const startedAt = steadyMs(clock);
    try {
      const value = await load(key, read);
      forget(key);
      entries.set(key, { value, readAt: startedAt });
      items += value.length;
      for (const oldest of entries.keys()) {
        if (items <= maxItems || oldest === key) break;
        forget(oldest);
      }
      return { value, ageMs: 0, stale: false };
    } catch (error) {
      // Only upstream failures fall back to the cache; "not found" is a valid answer.
      if (!entry || (error instanceof TowerError && error.code !== 'unavailable')) throw error;
      return { value: entry.value, ageMs, stale: true };
    }
  };
}
