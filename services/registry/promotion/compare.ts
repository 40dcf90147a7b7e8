import type { Reading } from '#kernel/answers.ts';
import { invalid, notFound, publicText } from '#kernel/errors.ts';
import { type Directions, directionOf, improvement } from '#kernel/metric-direction.ts';
import type { ModelVersion, RegisteredModel } from '../snapshot/snapshot.ts';
import type { RunDetail } from '../sources/source.ts';
import type { Comparison, MetricComparison } from './promotion-schemas.ts';

export type CompareDeps = {
  model(name: string): Promise<RegisteredModel>;
  runDetails(runIds: string[]): Promise<Reading<RunDetail[]>>;
  directions: Directions;
};

/**
 * Compares champion and challenger: differences in metrics, params and tags, and whether the metrics are comparable.
 * Defaults: the champion is the version in production; the challenger is the newest version in staging, else the newest
 * version.
 * @throws `not_found` for the model or a version, `invalid` for a query that breaks a rule
 */
export async function compareVersions(
  deps: CompareDeps,
  name: string,
  versions: string | undefined,
): Promise<Comparison> {
  const model = await deps.model(name);
  const [champion, challenger] = versions === undefined ? defaultPair(model) : namedPair(model, versions);
  const ids = [champion.runId, challenger.runId].filter((id) => id !== null);
  const read = ids.length > 0 ? await deps.runDetails([...new Set(ids)]).catch(asProblem) : { value: [] };
  const runs = new Map('value' in read ? read.value.map((run) => [run.runId, run]) : []);
  const [old, now] = [runs.get(champion.runId ?? ''), runs.get(challenger.runId ?? '')];
  const datasets = old && now ? { champion: old.datasets, challenger: now.datasets } : null;
  const metrics = compareMetrics(champion, challenger, deps.directions);
  return {
    name,
    champion: side(champion),
    challenger: side(challenger),
    ...compareDatasets(datasets),
    datasets,
    metrics,
    summary: {
      challenger_better: metrics.filter((item) => item.better === 'challenger').length,
      champion_better: metrics.filter((item) => item.better === 'champion').length,
      equal: metrics.filter((item) => item.better === 'equal').length,
      undecided: metrics.filter((item) => item.better === null).length,
    },
    params: old && now ? differences(old.params, now.params) : null,
    params_reason: old && now ? null : whyNoParams(champion, challenger, 'problem' in read ? read.problem : null),
    tags: differences(champion.tags, challenger.tags),
  };
}

const asProblem = (error: unknown) => ({ problem: publicText(error) });

function namedPair(model: RegisteredModel, text: string): [ModelVersion, ModelVersion] {
  const names = text.split(',').map((part) => part.trim());
  const [first = '', second = '', ...rest] = names;
  if (first === '' || second === '' || rest.length > 0 || first === second) {
    const constraint = 'must be two different versions, champion and challenger, such as 3,4';
    throw invalid(`versions ${constraint} (got ${JSON.stringify(text)})`, {
      parameter: 'versions',
      constraint,
      value: text,
    });
  }
  return [versionOf(model, first), versionOf(model, second)];
}

/** @throws `not_found` with the existing versions */
export function versionOf(model: RegisteredModel, version: string): ModelVersion {
  const found = model.versions.find((item) => item.version === version);
  if (found) return found;
  const known = model.versions.slice(-10).map((item) => item.version);
  throw notFound(
    `Model ${JSON.stringify(model.name)} has no version ${JSON.stringify(version)}; the latest are ${known.join(', ') || 'none'}`,
    {
      parameter: 'version',
      value: version,
    },
  );
}

function defaultPair(model: RegisteredModel): [ModelVersion, ModelVersion] {
  const champion = model.versions.findLast((item) => item.stage === 'Production');
  const others = model.versions.filter((item) => item !== champion);
  const challenger = others.findLast((item) => item.stage === 'Staging') ?? others.at(-1);
  if (champion && challenger) return [champion, challenger];
  const constraint = champion ? 'must be set: there is no other version' : 'must be set: no version is in production';
  throw invalid(`versions ${constraint}`, { parameter: 'versions', constraint });
}

const side = (version: ModelVersion): Comparison['champion'] => ({
  version: version.version,
  stage: version.stage,
  aliases: version.aliases,
  run_id: version.runId,
  creation_timestamp: version.createdAt === null ? null : new Date(version.createdAt).toISOString(),
});

function compareMetrics(champion: ModelVersion, challenger: ModelVersion, directions: Directions): MetricComparison[] {
  const [old, now] = [champion.metrics, challenger.metrics];
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].sort().map((name) => {
    const [before, after] = [old[name] ?? null, now[name] ?? null];
    const direction = directionOf(name, directions);
    const change = before === null || after === null ? null : after - before;
    return {
      name,
      direction,
      champion: before,
      challenger: after,
      change,
      change_pct: change === null || before === null || before === 0 ? null : (100 * change) / Math.abs(before),
      better: before === null || after === null ? null : betterOf(improvement(before, after, direction), change),
    };
  });
}

function betterOf(gain: number | null, change: number | null): MetricComparison['better'] {
  if (change === 0) return 'equal';
  if (gain === null) return null;
  return gain > 0 ? 'challenger' : 'champion';
}

/** Metrics measured on different data are not comparable; this is checked before any verdict. */
function compareDatasets(datasets: Comparison['datasets']): Pick<Comparison, 'comparable' | 'comparable_reason'> {
  if (!datasets || datasets.champion.length === 0 || datasets.challenger.length === 0)
    return { comparable: 'unknown', comparable_reason: 'MLflow has no dataset for both runs' };
  const names = (list: { name: string }[]) => [...new Set(list.map((item) => item.name))].sort().join(', ');
  const [old, now] = [names(datasets.champion), names(datasets.challenger)];
  if (old !== now)
    return { comparable: 'warn', comparable_reason: `they were measured on different datasets: ${old} and ${now}` };
  const digests = (list: { name: string; digest: string }[]) =>
    list
      .map((item) => `${item.name} ${item.digest}`)
      .sort()
      .join();
  if (digests(datasets.champion) !== digests(datasets.challenger))
    return { comparable: 'warn', comparable_reason: `the digest of ${old} differs between the two runs` };
  return { comparable: 'yes', comparable_reason: `both were measured on ${old}` };
}

function whyNoParams(champion: ModelVersion, challenger: ModelVersion, problem: string | null): string {
  if (problem !== null) return `cannot read the runs: ${problem}`;
  const without = [champion, challenger].filter((item) => item.run === null).map((item) => item.version);
  return `no run of version ${without.join(' and ') || `${champion.version} or ${challenger.version}`} is known`;
}

function differences(before: Record<string, string>, after: Record<string, string>): Comparison['tags'] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .map((name) => ({ name, champion: before[name] ?? null, challenger: after[name] ?? null }))
    .filter((item) => item.champion !== item.challenger);
}
