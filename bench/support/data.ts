import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Report } from './report.ts';

/** Kinds of data: one sub-directory of BENCH_DATA each, with unmodified public series. */
export const kinds = {
  m4: 'Hourly-train.csv and Hourly-test.csv of the M4 competition (Mcompetitions/M4-methods)',
  nab: 'data/ and labels/ of the Numenta Anomaly Benchmark (numenta/NAB)',
  smd: 'the Server Machine Dataset, a CSV per server with cpu_r and mem_u (NetManAIOps/OmniAnomaly)',
  bitbrains: 'GWA-T-12, a CSV of t_unix and cores per VM, every 300 s (atlarge-research/opendc)',
  'nezha-online-boutique': 'metrics of Online Boutique (IntelligentDDS/Nezha)',
  requests: 'CSV files of minute and count, such as the NASA access log',
  'mora-experiments': 'load experiments, a CSV and a JSON each (Microservice-Orchestration-and-Rightsizing-Agent)',
} as const;
export type Kind = keyof typeof kinds;

const root = process.env['BENCH_DATA'];

/** The directory of a kind of data. */
export const directoryOf = (kind: Kind): string => join(resolve(root ?? ''), kind);

/** Files of a kind whose relative paths match, sorted by name. */
export const filesOf = (kind: Kind, pattern: RegExp): string[] =>
  root !== undefined && existsSync(directoryOf(kind))
    ? readdirSync(directoryOf(kind), { recursive: true, encoding: 'utf8' })
        .filter((file) => pattern.test(file))
        .sort()
    : [];

/** Whether any of these kinds exists; if not, the claims are reported as skipped. */
export function hasData(report: Report, claims: string, ...any: Kind[]): boolean {
  const isThere = any.some((kind) => filesOf(kind, /./).length > 0);
  if (!isThere)
    report.skip(claims, root === undefined ? 'BENCH_DATA is not set' : `no ${any.join(' or ')} in BENCH_DATA`);
  return isThere;
}

/** One-line description of BENCH_DATA. */
export const dataHelp = `BENCH_DATA must name a directory with ${Object.entries(kinds)
  .map(([name, text]) => `${name}/ (${text})`)
  .join(', ')}; a kind that is missing skips its claims`;
