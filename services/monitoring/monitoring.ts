import type { ListAnswer } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import { invalid, notFound } from '#kernel/errors.ts';
import type { ModelListQuery } from '#services/registry/schemas.ts';
import type { ModelType, ModelVersion, Snapshot } from '#services/registry/snapshot/snapshot.ts';
import type { Store } from '#store/store.ts';
import type { MonitorAdded, MonitoredEntry, MonitorRemoved, MonitorRequest, MonitorStatus } from './schemas.ts';

/** Dependencies on the registry. */
type Mirror = {
  current(): Promise<Snapshot>;
  /** Null if the registry has not been read. */
  currentIfRead(): Promise<Snapshot | null>;
  listVersions(versions: readonly ModelVersion[], query: ModelListQuery): Promise<ListAnswer>;
};

/** The persistent set of monitored model versions. */
export type Monitoring = {
  /** @throws `not_found` for a version that the mirror does not have, `invalid` for one that is monitored already */
  add(name: string, version: string, request: MonitorRequest): Promise<MonitorAdded>;
  /** @throws `not_found` for a version that is not monitored */
  remove(name: string, version: string): Promise<MonitorRemoved>;
  status(name: string, version: string): Promise<MonitorStatus>;
  entries(): Promise<MonitoredEntry[]>;
  count(): Promise<number>;
  /** Monitored versions as `name\nversion`. */
  keys(): Promise<Set<string>>;
  /** Monitored versions with their current data in the registry; the type is the one given when monitoring began. */
  models(type: ModelType | null, query: ModelListQuery): Promise<ListAnswer>;
};

/** `registry` = name under which the set is stored. */
type Deps = {
  store: Store;
  mirror: Mirror;
  registry: () => string;
  clock: Clock;
  /** Called after each change of the set. */
  onChange: () => void;
};

export function createMonitoring(deps: Deps): Monitoring {
  const { store, mirror, registry } = deps;
  const rows = async () =>
    (await store.db())
      .selectFrom('monitored_models')
      .select(['name', 'version', 'model_type', 'registered_by', 'registered_at', 'run_id'])
      .where('registry', '=', registry())
      .where('version', 'not like', '%@%')
      .orderBy('registered_at')
      .orderBy('name')
      .orderBy('version')
      .execute();
  // The set itself is ours and can be shown without MLflow; only MLflow's data is unknown then.
  const snapshotIfAny = () => mirror.currentIfRead();

  return {
    add: (name, version, request) => addVersion(deps, name, version, request),
    remove: (name, version) => removeVersion(deps, name, version),
    status: async (name, version) => ({
      model_name: name,
      model_version: version,
      is_monitored: (await rows()).some((row) => row.name === name && row.version === version),
      in_registry: inRegistry(await snapshotIfAny(), name, version),
    }),
    entries: async () => {
      const snapshot = await snapshotIfAny();
      return (await rows()).map(({ name, version, ...row }) => ({
        model_name: name,
        model_version: version,
        ...row,
        in_registry: inRegistry(snapshot, name, version),
      }));
    },
    count: async () => (await rows()).length,
    keys: async () => new Set((await rows()).map((row) => `${row.name}\n${row.version}`)),
    models: async (type, query) => {
      const snapshot = await mirror.current();
      const wanted = (await rows()).filter((row) => type === null || row.model_type === type);
      const versions = wanted.flatMap((row) => {
        const version = held(snapshot, row.name, row.version);
        return version ? [{ ...version, modelType: row.model_type }] : [];
      });
      return mirror.listVersions(versions.sort(byNameAndVersion), query);
    },
  };
}

async function addVersion(
  { store, mirror, registry, clock, onChange }: Deps,
  name: string,
  version: string,
  request: MonitorRequest,
): Promise<MonitorAdded> {
  const found = held(await mirror.current(), name, version);
  if (!found) throw notFound('Model not found in MLflow', { model_name: name, model_version: version });
  const row = {
    registry: registry(),
    name,
    version,
    ...request,
    registered_at: new Date(clock.now()).toISOString(),
    run_id: found.runId,
  };
  const { numInsertedOrUpdatedRows } = await (await store.db())
    .insertInto('monitored_models')
    .values(row)
    .onConflict((at) => at.doNothing())
    .executeTakeFirstOrThrow();
  if (!numInsertedOrUpdatedRows)
    throw invalid('Model is already being monitored', { model_name: name, model_version: version });
  onChange();
  return {
    message: `Model ${name} v${version} added to monitoring as ${request.model_type}`,
    model_name: name,
    model_version: version,
    model_type: request.model_type,
    registered_at: row.registered_at,
    registered_by: request.registered_by,
  };
}

async function removeVersion(
  { store, registry, clock, onChange }: Deps,
  name: string,
  version: string,
): Promise<MonitorRemoved> {
  const { numDeletedRows } = await (await store.db())
    .deleteFrom('monitored_models')
    .where('registry', '=', registry())
    .where('name', '=', name)
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  if (!numDeletedRows) throw notFound('Model is not being monitored', { model_name: name, model_version: version });
  onChange();
  return {
    message: `Model ${name} v${version} removed from monitoring`,
    model_name: name,
    model_version: version,
    removed_at: new Date(clock.now()).toISOString(),
  };
}

const held = (snapshot: Snapshot, name: string, version: string): ModelVersion | undefined =>
  snapshot.models.get(name)?.versions.find((item) => item.version === version);

const inRegistry = (snapshot: Snapshot | null, name: string, version: string): boolean | null =>
  snapshot && held(snapshot, name, version) !== undefined;

const byNameAndVersion = (a: ModelVersion, b: ModelVersion): number =>
  a.name === b.name ? Number(a.version) - Number(b.version) : a.name < b.name ? -1 : 1;
