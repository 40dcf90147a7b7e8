import { conflict, invalid, publicText } from '#kernel/errors.ts';
import { directionOf, improvement } from '#kernel/metric-direction.ts';
import type { ModelVersion, RegisteredModel } from '../snapshot/snapshot.ts';
import { type CompareDeps, compareVersions, versionOf } from './compare.ts';
import type { GateRule } from './gate-rules.ts';
import type { GateRequest, GateResult } from './promotion-schemas.ts';

export type GateDeps = CompareDeps & {
  /** Rereads the model, so that the gate evaluates its current state. */
  refreshModel(name: string): Promise<void>;
  rules: GateRule[];
  ownerTags: string[];
  now: () => number;
};

type Verdict = { passed: boolean; reason: string };
type Evaluated = { version: ModelVersion; model: RegisteredModel; baseline: ModelVersion | null };

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/**
 * Evaluates whether a version may be promoted: every rule must pass. Unknown values do not pass, nor does a version
 * that cannot be reread because MLflow does not answer.
 * @throws `not_found` for the model, version or baseline, `invalid` for a version as its own baseline, `conflict` if
 *   there are no rules
 */
export async function evaluateGate(
  deps: GateDeps,
  name: string,
  version: string,
  request: GateRequest,
): Promise<GateResult> {
  const rules = request.rules ?? deps.rules;
  if (request.baseline === version) {
    const constraint = 'must differ from the evaluated version';
    throw invalid(`baseline ${constraint}`, { parameter: 'baseline', constraint, value: version });
  }
  if (rules.length === 0)
    throw conflict('no rules: set GATE_RULES_FILE, or send rules (tower models gate --rules)', { parameter: 'rules' });
  const failure = await deps.refreshModel(name).then(
    () => null,
    (error: unknown) => publicText(error),
  );
  const model = await deps.model(name);
  const evaluated = {
    version: versionOf(model, version),
    model,
    baseline: baselineOf(model, version, request.baseline),
  };
  const verdicts: GateResult['rules'] = [];
  if (failure !== null)
    verdicts.push({
      rule: { ready: true },
      passed: false,
      reason: `cannot read the model from MLflow, and the gate requires current data: ${failure}`,
    });
  for (const rule of rules) verdicts.push({ rule, ...(await check(deps, rule, evaluated)) });
  return {
    name,
    version,
    baseline: evaluated.baseline?.version ?? null,
    status: verdicts.every((item) => item.passed) ? 'pass' : 'fail',
    evaluated_at: new Date(deps.now()).toISOString(),
    rules: verdicts,
  };
}

/** The version in production, unless another one is named. */
function baselineOf(model: RegisteredModel, version: string, named: string | undefined): ModelVersion | null {
  if (named !== undefined) return versionOf(model, named);
  return model.versions.findLast((item) => item.stage === 'Production' && item.version !== version) ?? null;
}

async function check(deps: GateDeps, rule: GateRule, evaluated: Evaluated): Promise<Verdict> {
  const { version, model } = evaluated;
  if ('metric' in rule) return checkMetric(deps, rule, evaluated);
  if ('tag' in rule) return checkTag(rule, { ...model.tags, ...version.tags });
  if ('owner' in rule) return checkOwner(deps.ownerTags, { ...model.tags, ...version.tags });
  if ('stage' in rule)
    return verdict(version.stage === rule.stage, `stage is ${version.stage}, required ${rule.stage}`);
  if ('ready' in rule) return checkReady(version);
  if ('same_dataset' in rule) return checkDataset(deps, evaluated);
  if (version.createdAt === null) return verdict(false, 'MLflow has no creation time of the version');
  const age = deps.now() - version.createdAt;
  if ('max_age_days' in rule)
    return verdict(
      age <= rule.max_age_days * dayMs,
      `version is ${round(age / dayMs)} days old, maximum ${rule.max_age_days}`,
    );
  return verdict(
    age >= rule.min_age_hours * hourMs,
    `version is ${round(age / hourMs)} hours old, minimum ${rule.min_age_hours}`,
  );
}

const verdict = (passed: boolean, reason: string): Verdict => ({ passed, reason });
const round = (value: number): number => Number(value.toPrecision(6));

function checkMetric(
  deps: GateDeps,
  rule: Extract<GateRule, { metric: string }>,
  { version, baseline }: Evaluated,
): Verdict {
  const value = metricOf(version, rule.metric);
  if (value === null) return verdict(false, `version ${version.version} has no value of ${rule.metric}`);
  if ('min' in rule) return verdict(value >= rule.min, `${rule.metric} is ${round(value)}, minimum ${rule.min}`);
  if ('max' in rule) return verdict(value <= rule.max, `${rule.metric} is ${round(value)}, maximum ${rule.max}`);
  if (!baseline) return verdict(false, 'no baseline: no other version is in production');
  const base = metricOf(baseline, rule.metric);
  if (base === null) return verdict(false, `the baseline, version ${baseline.version}, has no value of ${rule.metric}`);
  const direction = directionOf(rule.metric, deps.directions);
  const gain = improvement(base, value, direction);
  if (gain === null)
    return verdict(
      false,
      `the better direction of ${rule.metric} is unknown; set METRICS_HIGHER_IS_BETTER or METRICS_LOWER_IS_BETTER`,
    );
  const allowed = 'max_loss' in rule ? rule.max_loss : (Math.abs(base) * rule.max_loss_pct) / 100;
  // Tolerates rounding: a loss of exactly the allowed amount passes.
  const passed = gain >= -allowed - 1e-9 * Math.max(1, Math.abs(base));
  const text = `${rule.metric} is ${round(value)}, the baseline’s (version ${baseline.version}) is ${round(base)}; ${direction} is better`;
  return verdict(passed, passed ? text : `${text}: worse by ${round(-gain)}, maximum ${round(allowed)}`);
}

const metricOf = ({ metrics }: ModelVersion, name: string): number | null =>
  Object.hasOwn(metrics, name) ? (metrics[name] ?? null) : null;

function checkTag(rule: Extract<GateRule, { tag: string }>, tags: Record<string, string>): Verdict {
  const value = Object.hasOwn(tags, rule.tag) ? tags[rule.tag] : undefined;
  if (value === undefined) return verdict(false, `tag ${rule.tag} is missing`);
  const passed = rule.equals === undefined || value === rule.equals;
  return verdict(
    passed,
    `tag ${rule.tag} is ${JSON.stringify(value.slice(0, 100))}${passed ? '' : `, must be ${JSON.stringify(rule.equals)}`}`,
  );
}

function checkOwner(ownerTags: string[], tags: Record<string, string>): Verdict {
  const found = Object.entries(tags).find(
    ([key, value]) => ownerTags.includes(key.toLowerCase()) && value.trim() !== '',
  );
  return found
    ? verdict(true, `tag ${found[0]} names an owner`)
    : verdict(false, `missing tag: ${ownerTags.join(', ')}`);
}

function checkReady({ status, runId, run }: ModelVersion): Verdict {
  if (status !== 'READY') return verdict(false, `status in MLflow: ${status}`);
  if (runId === null) return verdict(false, 'the version was registered without a run');
  if (run === null) return verdict(false, `run ${runId} does not exist`);
  if (run.deleted) return verdict(false, `run ${runId} was deleted`);
  return verdict(run.status === 'FINISHED', `run status is ${run.status}, required FINISHED`);
}

async function checkDataset(deps: GateDeps, { model, version, baseline }: Evaluated): Promise<Verdict> {
  if (!baseline) return verdict(false, 'no baseline: no other version is in production');
  const { comparable, comparable_reason } = await compareVersions(
    deps,
    model.name,
    `${baseline.version},${version.version}`,
  );
  return verdict(comparable === 'yes', comparable_reason);
}
