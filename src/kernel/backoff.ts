import type { Random } from './rng.ts';

/** Times between attempts: `firstMs` after the first failure, doubling, `maxMs` at most. */
export type Backoff = { firstMs: number; maxMs: number };

/**
 * Wait before the next attempt, in milliseconds, with up to half of it taken off by chance ("equal jitter"), so that clients
 * that failed together do not come back together.
 * @param failures - in a row; 1: the first
 */
export const backoffMs = ({ firstMs, maxMs }: Backoff, failures: number, random: Random): number =>
  Math.min(firstMs * 2 ** Math.min(failures - 1, 40), maxMs) * (0.5 + 0.5 * random());
