/**
 * Logged models (MLflow 3): a run can log several models, each with metrics of its own, and versions are registered from
 * one of them.
 */

export type LoggedModelRow = {
  modelId: string;
  /** Last value of each metric; null if it is NaN or infinite. */
  metrics: Metrics;
};

/** The fields of a version that identify its model. */
type Registered = { name: string; version: string; source: string };
type Metrics = Record<string, number | null>;

/** `models:/m-…` or the path of its artifacts; `models:/name/3` is a copy of a version. */
const ofModel = [/^models:\/(m-[^/@]+)$/, /\/models\/(m-[0-9a-f]{32})(?:\/|$)/];
const ofVersion = /^models:\/(.+)\/(\d+)$/;
/** Copies of copies. */
const maxCopies = 20;

/** @returns a function that finds the id of the logged model of a version; null: it has none */
export function createLoggedModelIds(versions: readonly Registered[]): (row: Registered) => string | null {
  let byName: Map<string, Registered> | null = null;
  const find = (row: Registered, depth: number): string | null => {
    // Most sources are neither: two searches are faster than three patterns.
    if (!row.source.startsWith('models:/') && !row.source.includes('/models/m-')) return null;
    for (const pattern of ofModel) {
      const id = pattern.exec(row.source)?.[1];
      if (id !== undefined) return id;
    }
    const [, name, version] = ofVersion.exec(row.source) ?? [];
    if (name === undefined || depth > maxCopies) return null;
    byName ??= new Map(versions.map((each) => [`${each.name}/${each.version}`, each]));
    const original = byName.get(`${name}/${version}`);
    return original ? find(original, depth + 1) : null;
  };
  return (row) => find(row, 0);
}

/**
 * Metrics of a version that was registered from a logged model: those of this model, and those of the run that no model
 * of the run has.
 * @param loggedModel - null: it was deleted
 * @param ofRun - all known logged models of the run
 */
export function metricsOf(
  run: { metrics: Metrics } | null,
  loggedModel: LoggedModelRow | null,
  ofRun: readonly LoggedModelRow[],
): Metrics {
  const own = loggedModel?.metrics ?? {};
  const others = Object.entries(run?.metrics ?? {}).filter(
    ([name]) => !ofRun.some(({ metrics }) => Object.hasOwn(metrics, name)),
  );
  if (others.length === 0) return own;
  return Object.fromEntries([...others, ...Object.entries(own)].sort(([a], [b]) => (a < b ? -1 : 1)));
}
