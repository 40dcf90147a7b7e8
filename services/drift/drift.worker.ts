import { TowerError } from '#kernel/errors.ts';
import { openStoreReader } from '#store/open-store.ts';
import type { Place, Store } from '#store/store.ts';
import { type Examination, type Examined, examine } from './examine.ts';

/** Examines versions on a thread, over a connection of its own. */

export type ExamineTask = { place: Place; examination: Examination };
/** The error's class does not cross threads. */
export type ExamineResult = { examined: Examined[] } | { error: Pick<TowerError, 'code' | 'message' | 'details'> };

let store: Promise<Store> | null = null;

export async function run({ place, examination }: ExamineTask): Promise<ExamineResult> {
  try {
    store ??= openStoreReader(place);
    store.catch(() => {
      store = null;
    });
    return { examined: await examine(await store, examination) };
  } catch (error) {
    if (!(error instanceof TowerError)) throw error;
    const { code, message, details } = error;
    return { error: { code, message, details } };
  }
}
