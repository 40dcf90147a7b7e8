import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** The compliance queries of the Prometheus project, each with every variant of its arguments. */
const variants: Record<string, string[]> = {
  range: ['1s', '15s', '1m', '5m', '15m', '1h'],
  offset: ['1m', '5m', '10m'],
  instantRateFunc: ['irate', 'idelta'],
  extrapolatedRateFunc: ['rate', 'increase', 'delta'],
  simpleAggrOp: ['sum', 'avg', 'max', 'min', 'count', 'stddev', 'stdvar'],
  simpleTimeAggrOp: ['sum', 'avg', 'max', 'min', 'count', 'stddev', 'stdvar', 'absent', 'last', 'present'],
  topBottomOp: ['topk', 'bottomk'],
  quantile: ['-0.5', '0.1', '0.5', '0.75', '0.95', '0.90', '0.99', '1', '1.5'],
  arithBinOp: ['+', '-', '*', '/', '%', '^'],
  compBinOp: ['==', '!=', '<', '>', '<=', '>='],
  binOp: ['+', '-', '*', '/', '%', '^', '==', '!=', '<', '>', '<=', '>='],
  simpleMathFunc: ['abs', 'ceil', 'floor', 'exp', 'sqrt', 'ln', 'log2', 'log10', 'round'],
  clampFunc: ['clamp_min', 'clamp_max'],
  dateFunc: ['day_of_month', 'day_of_week', 'days_in_month', 'hour', 'minute', 'month', 'year'],
};

export function complianceQueries(): string[] {
  const text = readFileSync(new URL('../fixtures/promql-queries.yml', import.meta.url), 'utf8');
  const { test_cases } = parse(text) as { test_cases: { query: string; variant_args?: string[] }[] };
  return test_cases.flatMap(({ query, variant_args = [] }) =>
    variant_args.reduce(
      (queries, name) =>
        queries.flatMap((each) => variants[name]!.map((value) => each.replaceAll(`{{.${name}}}`, value))),
      [query],
    ),
  );
}
