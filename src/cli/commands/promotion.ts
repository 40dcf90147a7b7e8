import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { invalid } from '#kernel/errors.ts';
import type { Comparison, GateResult, HygieneReport } from '#services/registry/promotion/promotion-schemas.ts';
import { exitCodes } from '../client.ts';
import type { CliContext } from '../context.ts';
import { table } from '../table.ts';

/** `tower models compare|gate|hygiene`: promotion checks. */
export function addPromotionCommands(models: Command, context: CliContext): void {
  models
    .command('compare <name> [champion] [challenger]')
    .description(
      'compare champion and challenger; default: the version in production, and the newest in staging or of all',
    )
    .action(async (name: string, champion?: string, challenger?: string) => {
      if (champion !== undefined && challenger === undefined) throw invalid('set both versions, or none');
      const query = champion === undefined ? '' : `?versions=${encodeURIComponent(`${champion},${challenger}`)}`;
      context.print(
        await context.tower().get<Comparison>(`/model/${encodeURIComponent(name)}/compare${query}`),
        comparisonText,
      );
    });

  models
    .command('gate <name> <version>')
    .description('evaluate the promotion gate for a version; exit code 1 if it fails')
    .option('--baseline <version>', 'compare with this version; default: production')
    .option('--rules <file>', 'YAML or JSON file with rules; default: the server’s rules')
    .action(async (name: string, version: string, flags: { baseline?: string; rules?: string }) => {
      const body = {
        ...(flags.baseline === undefined ? {} : { baseline: flags.baseline }),
        ...(await rulesOf(flags.rules)),
      };
      const path = `/model/${encodeURIComponent(name)}/${encodeURIComponent(version)}/gate`;
      const result = await context.tower().post<GateResult>(path, body);
      context.print(result, gateText);
      if (result.status === 'fail') process.exitCode = exitCodes.failed;
    });

  models
    .command('hygiene')
    .description('findings about the registry, such as missing owners')
    .option('--kind <kind>', 'only findings of this kind')
    .option('--name <model>', 'only findings of this model')
    .option('--all', 'all versions; default: those in production and staging')
    .action(async (flags: { kind?: string; name?: string; all?: boolean }) => {
      const { all, ...rest } = flags;
      const query = new URLSearchParams({ ...rest, ...(all ? { scope: 'all' } : {}) });
      context.print(await context.tower().get<HygieneReport>(`/models/hygiene?${query}`), reportText);
    });
}

async function rulesOf(path: string | undefined): Promise<{ rules?: unknown }> {
  if (path === undefined) return {};
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read --rules ${path} (${error.code})`);
  });
  const { parse } = await import('yaml');
  try {
    const value = parse(text) as { rules?: unknown } | null;
    return { rules: value?.rules ?? value };
  } catch (error) {
    throw invalid(`--rules ${path} is neither valid YAML nor JSON: ${(error as Error).message.split('\n')[0]}`);
  }
}

function comparisonText({
  champion,
  challenger,
  comparable,
  comparable_reason,
  metrics,
  params,
  params_reason,
  tags,
}: Comparison): string {
  const head = ['', `v${champion.version} (${champion.stage})`, `v${challenger.version} (${challenger.stage})`];
  const rows = metrics.map((item) => [
    item.name,
    item.champion,
    item.challenger,
    item.change_pct === null ? '' : `${signed(item.change_pct)} %`,
    item.direction,
    item.better,
  ]);
  const parts = [
    `Comparable: ${comparable} (${comparable_reason})`,
    metrics.length > 0 ? table([...head, 'CHANGE', 'BETTER IS', 'BETTER'], rows) : 'Neither version has metrics.',
    differences('Params', params, params_reason),
    differences('Tags', tags, null),
  ];
  return parts.join('\n\n');
}

const signed = (value: number): string => `${value > 0 ? '+' : ''}${Number(value.toPrecision(3))}`;

function differences(what: string, list: Comparison['params'], reason: string | null): string {
  if (list === null) return `${what}: ${reason}`;
  if (list.length === 0) return `${what}: no difference`;
  return table(
    [what.toUpperCase(), 'CHAMPION', 'CHALLENGER'],
    list.map((item) => [item.name, item.champion, item.challenger]),
  );
}

function gateText({ status, version, baseline, rules }: GateResult): string {
  const lines = rules.map(({ passed, reason }) => `${passed ? 'ok  ' : 'FAIL'}  ${reason}`);
  return [
    `${status.toUpperCase()}: version ${version}${baseline === null ? '' : ` against version ${baseline}`}`,
    ...lines,
  ].join('\n');
}

function reportText({ counts, findings }: HygieneReport): string {
  if (findings.length === 0) return 'No findings.';
  const rows = findings.map((item) => [item.kind, item.name, item.version, item.detail]);
  const sums = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  return `${table(['KIND', 'MODEL', 'VERSION', 'DETAIL'], rows)}\n\n${sums.join(', ')}`;
}
