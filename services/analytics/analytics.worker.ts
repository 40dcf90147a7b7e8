import { TowerError } from '#kernel/errors.ts';
import { movedResult } from '#kernel/moved-result.ts';
import { openMetricReader } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import { createReads, type Reads } from './reads.ts';
import { createReader } from './storage/reader.ts';

/** Reads metric points on a thread, over a connection of its own. */

export type ReadTask = { place: Place; rawRetentionDays: number; name: keyof Reads; now: number; args: unknown[] };
/** The answer as JSON in UTF-8, or the error, whose class does not cross threads. */
export type ReadResult = { json: Uint8Array } | { error: Pick<TowerError, 'code' | 'message' | 'details'> };

/** Maximum size of an answer. */
const maxBytes = 64 * 2 ** 20;

let reads: Promise<Reads> | null = null;
const encoder = new TextEncoder();

export async function read({ place, rawRetentionDays, name, now, args }: ReadTask): Promise<ReadResult> {
  try {
    reads ??= openMetricReader(place).then((store) => createReads(createReader(store), rawRetentionDays));
    reads.catch(() => {
      reads = null;
    });
    const call = (await reads)[name] as (now: number, ...args: unknown[]) => Promise<unknown>;
    const json = encoder.encode(JSON.stringify(await call(now, ...args)));
    if (json.byteLength > maxBytes) throw tooLarge();
    return movedResult({ json }, [json.buffer]) as unknown as ReadResult;
  } catch (error) {
    if (!(error instanceof TowerError)) throw error;
    const { code, message, details } = error;
    return { error: { code, message, details } };
  }
}

const tooLarge = () =>
  new TowerError('invalid', `the answer is larger than ${maxBytes / 2 ** 20} MiB: request less at once`, {
    details: { errorType: 'execution' },
  });
