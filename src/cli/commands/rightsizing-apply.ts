import type { Command } from 'commander';
import { TowerError } from '#kernel/errors.ts';
import type { ApplyJob, ApplyPlan, ApplyResult } from '#services/rightsizing/apply/apply-schemas.ts';
import type { CliContext } from '../context.ts';
import { numberOf } from '../csv-column.ts';
import { followJob } from '../follow-job.ts';
import { card, table } from '../table.ts';
import { type SizeFlags, sizeBody, sizeOptions } from './rightsizing-flags.ts';

type Changes = Pick<ApplyPlan, 'changes' | 'autoscaler'>;
type Measured = ApplyResult['before'];
type Flags = SizeFlags & {
  namespace: string;
  service: string;
  resources: string;
  confirm?: boolean;
  canary: boolean;
  inPlace?: boolean;
  watchSeconds: string;
  rolloutSeconds: string;
};

const jobs = '/api/v1/rightsizing/apply/jobs';

/** `tower rightsizing apply`: applies a recommendation, on one pod first, and rolls back if that does harm. */
export function addApplyCommands(rightsizing: Command, context: CliContext): void {
  sizeOptions(rightsizing.command('apply'))
    .description('apply a recommendation: to one pod first; rolled back if the service gets worse')
    .requiredOption('--namespace <name>', 'the namespace')
    .requiredOption('--service <name>', 'name of a Deployment or StatefulSet')
    .option('--resources <names>', 'cpu, memory', 'cpu,memory')
    .option('--no-canary', 'change all pods at once, by a rollout')
    .option('--in-place', 'resize all pods in place, until they are replaced (--horizon 1h: unless --no-in-place)')
    .option('--no-in-place', 'change pods by a rollout')
    .option('--watch-seconds <number>', 'how long pods are watched, after the canary and at the end', '600')
    .option('--rollout-seconds <number>', 'timeout of a rollout', '600')
    .option('--confirm', 'apply the recommendation; default: dry run')
    .action((flags: Flags) => apply(context, flags));
  rightsizing
    .command('applied')
    .description('apply jobs, newest first')
    .action(async () => {
      context.print(await context.tower().get<ApplyJob[]>(jobs), (all) =>
        all.length === 0
          ? 'No apply jobs.'
          : table(
              ['STARTED', 'JOB', 'SERVICE', 'STATUS', 'OUTCOME', 'REASON'],
              all.map(({ id, namespace, service, status, created_at, progress, result, error }) => [
                created_at.slice(0, 16),
                id,
                `${namespace}/${service}`,
                status,
                result?.status ?? null,
                result?.reason ?? error ?? (result ? null : (progress?.step ?? null)),
              ]),
            ),
      );
    });
}

async function apply(context: CliContext, { namespace, service, confirm, ...flags }: Flags): Promise<void> {
  const tower = context.tower();
  const path = `/api/v1/rightsizing/${encodeURIComponent(namespace)}/${encodeURIComponent(service)}/apply`;
  const body = {
    ...sizeBody(flags),
    resources: flags.resources.split(',').map((name) => name.trim()),
    canary: flags.canary,
    ...(flags.inPlace === undefined ? {} : { in_place: flags.inPlace }),
    watch_seconds: numberOf('--watch-seconds', flags.watchSeconds),
    rollout_seconds: numberOf('--rollout-seconds', flags.rolloutSeconds),
    dry_run: !confirm,
  };
  if (!confirm) return context.print(await tower.post<ApplyPlan>(path, body), planText);
  const begun = await tower.post<ApplyJob>(path, body);
  const job = await followJob(context, jobs, begun, ({ progress }) => context.step(progress?.step ?? ''));
  if (!job.result && job.status === 'cancelled')
    throw new TowerError(
      'internal',
      `cancelled job ${job.id}; the rollback is in progress, see "tower rightsizing applied"`,
    );
  if (!job.result) throw new TowerError('internal', `job ${job.id} ${job.status}: ${job.error ?? 'without a result'}`);
  context.print(job.result, resultText);
  if (job.result.status !== 'applied') process.exitCode = 1;
}

const changesTable = ({ changes, autoscaler }: Changes): string =>
  table(
    ['OBJECT', 'FIELD', 'FROM', 'TO'],
    [
      ...changes.map(({ container, what, from, to }) => [container, what, from, to]),
      ...(autoscaler?.targets ?? []).map(({ resource, container, from, meanwhile, to, acts_at }) => [
        `hpa ${autoscaler!.name}`,
        `target of ${resource}${container === null ? '' : ` of ${container}`}`,
        `${from}, ${meanwhile} per pod`,
        to === acts_at ? `${to} per pod` : `${to}, ${acts_at} per pod`,
      ]),
    ],
  );

const planText = ({ confidence, notes, ...changes }: ApplyPlan): string =>
  [
    changesTable(changes),
    '',
    ...(confidence === null ? [] : [`Probability that the stated shares are met: ${Math.round(100 * confidence)} %.`]),
    ...notes,
    'Dry run: nothing was changed. Set --confirm to apply.',
  ].join('\n');

const resultText = ({ status, reason, canary, before, after, steps, ...changes }: ApplyResult): string =>
  [
    changesTable(changes),
    '',
    card([
      ['outcome', status],
      ['reason', reason],
      ['canary', canary],
      ...steps.map(({ at, text }): [string, unknown] => [at, text]),
      ...Object.entries(before).flatMap(([name, was]): [string, unknown][] => {
        const is = after[name as keyof Measured];
        return was === null && is === null ? [] : [[name, `${was ?? 'unknown'}, then ${is ?? 'unknown'}`]];
      }),
    ]),
  ].join('\n');
