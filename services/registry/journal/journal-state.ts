import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Executor, Store } from '#store/store.ts';
import type { Tables } from '#store/tables.ts';
import type { ModelState, VersionState } from './diff.ts';

/**
 * The registry as last recorded, stored beside the events: a row per version, and one with version '' for the model
 * itself. It is written in the transaction of the events, so that each change is recorded exactly once, even if the
 * process dies or the cache file is lost.
 */
export const rowsAtOnce = 500;

export type StateRow = Tables['registry_state'];

/** All models of a registry as recorded, including models without versions. */
export async function loadState(store: Store, registry: string): Promise<Map<string, ModelState>> {
  const db = await store.db();
  const models = new Map<string, Omit<ModelState, 'versions'> & { versions: VersionState[] }>();
  let last: StateRow | null = null;
  const yielder = createYielder();
  for (;;) {
    let query = db.selectFrom('registry_state').selectAll().where('registry', '=', registry);
    if (last) {
      const { name, version } = last;
      query = query.where((at) =>
        at.or([at('name', '>', name), at.and([at('name', '=', name), at('version', '>', version)])]),
      );
    }
    const rows: StateRow[] = await query.orderBy('name').orderBy('version').limit(rowsAtOnce).execute();
    for (const row of rows) {
      const model = models.get(row.name) ?? modelNamed(row.name);
      models.set(row.name, model);
      if (row.version === '') Object.assign(model, JSON.parse(row.state));
      else model.versions.push(versionOf(row.state));
      if (yielder.due()) await yielder.yieldNow();
    }
    last = rows.at(-1) ?? null;
    if (rows.length < rowsAtOnce) return models;
  }
}

/** States of version 0.4.0 have the metrics in `run`. */
function versionOf(state: string): VersionState {
  const { run, ...version } = JSON.parse(state) as VersionState & { run?: { metrics: VersionState['metrics'] } | null };
  return { ...version, metrics: version.metrics ?? run?.metrics ?? {} };
}

const modelNamed = (name: string): Omit<ModelState, 'versions'> & { versions: VersionState[] } => ({
  name,
  createdAt: null,
  description: '',
  tags: {},
  aliases: {},
  versions: [],
});

/** Row changes that turn the stored state of one model into `after`; null = the model was deleted. */
export function stateChanges(
  registry: string,
  name: string,
  before: ModelState | null,
  after: ModelState | null,
): { put: StateRow[]; drop: { name: string; version: string }[] } {
  const old = rowsOf(registry, before?.name ?? name, before);
  const now = rowsOf(registry, name, after);
  const isRenamed = before !== null && before.name !== name;
  const put = [...now]
    .filter(([version, row]) => isRenamed || old.get(version)?.state !== row.state)
    .map(([, row]) => row);
  const removed = [...old.values()].filter((row) => isRenamed || !now.has(row.version));
  return { put, drop: removed.map((row) => ({ name: row.name, version: row.version })) };
}

function rowsOf(registry: string, name: string, model: ModelState | null): Map<string, StateRow> {
  if (!model) return new Map();
  const row = (version: string, state: object): [string, StateRow] => [
    version,
    { registry, name, version, state: JSON.stringify(state) },
  ];
  const { createdAt, description, tags, aliases } = model;
  return new Map([
    row('', { createdAt, description, tags, aliases }),
    ...model.versions.map((item) => row(item.version, kept(item))),
  ]);
}

/** Field by field: a version of a snapshot has more fields than are compared. */
const kept = (item: VersionState): VersionState => ({
  version: item.version,
  createdAt: item.createdAt,
  updatedAt: item.updatedAt,
  stage: item.stage,
  currentStage: item.currentStage,
  stageSource: item.stageSource,
  status: item.status,
  description: item.description,
  tags: item.tags,
  runId: item.runId,
  metrics: item.metrics,
});

/** Writes state rows in batches and yields to the event loop in between. */
export async function writeState(
  db: Executor,
  registry: string,
  put: StateRow[],
  drop: { name: string; version: string }[],
): Promise<void> {
  const yielder = createYielder();
  for (const { name, version } of drop) {
    await db
      .deleteFrom('registry_state')
      .where('registry', '=', registry)
      .where('name', '=', name)
      .where('version', '=', version)
      .execute();
    if (yielder.due()) await yielder.yieldNow();
  }
  for (let from = 0; from < put.length; from += rowsAtOnce) {
    if (yielder.due()) await yielder.yieldNow();
    await db
      .insertInto('registry_state')
      .values(put.slice(from, from + rowsAtOnce))
      .onConflict((at) =>
        at.columns(['registry', 'name', 'version']).doUpdateSet((row) => ({ state: row.ref('excluded.state') })),
      )
      .execute();
  }
}
