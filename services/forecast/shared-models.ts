import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeAtomically } from '../../src/kernel/files.ts';
import type { Store } from '../../src/store/store.ts';
import { checkServiceName } from './experiments.ts';
import { modelFile } from './library.ts';

/**
 * Trained models of all towers over one store. A tower works with the files in its own folder; what another one trained is
 * written there before it is read.
 */
export type SharedModels = {
  /** Leaves this tower's file of a service for the others. */
  leave(service: string, trainedAt: string): Promise<void>;
  /** Brings what another tower has trained since; null = of every service. */
  bring(service: string | null): Promise<void>;
};

export function createSharedModels(store: Store, folder: string): SharedModels {
  /** When those in the folder were trained, of those that were left or brought by this process. */
  const known = new Map<string, string>();
  const pathOf = (service: string) => {
    checkServiceName(service);
    return join(folder, modelFile(service));
  };
  return {
    leave: async (service, trained_at) => {
      const row = { trained_at, body: await readFile(pathOf(service), 'utf8') };
      const db = await store.db();
      await db
        .insertInto('trained_models')
        .values({ service, ...row })
        .onConflict((on) => on.column('service').doUpdateSet(row).where('trained_models.trained_at', '<', trained_at))
        .execute();
      known.set(service, trained_at);
    },
    bring: async (service) => {
      const db = await store.db();
      const all = db.selectFrom('trained_models').select(['service', 'trained_at']);
      const rows = await (service === null ? all : all.where('service', '=', service)).execute();
      for (const row of rows.filter((each) => known.get(each.service) !== each.trained_at)) {
        const { body } = await db
          .selectFrom('trained_models')
          .select('body')
          .where('service', '=', row.service)
          .executeTakeFirstOrThrow();
        await writeAtomically(pathOf(row.service), once(body));
        known.set(row.service, row.trained_at);
      }
    },
  };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
