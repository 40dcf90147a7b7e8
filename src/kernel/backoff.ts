import type { Random } from './rng.ts';

/** Exponential back-off: `firstMs` after the first failure, doubling, up to `maxMs`. */
export type Backoff = { firstMs: number; maxMs: number };

/**
 * Wait before the next attempt, in milliseconds, reduced by up to half at random ("equal jitter"), so that clients that
 * failed together do not retry together.
 * @param failures - consecutive failures; 1 = the first
 */
export const backoffMs = ({ firstMs, maxMs }: Backoff, failures: number, random: Random): number =>
  Math.min(firstMs * 2 ** Math.min(failures - 1, 40), maxMs) * (0.5 + 0.5 * random());
