import { notFound } from '#kernel/errors.ts';
import { countOr, invalidParameter } from '#kernel/query.ts';
import { forEachYielding } from '#kernel/yield-event-loop.ts';
import type { ModelVersion, RegisteredModel, Snapshot } from '../snapshot/snapshot.ts';
import { type AliasTable, effectiveStage } from '../snapshot/stages.ts';
import { type Finding, findingKinds, type HygieneQuery, type HygieneReport } from './promotion-schemas.ts';

export type HygieneDeps = {
  current(): Promise<Snapshot>;
  /** Monitored versions as `name\nversion`. */
  monitored(): Promise<Set<string>>;
  aliasTable: AliasTable;
  /** Lower-case tags that name an owner, on a model or a version. */
  ownerTags: string[];
  staleAfterDays: number;
  now: () => number;
};

type Kind = (typeof findingKinds)[number];

const dayMs = 86_400_000;

/**
 * Finds what is wrong or missing in the registry: by default in production and staging versions, with `scope=all` in
 * all.
 * @throws `invalid` for a query that breaks a rule, `not_found` for an unknown model
 */
export async function hygieneOf(
  deps: HygieneDeps,
  query: HygieneQuery,
): Promise<HygieneReport & { total: number; nextPageToken: string | null }> {
  const limit = countOr('limit', query.limit, 1000, 10_000);
  const from = query.page_token === undefined ? 0 : countOr('page_token', query.page_token, 0, 1e8);
  const scope = query.scope ?? 'deployed';
  if (scope !== 'deployed' && scope !== 'all') throw invalidParameter('scope', 'must be deployed or all', scope);
  const kind = findingKinds.find((known) => known === query.kind);
  if (query.kind !== undefined && kind === undefined)
    throw invalidParameter('kind', `must be one of ${findingKinds.join(', ')}`, query.kind);

  const [snapshot, monitored] = await Promise.all([deps.current(), deps.monitored()]);
  if (query.name !== undefined && !snapshot.models.has(query.name))
    throw notFound(`Model ${JSON.stringify(query.name)} not found in MLflow`, { parameter: 'name', value: query.name });
  const findings: Finding[] = snapshot.danglingAliases.map(({ name, alias, version }) => ({
    kind: 'dangling_alias',
    name,
    version,
    alias,
    detail: `alias ${alias} points at version ${version}, which was deleted`,
  }));
  await forEachYielding(snapshot.models.values(), (model) => {
    for (const finding of ofModel(deps, model, scope === 'all', monitored)) findings.push(finding);
  });
  const counts = Object.fromEntries(
    findingKinds.map((name) => [name, findings.filter((item) => item.kind === name).length]),
  );
  const wanted = findings
    .filter(
      (item) => (kind === undefined || item.kind === kind) && (query.name === undefined || item.name === query.name),
    )
    .sort((a, b) => order(a) - order(b) || compare(a.name, b.name) || Number(a.version ?? 0) - Number(b.version ?? 0));
  const page = wanted.slice(from, from + limit);
  return {
    checked_models: snapshot.models.size,
    checked_versions:
      scope === 'all' ? snapshot.versions.length : snapshot.byStage.Production.length + snapshot.byStage.Staging.length,
    scope,
    counts: counts as Record<Kind, number>,
    findings: page,
    total: wanted.length,
    nextPageToken: from + page.length < wanted.length ? String(from + page.length) : null,
  };
}

const order = (finding: Finding): number => findingKinds.indexOf(finding.kind);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function ofModel(deps: HygieneDeps, model: RegisteredModel, all: boolean, monitored: Set<string>): Finding[] {
  const found: Finding[] = [];
  const add = (kind: Kind, detail: string, version: string | null = null) =>
    found.push({ kind, name: model.name, version, alias: null, detail });
  const inProduction = model.versions.filter((item) => item.stage === 'Production');
  const checked = all
    ? model.versions
    : model.versions.filter((item) => item.stage === 'Production' || item.stage === 'Staging');
  if (inProduction.length > 1)
    add(
      'several_production_versions',
      `versions ${inProduction.map((item) => item.version).join(', ')} are in production at the same time`,
    );
  for (const version of checked) {
    const conflict = stageConflict(version, deps.aliasTable);
    if (conflict) add('stage_alias_conflict', conflict, version.version);
    const run = runProblem(version);
    if (run) add('missing_run', run, version.version);
    else if (Object.keys(version.metrics).length === 0) add('no_metrics', 'its run has no metrics', version.version);
    if (!hasOwner(deps, model, version))
      add('no_owner', `neither the version nor its model has a tag ${deps.ownerTags.join(', ')}`, version.version);
  }
  if (model.description.trim() === '' && checked.length > 0) add('no_description', 'the model has no description');
  for (const version of inProduction) {
    if (!monitored.has(`${version.name}\n${version.version}`))
      add('unmonitored_production', 'in production but not monitored', version.version);
  }
  const stale = staleness(deps, inProduction);
  if (stale) add('stale_model', stale);
  return found;
}

/** Stage and alias contradict each other. */
function stageConflict({ currentStage, aliases }: ModelVersion, table: AliasTable): string | null {
  if (currentStage === 'None') return null;
  const { stage } = effectiveStage('None', aliases, table);
  return stage === 'None' || stage === currentStage
    ? null
    : `its stage is ${currentStage}, but its aliases (${aliases.join(', ')}) mean ${stage}`;
}

function runProblem({ runId, run }: ModelVersion): string | null {
  if (runId === null) return 'it was registered without a run';
  if (run === null) return `its run ${runId} does not exist`;
  return run.deleted ? `its run ${runId} was deleted` : null;
}

const hasOwner = ({ ownerTags }: HygieneDeps, model: RegisteredModel, version: ModelVersion): boolean =>
  [...Object.entries(model.tags), ...Object.entries(version.tags)].some(
    ([key, value]) => ownerTags.includes(key.toLowerCase()) && value.trim() !== '',
  );

function staleness({ now, staleAfterDays }: HygieneDeps, inProduction: ModelVersion[]): string | null {
  const newest = Math.max(...inProduction.map((item) => item.createdAt ?? 0), 0);
  if (newest === 0) return null;
  const days = Math.floor((now() - newest) / dayMs);
  return days > staleAfterDays
    ? `the version in production was created ${days} days ago (more than ${staleAfterDays})`
    : null;
}
