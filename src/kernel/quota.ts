import { LRUCache } from 'lru-cache';

/** Counts what clients use per minute. Time is monotonic: a step of the system clock neither extends nor ends a minute. */
export type Quota = {
  /** Counts `amount`, also above the limit. `resetSeconds`: until the client's minute is over. */
  take(client: string, amount: number, limit: number): { remaining: number; isExceeded: boolean; resetSeconds: number };
};

const windowMs = 60_000;
/** Clients counted at once; beyond it, the one that was silent longest is forgotten. */
const maxClients = 50_000;

/** @param monotonicMs - milliseconds since any fixed time */
export function createQuota(monotonicMs: () => number = () => performance.now()): Quota {
  const windows = new LRUCache<string, { since: number; used: number }>({ max: maxClients });
  return {
    take: (client, amount, limit) => {
      const now = monotonicMs();
      let window = windows.get(client);
      if (!window || now - window.since >= windowMs) {
        window = { since: now, used: 0 };
        windows.set(client, window);
      }
      window.used += amount;
      return {
        remaining: Math.max(0, limit - window.used),
        isExceeded: window.used > limit,
        resetSeconds: Math.ceil((window.since + windowMs - now) / 1000),
      };
    },
  };
}
