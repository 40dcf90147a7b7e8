import { forEachYielding } from '#kernel/yield-event-loop.ts';
import type { AliasTable } from './stages.ts';
import { effectiveStage, type Stage, type StageSource, stageOf } from './stages.ts';

/** What a reader hands over: rows as MLflow has them, times in milliseconds since 1970, UTC. */
export type RegistryRows = {
  experiments: ExperimentRow[];
  models: ModelRow[];
  versions: VersionRow[];
  /** Runs that versions were made by; a run MLflow no longer knows is missing here. */
  runs: RunRow[];
  /** MLflow's version where the source tells it. */
  serverVersion: string | null;
};

export type ExperimentRow = {
  /** In lists over several registries: which one. */
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
  /** alias -> version; may name versions that are gone. */
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
  /** Last value of each metric; null where it is NaN or infinite. */
  metrics: Record<string, number | null>;
  /** Metrics with a point after the end of the run: what may be production data rather than a learning curve. */
  lateMetrics: string[];
};

export type ModelVersion = Omit<VersionRow, 'currentStage'> & {
  /** In lists over several registries: which one. */
  registry?: string;
  currentStage: Stage;
  /** Effective stage: the stage, else what an alias says. */
  stage: Stage;
  stageSource: StageSource;
  aliases: string[];
  modelType: ModelType | null;
  run: RunRow | null;
};

export type ModelType = 'classifier' | 'regressor';

export type RegisteredModel = Omit<ModelRow, 'aliases'> & {
  aliases: Record<string, string>;
  /** The registry listed versions of it, but not the model itself: nothing else is known of it. */
  unlisted: boolean;
  /** By version number, ascending. */
  versions: ModelVersion[];
};

export type DanglingAlias = { name: string; alias: string; version: string };

/** One moment of a registry. Never changed once made; a newer one replaces it whole. */
export type Snapshot = {
  /** When the source was read. */
  readAt: number;
  rows: RegistryRows;
  experiments: ExperimentRow[];
  models: ReadonlyMap<string, RegisteredModel>;
  /** All versions by name and version number, ascending. */
  versions: ModelVersion[];
  byStage: Readonly<Record<Stage, ModelVersion[]>>;
  danglingAliases: DanglingAlias[];
};

/**
 * Joins rows into a snapshot: prompts and deleted versions dropped, aliases joined, runs linked,
 * duplicates removed, everything sorted. A version whose model is missing from the model list still
 * gets a model (some servers answer the one search and not the other).
 */
export async function buildSnapshot(rows: RegistryRows, readAt: number, aliasTable: AliasTable): Promise<Snapshot> {
  const runs = new Map<string, RunRow>();
  await forEachYielding(rows.runs, (run) => runs.set(run.runId, run));
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
    model.versions.push(joinVersion(row, ofModel, aliasesOf.get(key) ?? [], runs, aliasTable));
  });
  return index(rows, readAt, inOrder ? models : new Map([...models].sort(([a], [b]) => (a < b ? -1 : 1))), seen);
}

/** One key for a version; the separator cannot occur in a version number. */
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

/** Field by field, because a spread per version is what a swap of a large registry spent its time on. */
function joinVersion(
  row: VersionRow,
  ofModel: ModelType | null,
  aliases: string[],
  runs: Map<string, RunRow>,
  aliasTable: AliasTable,
): ModelVersion {
  const currentStage = stageOf(row.currentStage);
  const { stage, source } = effectiveStage(currentStage, aliases, aliasTable);
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
    run: (row.runId && runs.get(row.runId)) || null,
  };
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

/** Ids are whole numbers of up to 18 digits, too long for a number: the shorter one is the smaller one. */
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

/** What the tags `model_type`, `type`, `task` or `task_type` say; null where they say nothing we know. */
function modelTypeOf(tags: Record<string, string>): ModelType | null {
  for (const key of ['model_type', 'type', 'task', 'task_type']) {
    const word = tags[key];
    const match = word && typeWords.find(([pattern]) => pattern.test(word.trim()));
    if (match) return match[1];
  }
  return null;
}
