import { forEachYielding } from '#kernel/yield-event-loop.ts';
import { createLoggedModelIds, type LoggedModelRow, metricsOf } from './logged-models.ts';
import type { AliasTable } from './stages.ts';
import { effectiveStage, type Stage, type StageSource, stageOf } from './stages.ts';

/** Rows from a source, in MLflow's structure; times in milliseconds since 1970, UTC. */
export type RegistryRows = {
  experiments: ExperimentRow[];
  models: ModelRow[];
  versions: VersionRow[];
  /** Source runs of versions; runs deleted in MLflow are missing. */
  runs: RunRow[];
  /** Logged models of versions (MLflow 3); those deleted in MLflow are missing. */
  loggedModels: LoggedModelRow[];
  /** MLflow's version, if the source reports it. */
  serverVersion: string | null;
};

export type ExperimentRow = {
  /** Registry of the item, in lists over several registries. */
  registry?: string;
  experimentId: string;
  name: string;
  artifactLocation: string;
  lifecycleStage: string;
  createdAt: number | null;
  updatedAt: number | null;
  tags: Record<string, string>;
};

export type ModelRow = {
  name: string;
  createdAt: number | null;
  updatedAt: number | null;
  description: string;
  tags: Record<string, string>;
  /** alias -> version; may name deleted versions. */
  aliases: Record<string, string>;
};

export type VersionRow = {
  name: string;
  version: string;
  createdAt: number | null;
  updatedAt: number | null;
  currentStage: string;
  description: string;
  source: string;
  status: string;
  runId: string | null;
  tags: Record<string, string>;
};

export type RunRow = {
  runId: string;
  experimentId: string;
  status: string;
  deleted: boolean;
  startedAt: number | null;
  endedAt: number | null;
  /** Last value of each metric; null if it is NaN or infinite. */
  metrics: Record<string, number | null>;
  /** Metrics with a point after the end of the run: possibly production data rather than a learning curve. */
  lateMetrics: string[];
};

export type ModelVersion = Omit<VersionRow, 'currentStage'> & {
  /** Registry of the item, in lists over several registries. */
  registry?: string;
  currentStage: Stage;
  /** Effective stage: the stage, else the one that an alias implies. */
  stage: Stage;
  stageSource: StageSource;
  aliases: string[];
  modelType: ModelType | null;
  run: RunRow | null;
  /** Id of the logged model that it was registered from (MLflow 3). */
  modelId: string | null;
  loggedModel: LoggedModelRow | null;
  /** Of its logged model, else of its run. */
  metrics: Record<string, number | null>;
};

export type ModelType = 'classifier' | 'regressor';

export type RegisteredModel = Omit<ModelRow, 'aliases'> & {
  aliases: Record<string, string>;
  /** The registry listed versions of this model, but not the model itself, whose other fields are unknown. */
  unlisted: boolean;
  /** Ascending by version number. */
  versions: ModelVersion[];
};

export type DanglingAlias = { name: string; alias: string; version: string };

/** An immutable state of a registry; a newer snapshot replaces it. */
export type Snapshot = {
  /** Time at which the source was read. */
  readAt: number;
  rows: RegistryRows;
  experiments: ExperimentRow[];
  models: ReadonlyMap<string, RegisteredModel>;
  /** All versions, ascending by name and version number. */
  versions: ModelVersion[];
  byStage: Readonly<Record<Stage, ModelVersion[]>>;
  danglingAliases: DanglingAlias[];
};

/**
 * Joins rows into a snapshot: drops prompts and deleted versions, joins aliases, links runs, removes duplicates, sorts.
 * A version whose model is missing from the model list still gets a model (some servers support only one of the two
 * searches).
 */
export async function buildSnapshot(rows: RegistryRows, readAt: number, aliasTable: AliasTable): Promise<Snapshot> {
  const runs = new Map<string, RunRow>();
  await forEachYielding(rows.runs, (run) => runs.set(run.runId, run));
  const loggedModels = await joinLoggedModels(rows);
  const models = new Map<string, RegisteredModel>();
  const modelTypes = new Map<string, ModelType | null>();
  const prompts = new Set<string>();
  await forEachYielding([...rows.models].sort(byName), (row) => {
    if (isPrompt(row.tags)) prompts.add(row.name);
    else models.set(row.name, modelOf(row));
    modelTypes.set(row.name, modelTypeOf(row.tags));
  });
  const aliasesOf = await invertAliases(models);
  const seen = new Set<string>();
  let inOrder = true;
  await forEachYielding(rows.versions, (row) => {
    const key = versionKey(row.name, row.version);
    if (seen.has(key) || prompts.has(row.name) || isPrompt(row.tags) || row.currentStage === 'Deleted_Internal') return;
    seen.add(key);
    let model = models.get(row.name);
    if (!model) {
      model = modelFromVersion(row);
      models.set(row.name, model);
      inOrder = false;
    }
    const ofModel = modelTypes.get(row.name) ?? null;
    model.versions.push(joinVersion(row, ofModel, aliasesOf.get(key) ?? [], runs, loggedModels, aliasTable));
  });
  return index(rows, readAt, inOrder ? models : new Map([...models].sort(([a], [b]) => (a < b ? -1 : 1))), seen);
}

/** Map key of a version; the separator cannot occur in a version number. */
export const versionKey = (name: string, version: string): string => `${version}\n${name}`;

async function index(
  rows: RegistryRows,
  readAt: number,
  models: Map<string, RegisteredModel>,
  seen: Set<string>,
): Promise<Snapshot> {
  const versions: ModelVersion[] = [];
  const byStage: Record<Stage, ModelVersion[]> = { None: [], Staging: [], Production: [], Archived: [] };
  const danglingAliases: DanglingAlias[] = [];
  await forEachYielding(models.values(), (model) => {
    model.versions.sort((a, b) => Number(a.version) - Number(b.version));
    for (const version of model.versions) {
      versions.push(version);
      byStage[version.stage].push(version);
    }
    for (const [alias, version] of Object.entries(model.aliases)) {
      if (!seen.has(versionKey(model.name, version))) danglingAliases.push({ name: model.name, alias, version });
    }
  });
  const experiments = [...rows.experiments].sort(byExperimentId);
  return { readAt, rows, experiments, models, versions, byStage, danglingAliases };
}

/** Field by field: spreading each version dominated the time of a swap of a large registry. */
function joinVersion(
  row: VersionRow,
  ofModel: ModelType | null,
  aliases: string[],
  runs: Map<string, RunRow>,
  loggedModels: LoggedModels,
  aliasTable: AliasTable,
): ModelVersion {
  const currentStage = stageOf(row.currentStage);
  const { stage, source } = effectiveStage(currentStage, aliases, aliasTable);
  const run = (row.runId && runs.get(row.runId)) || null;
  const modelId = loggedModels.idOf(row);
  const loggedModel = (modelId && loggedModels.byId.get(modelId)) || null;
  return {
    name: row.name,
    version: row.version,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
    description: row.description,
    source: row.source,
    status: row.status,
    runId: row.runId,
    tags: row.tags,
    currentStage,
    stage,
    stageSource: source,
    aliases,
    modelType: modelTypeOf(row.tags) ?? ofModel,
    run,
    modelId,
    loggedModel,
    metrics:
      modelId === null
        ? (run?.metrics ?? {})
        : metricsOf(run, loggedModel, (run && loggedModels.byRun.get(run.runId)) || []),
  };
}

type LoggedModels = Awaited<ReturnType<typeof joinLoggedModels>>;

async function joinLoggedModels({ versions, loggedModels }: RegistryRows) {
  const idOf = createLoggedModelIds(versions);
  const byId = new Map(loggedModels.map((row) => [row.modelId, row]));
  const byRun = new Map<string, LoggedModelRow[]>();
  await forEachYielding(versions, (version) => {
    const found = version.runId === null ? null : idOf(version);
    const row = found === null ? undefined : byId.get(found);
    if (!row || version.runId === null) return;
    const known = byRun.get(version.runId);
    if (!known) byRun.set(version.runId, [row]);
    else if (!known.includes(row)) known.push(row);
  });
  return { idOf, byId, byRun };
}

async function invertAliases(models: Map<string, RegisteredModel>): Promise<Map<string, string[]>> {
  const inverted = new Map<string, string[]>();
  await forEachYielding(models.values(), (model) => {
    for (const alias of Object.keys(model.aliases).sort()) {
      const key = versionKey(model.name, model.aliases[alias] ?? '');
      const known = inverted.get(key);
      if (known) known.push(alias);
      else inverted.set(key, [alias]);
    }
  });
  return inverted;
}

/** Ids are whole numbers of up to 18 digits, beyond a double's precision: compared by length, then as text. */
const byExperimentId = (a: ExperimentRow, b: ExperimentRow): number =>
  a.experimentId.length - b.experimentId.length || (a.experimentId < b.experimentId ? -1 : 1);

const modelOf = (row: ModelRow): RegisteredModel => ({
  name: row.name,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
  description: row.description,
  tags: row.tags,
  aliases: row.aliases,
  unlisted: false,
  versions: [],
});

const modelFromVersion = ({ name }: VersionRow): RegisteredModel => ({
  ...modelOf({ name, createdAt: null, updatedAt: null, description: '', tags: {}, aliases: {} }),
  unlisted: true,
});

const byName = (a: ModelRow, b: ModelRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

const isPrompt = (tags: Record<string, string>): boolean => tags['mlflow.prompt.is_prompt']?.toLowerCase() === 'true';

const typeWords: [RegExp, ModelType][] = [
  [/^(binary|multiclass|multilabel)?[\s_-]*classif(ier|ication)$/i, 'classifier'],
  [/^regress(or|ion)$/i, 'regressor'],
];

/** Type from the tags `model_type`, `type`, `task` or `task_type`; null if none has a known value. */
function modelTypeOf(tags: Record<string, string>): ModelType | null {
  for (const key of ['model_type', 'type', 'task', 'task_type']) {
    const word = tags[key];
    const match = word && typeWords.find(([pattern]) => pattern.test(word.trim()));
    if (match) return match[1];
  }
  return null;
}
