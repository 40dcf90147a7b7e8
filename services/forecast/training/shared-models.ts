import { join } from 'node:path';
import { readIfPresent, writeAtomically } from '#kernel/files.ts';
import type { Store } from '#store/store.ts';
import { checkServiceName } from './experiments.ts';
import { modelFile, servicesIn } from './model-library.ts';

/**
 * Shares trained models between the instances of one store. An instance reads model files from its own directory; models
 * of other instances are written there first.
 */
export type SharedModels = {
  /** Publishes this instance's file of a service. */
  publish(service: string): Promise<void>;
  /**
   * Fetches models that other instances trained since; null = of every service. Publishes files that no other instance
   * has.
   */
  fetch(service: string | null): Promise<void>;
};

export function createSharedModels(store: Store, directory: string): SharedModels {
  /** Training times of the models that this process published or fetched. */
  const known = new Map<string, string>();
  const read = (service: string) => readIfPresent(pathOf(directory, service));
  const trainedAt = async (service: string) => timeIn(await read(service));
  const publish = async (service: string): Promise<void> => {
    const body = await read(service);
    const trained_at = timeIn(body);
    if (body === null || trained_at === '') return;
    const db = await store.db();
    await db
      .insertInto('trained_models')
      .values({ service, trained_at, body })
      .onConflict((on) =>
        on.column('service').doUpdateSet({ trained_at, body }).where('trained_models.trained_at', '<', trained_at),
      )
      .execute();
    known.set(service, trained_at);
  };
  return {
    publish,
    fetch: async (service) => {
      const db = await store.db();
      const all = db.selectFrom('trained_models').select(['service', 'trained_at']);
      const rows = await (service === null ? all : all.where('service', '=', service)).execute();
      const shared = new Set(rows.map((row) => row.service));
      const services = service === null ? await servicesIn(directory) : [service];
      for (const name of services.filter((each) => !shared.has(each))) await publish(name);
      for (const row of rows.filter((each) => known.get(each.service) !== each.trained_at)) {
        // The local file may be newer if the store was unavailable when it should have been published.
        if ((await trainedAt(row.service)) >= row.trained_at) {
          await publish(row.service);
          continue;
        }
        const { body } = await db
          .selectFrom('trained_models')
          .select('body')
          .where('service', '=', row.service)
          .executeTakeFirstOrThrow();
        await writeAtomically(pathOf(directory, row.service), once(body));
        known.set(row.service, row.trained_at);
      }
    },
  };
}

/** Training time in a model file; '' without a file. */
const timeIn = (file: string | null): string => /"trained_at":"([^"]+)"/.exec(file ?? '')?.[1] ?? '';

function pathOf(directory: string, service: string): string {
  checkServiceName(service);
  return join(directory, modelFile(service));
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
