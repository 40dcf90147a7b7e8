import { isoTime } from '#kernel/clock.ts';
import { invalid, notFound } from '#kernel/errors.ts';
import type { ModelVersion, RegisteredModel } from '../snapshot/snapshot.ts';
import { type Stage, type StageSource, stages } from '../snapshot/stages.ts';
import type { HistoryQuery, ModelHistory, StagePeriod } from './event-schemas.ts';
import { type Events, parseTime } from './events.ts';
import type { RegistryEvent } from './journal-events.ts';

type Deps = {
  events: Events;
  registry: string;
  /** The model in the mirror; null = not there, undefined = the mirror has no snapshot. */
  model: (name: string) => RegisteredModel | null | undefined;
};

/**
 * Which version had a stage when: past periods from the journal; current ones, and those without an event, from the
 * mirror.
 * @throws `not_found` for a model that neither has, `invalid` for a query that breaks a rule
 */
export async function historyOf(deps: Deps, name: string, query: HistoryQuery): Promise<ModelHistory> {
  const stage = parseStage(query.stage);
  const [events, span] = await Promise.all([deps.events.ofModel(deps.registry, name), deps.events.span(deps.registry)]);
  const model = deps.model(name);
  if (!model && events.length === 0) {
    const now = await deps.events.nameNow(deps.registry, name);
    const why = now === null ? 'is neither in MLflow nor in the journal' : `was renamed to ${JSON.stringify(now)}`;
    throw notFound(`Model ${JSON.stringify(name)} ${why}`, { parameter: 'model_name', value: name });
  }
  // Events of another source are no history of this one.
  const own = events.filter((event) => span === null || event.observedAt >= span.since);
  const turns = stagePeriods(own, model ?? null, stage);
  for (const turn of turns)
    turn.in_registry ??= model === undefined ? null : versionOf(model, turn.version) !== undefined;
  const current = (model?.versions ?? []).filter((item) => item.stage === stage).map((item) => item.version);
  return {
    name,
    stage,
    recorded_since: span?.since ?? null,
    current,
    at: query.at === undefined ? null : versionsAt(turns, query.at, span),
    ...rollback(turns, current, stage, span?.since ?? null),
    turns,
  };
}

function parseStage(text: string | undefined): Stage {
  const stage = stages.find((known) => known.toLowerCase() === (text ?? 'Production').toLowerCase());
  const constraint = `must be one of ${stages.join(', ')}`;
  if (!stage)
    throw invalid(`stage ${constraint} (got ${JSON.stringify(text)})`, { parameter: 'stage', constraint, value: text });
  return stage;
}

/** Every period in which a version had the stage, newest first. */
export function stagePeriods(events: RegistryEvent[], model: RegisteredModel | null, stage: Stage): StagePeriod[] {
  const turns: StagePeriod[] = [];
  const open = new Map<string, StagePeriod>();
  const begin = (version: string, facts: Facts, event: RegistryEvent | null): StagePeriod => {
    const turn: StagePeriod = {
      version,
      run_id: facts.run_id ?? versionOf(model, version)?.runId ?? null,
      stage_source: facts.stage_source,
      from: event && seenBy(event),
      from_not_before: event && event.notBefore,
      until: null,
      until_not_before: null,
      ended_by: null,
      in_registry: null,
    };
    turns.push(turn);
    open.set(version, turn);
    return turn;
  };
  for (const event of events) {
    if (event.version === null) continue;
    const [before, after] = [event.before as Facts | null, event.after as Facts | null];
    if (before?.stage === stage && after?.stage !== stage) {
      // A period without a start event began before recording did.
      const turn = open.get(event.version) ?? begin(event.version, before, null);
      turn.run_id ??= before.run_id ?? null;
      turn.until = seenBy(event);
      turn.until_not_before = event.notBefore;
      turn.ended_by = event.type === 'model_version.deleted' ? 'version_deleted' : 'stage_changed';
      open.delete(event.version);
    }
    if (after?.stage === stage && !open.has(event.version)) begin(event.version, after, event);
    // A version that is created later under the same number is another one.
    if (event.type === 'model_version.deleted' && !isBack(event.version, before, model))
      for (const turn of turns) if (turn.version === event.version) turn.in_registry = false;
  }
  for (const version of model?.versions ?? []) {
    if (version.stage === stage && !open.has(version.version)) begin(version.version, factsOf(version), null);
  }
  return turns.sort(newestFirst);
}

type Facts = {
  stage: Stage;
  stage_source: StageSource;
  run_id?: string | null;
  creation_timestamp?: string | null;
};

/** Whether a version that was deleted is in the registry again, not another one of its number. */
function isBack(version: string, deleted: Facts | null, model: RegisteredModel | null): boolean {
  const createdAt = versionOf(model, version)?.createdAt ?? null;
  return createdAt !== null && deleted?.creation_timestamp === isoTime(createdAt);
}

const factsOf = (version: ModelVersion): Facts => ({ stage: version.stage, stage_source: version.stageSource });

/** Latest possible time of the change: MLflow's timestamp, if it lies between the two polls. */
const seenBy = ({ type, changedAt, notBefore, observedAt }: RegistryEvent): string =>
  type === 'model_version.stage_changed' && changedAt !== null && changedAt > notBefore && changedAt < observedAt
    ? changedAt
    : observedAt;

function newestFirst(a: StagePeriod, b: StagePeriod): number {
  const [endA, endB] = [a.until ?? '9', b.until ?? '9'];
  if (endA !== endB) return endA < endB ? 1 : -1;
  const [fromA, fromB] = [a.from ?? '', b.from ?? ''];
  if (fromA !== fromB) return fromA < fromB ? 1 : -1;
  return Number(b.version) - Number(a.version);
}

function rollback(turns: StagePeriod[], current: string[], stage: Stage, since: string | null) {
  const earlier = turns.filter((turn) => turn.until !== null && !current.includes(turn.version));
  const target = earlier.find((turn) => turn.in_registry);
  if (target) {
    return {
      rollback_target: target.version,
      rollback_reason: `version ${target.version} was ${stage} until ${target.until} and still exists`,
    };
  }
  const recorded = since === null ? 'nothing was recorded yet' : `recording began at ${since}`;
  const reason =
    earlier.length > 0
      ? `the former versions in ${stage} no longer exist in MLflow`
      : `no other version is known to have been in ${stage}; ${recorded}`;
  return { rollback_target: null, rollback_reason: reason };
}

/** The exact time between two polls is unknown: such versions are listed separately. */
function versionsAt(
  turns: StagePeriod[],
  text: string,
  span: { since: string; until: string } | null,
): ModelHistory['at'] {
  const time = parseTime('at', text) ?? '';
  if (span === null || time < span.since) return { time, versions: null, uncertain: [] };
  if (time > span.until) {
    const constraint = `must not be later than the last poll of the registry, ${span.until}`;
    throw invalid(`at ${constraint}`, { parameter: 'at', constraint, value: text });
  }
  const certain = turns.filter(
    (turn) =>
      (turn.from === null || turn.from <= time) && (turn.until_not_before === null || time <= turn.until_not_before),
  );
  const possible = turns.filter(
    (turn) =>
      !certain.includes(turn) &&
      (turn.from_not_before === null || turn.from_not_before < time) &&
      (turn.until === null || time < turn.until),
  );
  return { time, versions: versionsOf(certain), uncertain: versionsOf(possible) };
}

const versionsOf = (turns: StagePeriod[]): string[] => [...new Set(turns.map((turn) => turn.version))];

const versionOf = (model: RegisteredModel | null, version: string): ModelVersion | undefined =>
  model?.versions.find((item) => item.version === version);
