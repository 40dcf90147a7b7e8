import type { Reading } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import { TowerError } from '#kernel/errors.ts';

type Entry<T> = { value: T[]; readAt: number };

/**
 * Remembers what was read on demand. Younger than `freshMs` it is given as it is; older, it is read again,
 * and where that fails the old value is given and called stale. Reads of one key at one time are one read.
 * What is remembered is bounded by the number of items in all lists together; the oldest are forgotten first.
 * @returns a function that throws what `load` throws where there is nothing to fall back on
 */
export function createReadCache<T>(options: {
  freshMs: number;
  maxItems: number;
  clock: Clock;
  /** Whether the source is known not to answer: then what is remembered is given without waiting for it. */
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
    // Nothing is to be fresh: nothing is remembered.
    if (freshMs === 0) return { value: await load(key, read), ageMs: 0, stale: false };
    const entry = entries.get(key);
    const ageMs = entry ? clock.now() - entry.readAt : 0;
    if (entry && ageMs < freshMs) return { value: entry.value, ageMs, stale: false };
    if (entry && isDown()) return { value: entry.value, ageMs, stale: true };
    const startedAt = clock.now();
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
      // Only trouble upstream may be bridged; "not found" is news.
      if (!entry || (error instanceof TowerError && error.code !== 'unavailable')) throw error;
      return { value: entry.value, ageMs, stale: true };
    }
  };
}
