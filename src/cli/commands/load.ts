import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { loadTools } from '../../compose.ts';
import { invalid, TowerError } from '../../kernel/errors.ts';
import { numberOf } from '../csv-column.ts';
import type { CliContext } from '../main.ts';
import { card, table } from '../table.ts';

type ScriptFlags = {
  scenario: string;
  tool: 'jmeter' | 'k6';
  target: string;
  users: string;
  minutes: string;
  ramp: string;
  out?: string;
};

type RunFlags = {
  scenario: string;
  target: string;
  rate: string;
  users?: string;
  seconds: string;
  mostUsers: string;
};

/** `tower load`: load tests for JMeter and k6 from one scenario, and what came of them. Works without a tower. */
export function addLoadCommands(program: Command, context: CliContext): void {
  const load = program.command('load').description('load tests for JMeter and k6, and what came of them');
  load
    .command('scenarios [name]')
    .description('the scenarios there are; one of them as YAML, to make one’s own of')
    .action(async (name?: string) => {
      const { scenarios, asYaml } = await loadTools();
      const chosen = name === undefined ? undefined : Object.values(scenarios).find((each) => each.name === name);
      if (name !== undefined && !chosen)
        throw new TowerError(
          'not_found',
          `there is no scenario ${name}; there are ${Object.keys(scenarios).join(', ')}`,
        );
      if (chosen) return context.print(chosen, asYaml);
      context.print(Object.values(scenarios), (all) =>
        table(
          ['SCENARIO', 'ROUNDS'],
          all.map(({ name: each, rounds }) => [
            each,
            rounds.map(({ name: round, weight }) => `${round} ${weight}`).join(', '),
          ]),
          100,
        ),
      );
    });
  load
    .command('script')
    .description('a JMeter plan or a k6 script')
    .requiredOption(
      '--scenario <name or file.yaml>',
      'browsing, checkout, or a file like `tower load scenarios browsing` prints',
    )
    .requiredOption('--target <url>', 'what is put under load, such as http://frontend.shop:80')
    .addOption(new Option('--tool <name>', 'whose').choices(['jmeter', 'k6']).default('jmeter'))
    .option('--users <number>', 'at the same time', '20')
    .option('--minutes <number>', 'how long', '15')
    .option('--ramp <seconds>', 'until all users are there', '30')
    .option('--out <file>', 'where it is written; not given: standard output')
    .action((flags: ScriptFlags) => writeScript(context, flags));
  load
    .command('run')
    .description('a load test from here, without Java; exit code 1 where less than 95 % of its requests succeeded')
    .requiredOption('--scenario <name or file.yaml>', 'as for `tower load script`')
    .requiredOption('--target <url>', 'what is put under load: only what is yours')
    .option('--rate <number>', 'rounds that begin each second, on average', '1')
    .option('--users <number>', 'who begin them, one after the other; one who comes back every ten seconds')
    .option('--seconds <number>', 'how long they arrive', '60')
    .option('--most-users <number>', 'at the same time; who comes beyond them is turned away', '500')
    .action((flags: RunFlags) => runHere(context, flags));
  load
    .command('judge <file.jtl>')
    .description('what a JMeter run showed; exit code 1 where less than 95 % of its requests succeeded')
    .action(async (file: string) => {
      const { judgeJtl } = await loadTools();
      const result = judgeJtl(await textOf(file));
      context.print(result, resultText);
      refuseLow(result);
    });
}

const textOf = async (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`${file} cannot be read (${error.code})`);
  });

/** One that is built in, or a file. */
async function scenarioOf(name: string) {
  const { scenarios, readScenario } = await loadTools();
  return Object.values(scenarios).find((each) => each.name === name) ?? readScenario(await textOf(name));
}

function targetOf(text: string): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.pathname !== '/' || url.search !== '')
    throw invalid('--target must be http(s)://host[:port], without a path');
  return url;
}

/** Ctrl-C ends it; what was measured by then is shown. */
async function runHere(context: CliContext, flags: RunFlags): Promise<void> {
  const scenario = await scenarioOf(flags.scenario);
  const arrivalsPerSecond = rateOf(flags.rate);
  const { runLoad, usualUsers } = await loadTools();
  const run = {
    target: targetOf(flags.target).origin,
    arrivalsPerSecond,
    users: flags.users === undefined ? usualUsers(arrivalsPerSecond) : countOf('--users', flags.users, 100_000),
    durationSeconds: countOf('--seconds', flags.seconds, 86_400),
    mostUsers: countOf('--most-users', flags.mostUsers, 100_000),
    timeoutMs: 60_000,
  };
  const over = new AbortController();
  const stop = () => over.abort();
  process.once('SIGINT', stop);
  const result = await runLoad(scenario, run, {
    clock: { now: () => performance.timeOrigin + performance.now(), sleep },
    random: Math.random,
    fetch,
    signal: over.signal,
    onProgress: ({ elapsed_seconds, requests, failed, users }) =>
      context.progress(
        `${elapsed_seconds.toFixed(0)}/${run.durationSeconds} s  ${requests} requests  ${failed} failed  ${users} users`,
      ),
  }).finally(() => process.off('SIGINT', stop));
  context.progress('');
  const turned =
    result.turned_away > 0 ? `\n${result.turned_away} users were turned away: the load was less than asked for` : '';
  context.print(result, (shown) => `${resultText(shown)}${turned}`);
  refuseLow(result);
}

/** Keeps the process alive, unlike the clock's own. */
const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await wait(ms, undefined, signal ? { signal } : {});
};

function rateOf(text: string): number {
  const rate = numberOf('--rate', text);
  if (!(rate > 0 && rate <= 10_000)) throw invalid('--rate must be above 0 and 10000 at most');
  return rate;
}

function refuseLow({ low_quality, success_rate }: Pick<Result, 'low_quality' | 'success_rate'>): void {
  if (low_quality)
    throw new TowerError(
      'internal',
      `only ${percent(success_rate)} of the requests succeeded: nothing can be learned from this run`,
    );
}

async function writeScript(context: CliContext, flags: ScriptFlags): Promise<void> {
  const { jmeterPlan, k6Script } = await loadTools();
  const scenario = await scenarioOf(flags.scenario);
  const url = targetOf(flags.target);
  const users = countOf('--users', flags.users, 10_000);
  const durationSeconds = countOf('--minutes', flags.minutes, 10_080) * 60;
  const rampSeconds = countOf('--ramp', flags.ramp, durationSeconds);
  const plan = {
    users,
    durationSeconds,
    rampSeconds,
    protocol: url.protocol === 'https:' ? ('https' as const) : ('http' as const),
    host: url.hostname,
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  };
  const script = (flags.tool === 'jmeter' ? jmeterPlan : k6Script)(scenario, plan);
  if (flags.out === undefined) return context.out(script);
  await writeFile(flags.out, script).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`--out ${flags.out} cannot be written (${error.code})`);
  });
  const run =
    flags.tool === 'jmeter'
      ? `jmeter -n -t ${flags.out} -l ${flags.out.replace(/\.jmx$/, '')}.jtl`
      : `k6 run ${flags.out}`;
  context.print({ file: flags.out, run }, () => `${flags.out} is written; run it with: ${run}`);
}

function countOf(flag: string, text: string, most: number): number {
  const count = numberOf(flag, text);
  if (!Number.isInteger(count) || count < 1 || count > most)
    throw invalid(`${flag} must be a whole number from 1 to ${most}`);
  return count;
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;
type Result = ReturnType<Awaited<ReturnType<typeof loadTools>>['judgeJtl']>;

const resultText = (result: Result): string =>
  [
    card([
      ['requests', result.total_requests],
      ['succeeded', `${result.successful_requests}, ${percent(result.success_rate)}`],
      ['a second', Number(result.throughput.toFixed(2))],
      ['took', `${result.duration_seconds.toFixed(0)} s from ${result.start_time}`],
      [
        'ms',
        `mean ${result.avg_response_time.toFixed(0)}, median ${result.p50_response_time}, p95 ${result.p95_response_time}, p99 ${result.p99_response_time}, longest ${result.max_response_time}`,
      ],
    ]),
    '',
    table(
      ['REQUEST', 'TOTAL', 'FAILED', 'P95 MS', 'FAILURES'],
      Object.entries(result.requests).map(([name, { total, failed, p95_response_time, failures }]) => [
        name,
        total,
        failed,
        p95_response_time,
        Object.entries(failures)
          .map(([why, count]) => `${count} × ${why}`)
          .join('; '),
      ]),
      90,
    ),
  ].join('\n');
