import type { BacktestAnswer } from '#services/rightsizing/backtest/backtest-schemas.ts';
import type { BatchAnswer, SizeAnswer, Sizing } from '#services/rightsizing/schemas.ts';
import { card, table } from '../table.ts';
import { bySaving, csvText } from './rightsizing-csv.ts';

/** Text output of recommendations and backtests. */

export type Output = 'table' | 'csv' | 'kubectl' | 'kustomize' | 'helm' | 'vpa';
export type Cost = BatchAnswer['cost'];
/** Two workloads of one namespace. */
export function together(first: BatchAnswer, then: BatchAnswer): BatchAnswer {
  const sum = (name: 'monthly_now' | 'monthly_recommended' | 'monthly_saving') => {
    const [a, b] = [first.cost[name], then.cost[name]];
    return a === null ? b : b === null ? a : a + b;
  };
  return {
    ...then,
    recommendations: [...first.recommendations, ...then.recommendations],
    failures: [...first.failures, ...then.failures],
    cost: {
      ...then.cost,
      monthly_now: sum('monthly_now'),
      monthly_recommended: sum('monthly_recommended'),
      monthly_saving: sum('monthly_saving'),
    },
  };
}

/** Makes a text safe as a one-line comment in a shell and in YAML: names and messages may contain anything. */
const comment = (text: string): string => `# ${text.replaceAll(/\s+/g, ' ')}`;

/** One YAML document per applicable recommendation; the others become comments. */
export function batchText({ recommendations, failures, cost }: BatchAnswer, output: Output): string {
  if (output === 'csv') return csvText(bySaving(recommendations));
  const isTable = output === 'table';
  const errors = failures.map(({ service, error }) => `${service}: ${error}`);
  if (isTable)
    return [
      ...bySaving(recommendations).map((one) => recommendationText(one, output)),
      ...errors,
      `total: ${costText(cost)}`,
    ].join('\n\n');
  const documents = recommendations.map((one) => {
    const title = `${one.namespace}/${one.service}`;
    return one.outputs === null
      ? recommendationText(one, output)
      : `${comment(title)}\n${recommendationText(one, output)}`;
  });
  return [...documents, ...errors.map(comment)].join(output === 'kubectl' ? '\n' : '\n---\n');
}

export function recommendationText(answer: SizeAnswer, output: Output): string {
  if (output === 'csv') return csvText([answer]);
  if (answer.outputs === null) {
    const text = `${answer.namespace}/${answer.service}: no recommendation: ${answer.reason}`;
    return output === 'table' ? text : comment(text);
  }
  if (output !== 'table') return [...answer.notes.map(comment), answer.outputs[output].trimEnd()].join('\n');
  const { containers, replicas, hpa, hpa_memory, cost, notes } = answer;
  const rows = containers.flatMap(({ container, cpu, memory }) => [
    rowOf(container, 'CPU', cpu, cores),
    rowOf(container, 'memory', memory, bytes),
  ]);
  const why = containers.flatMap(({ container, cpu, memory }): [string, unknown][] => [
    [`${container} CPU`, cpu.explanation],
    [`${container} memory`, memory.explanation],
    ...comparedOf(container, cpu, memory),
  ]);
  return [
    `${answer.namespace}/${answer.service}`,
    table(['CONTAINER', 'RESOURCE', 'CURRENT', 'RECOMMENDED', 'CONFIDENCE', 'BOUND BY'], rows),
    card([
      ...why,
      ...(replicas
        ? ([['replicas', `${replicas.current ?? '?'} → ${replicas.recommended ?? '?'}: ${replicas.explanation}`]] as [
            string,
            unknown,
          ][])
        : []),
      ...[hpa, hpa_memory].flatMap((each): [string, unknown][] => (each ? [['autoscaler', hpaText(each)]] : [])),
      ['cost', costText(cost)],
      ...notes.map((note): [string, unknown] => ['note', note]),
    ]),
  ].join('\n\n');
}

const rowOf = (container: string, what: string, sizing: Sizing, show: (value: number | null) => string | null) => [
  container,
  what,
  withLimit(sizing.current_request, sizing.current_limit, show),
  withLimit(sizing.request, sizing.limit, show),
  sizing.confidence === null
    ? null
    : `${Number((100 * sizing.confidence).toFixed(sizing.confidence > 0.99 ? 1 : 0))} %`,
  sizing.bound_by,
];

/** A limit is shown if it differs from the request. */
const withLimit = (request: number | null, limit: number | null, show: (value: number | null) => string | null) =>
  limit === null || limit === request ? show(request) : `${show(request) ?? '-'} (limit ${show(limit)})`;

function comparedOf(container: string, cpu: Sizing, memory: Sizing): [string, unknown][] {
  const list = (sizing: Sizing, show: (value: number | null) => string | null) =>
    sizing.compared.map(({ strategy, request }) => `${strategy} ${show(request) ?? '-'}`).join(', ');
  if (cpu.compared.length === 0) return [];
  return [
    [`${container} CPU by strategy`, list(cpu, cores)],
    [`${container} memory by strategy`, list(memory, bytes)],
  ];
}

const hpaText = ({
  name,
  target_utilization,
  recommended_target_utilization,
  explanation,
}: NonNullable<SizeAnswer['hpa']>): string => {
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const to = recommended_target_utilization === null ? '?' : percent(recommended_target_utilization);
  return `${name} ${percent(target_utilization)} → ${to}: ${explanation}`;
};

const cores = (value: number | null): string | null => (value === null ? null : `${Math.ceil(value * 1000 - 1e-6)}m`);
const bytes = (value: number | null): string | null =>
  value === null ? null : `${Math.ceil(value / 2 ** 20 - 1e-9)}Mi`;

function costText({ currency, monthly_now, monthly_recommended, monthly_saving }: Cost): string {
  const money = (value: number) => `${value.toFixed(2)} ${currency}`;
  if (monthly_recommended === null) return 'unknown: requests or replicas are unknown';
  if (monthly_now === null || monthly_saving === null)
    return `${money(monthly_recommended)} per month; the current cost is unknown`;
  return `${money(monthly_now)} → ${money(monthly_recommended)} per month, ${monthly_saving >= 0 ? 'saves' : 'costs'} ${money(Math.abs(monthly_saving))}`;
}

export function backtestText({
  summaries,
  windows,
  horizon_seconds,
  resource,
  recommendation,
}: BacktestAnswer): string {
  const share = (value: number) => Number(value.toFixed(3));
  const rows = summaries.map(
    ({ strategy, slack, violations, violated_windows, regret, ooms_per_day, resizes, calibration_error }) => [
      strategy,
      Number(regret.toFixed(2)),
      share(slack),
      share(violations),
      share(violated_windows),
      ...(resource === 'memory' ? [share(ooms_per_day)] : []),
      share(resizes),
      calibration_error === null ? null : share(calibration_error),
    ],
  );
  const heads = [
    'STRATEGY',
    'REGRET',
    'SLACK',
    'ABOVE',
    'WINDOWS',
    ...(resource === 'memory' ? ['OOM/DAY'] : []),
    'RESIZED',
    'ECE',
  ];
  const { request, confidence } = recommendation;
  const target = resource === 'cpu' ? 'at most 5 % of the samples exceed it' : 'memory stays below the request';
  const sure = confidence === null ? '' : ` (${target}, with probability ${Math.round(100 * confidence)} %)`;
  return [
    table(heads, rows),
    '',
    request === null
      ? 'No request: too little data.'
      : `Request for the next ${horizon_seconds / 3600} h: ${resource === 'cpu' ? cores(request) : bytes(request)}${sure}`,
    '',
    `${windows} windows of ${horizon_seconds / 3600} h. REGRET: cost relative to the optimum (1.0 = optimal); SLACK: share of requested resources not used; ABOVE: share of samples above the request; WINDOWS: share of windows with such samples; RESIZED: share of requests changed by more than 10 %; ECE: expected calibration error of stated probabilities`,
  ].join('\n');
}
