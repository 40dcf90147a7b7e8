import { createReadStream, existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { invalid, TowerError } from '#kernel/errors.ts';
import { loadTools } from '../../offline.ts';
import type { CliContext } from '../context.ts';
import { numberOf } from '../csv-column.ts';
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
  scenario?: string;
  target?: string;
  plan?: string;
  rate: string;
  users?: string;
  seconds: string;
  maxUsers: string;
};

/** `tower load`: load tests for JMeter and k6 from one scenario, and their results. Works without a server. */
export function addLoadCommands(program: Command, context: CliContext): void {
  const load = program.command('load').description('run load tests, generate JMeter and k6 files, evaluate results');
  load
    .command('scenarios [name]')
    .description('list scenarios, or print one as YAML, to be adapted')
    .action(async (name?: string) => {
      const { scenarios, asYaml } = await loadTools();
      const chosen = name === undefined ? undefined : Object.values(scenarios).find((each) => each.name === name);
      if (name !== undefined && !chosen)
        throw new TowerError(
          'not_found',
          `scenario ${name} not found; available: ${Object.keys(scenarios).join(', ')}`,
        );
      if (chosen) return context.print(chosen, asYaml);
      context.print(Object.values(scenarios), (all) =>
        table(
          ['SCENARIO', 'ROUNDS'],
          all.map(({ name: each, rounds }) => [
            each,
            rounds.map(({ name: round, weight }) => `${round} ${weight}`).join(', '),
          ]),
        ),
      );
    });
  load
    .command('script')
    .description('generate a JMeter plan or a k6 script')
    .requiredOption(
      '--scenario <name or file.yaml>',
      'browsing, checkout, or a YAML file like the output of `tower load scenarios browsing`',
    )
    .requiredOption('--target <url>', 'origin to test, such as http://frontend.shop:80')
    .addOption(new Option('--tool <name>', 'program that runs it').choices(['jmeter', 'k6']).default('jmeter'))
    .option('--users <number>', 'number of concurrent users', '20')
    .option('--minutes <number>', 'duration of the test', '15')
    .option('--ramp <seconds>', 'ramp-up time', '30')
    .option('--out <file>', 'output file; default: standard output')
    .action((flags: ScriptFlags) => writeScript(context, flags));
  addRunCommands(load, context);
}

function addRunCommands(load: Command, context: CliContext): void {
  load
    .command('run')
    .description('run a load test on this machine; exit code 1 if less than 95 % of the requests succeeded')
    .option('--scenario <name or file.yaml>', 'as in `tower load script`')
    .option('--target <url>', 'origin to test; test only servers you own')
    .option(
      '--plan <file.jmx>',
      'run a JMeter plan instead (JMETER_HOME must be set); writes results and log next to it',
    )
    .option('--rate <number>', 'rounds started per second, on average', '1')
    .option('--users <number>', 'number of returning users; default: each returns every ten seconds')
    .option('--seconds <number>', 'duration of arrivals', '60')
    .option('--max-users <number>', 'maximum number of concurrent users; further arrivals are rejected', '500')
    .action((flags: RunFlags, command: Command) => {
      if (flags.plan === undefined) return runHere(context, flags);
      const others = Object.keys(flags).filter(
        (name) => name !== 'plan' && command.getOptionValueSource(name) === 'cli',
      );
      if (others.length > 0) throw invalid('--plan cannot be combined with other options');
      return runPlan(context, flags.plan);
    });
  load
    .command('evaluate <file.jtl>')
    .description('evaluate a JTL file of JMeter; exit code 1 if less than 95 % of the requests succeeded')
    .action(async (file: string) => {
      const { evaluateJtl } = await loadTools();
      const result = await evaluateJtl(bytesOf(file));
      context.print(result, resultText);
      refuseLow(result);
    });
}

async function* bytesOf(file: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(file);
  } catch (error) {
    throw invalid(`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

const textOf = async (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot read ${file} (${error.code})`);
  });

/** A built-in scenario, or a file. */
async function scenarioOf(name: string) {
  const { scenarios, readScenario } = await loadTools();
  const known = Object.values(scenarios).find((each) => each.name === name);
  if (!known && !existsSync(name))
    throw invalid(`--scenario must be ${Object.keys(scenarios).join(', ')} or a file (got ${name})`);
  return known ?? readScenario(await textOf(name));
}

function targetOf(text: string): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.pathname !== '/' || url.search !== '')
    throw invalid('--target must be http(s)://host[:port], without a path');
  return url;
}

/** Ctrl-C ends the load; the results so far are printed. */
async function runHere(context: CliContext, flags: RunFlags): Promise<void> {
  if (flags.scenario === undefined || flags.target === undefined)
    throw invalid('set --scenario and --target, or --plan');
  const scenario = await scenarioOf(flags.scenario);
  const arrivalsPerSecond = rateOf(flags.rate);
  const { runLoad, usualUsers } = await loadTools();
  const run = {
    target: targetOf(flags.target).origin,
    arrivalsPerSecond,
    users: flags.users === undefined ? usualUsers(arrivalsPerSecond) : countOf('--users', flags.users, 100_000),
    durationSeconds: countOf('--seconds', flags.seconds, 86_400),
    maxUsers: countOf('--max-users', flags.maxUsers, 100_000),
    timeoutMs: 60_000,
  };
  const result = await untilStopped((signal) =>
    runLoad(scenario, run, {
      clock: { now: () => performance.timeOrigin + performance.now(), sleep },
      random: Math.random,
      fetch,
      signal,
      onProgress: (now) => context.progress(progressText(now, run.durationSeconds)),
    }),
  );
  context.progress('');
  const turned =
    result.turned_away > 0 ? `\n${result.turned_away} users were rejected: the load was lower than configured` : '';
  context.print(result, (shown) => `${resultText(shown)}${turned}`);
  refuseLow(result);
}

/** Load as the JMeter plan describes it. */
async function runPlan(context: CliContext, plan: string): Promise<void> {
  const { checkJmeter, runJmeter } = await loadTools();
  const { JMETER_HOME: home, JMETER_JAVA: java = '/usr/bin/java' } = context.env;
  const jmeter = checkJmeter(home ? { home, java } : null);
  if (!existsSync(plan)) throw invalid(`--plan ${plan} not found`);
  const [results, log] = ['.jtl', '.log'].map((ending) => `${plan.replace(/\.jmx$/, '')}${ending}`) as [string, string];
  if (existsSync(results)) throw invalid(`${results} already exists; JMeter would append to it`);
  const result = await untilStopped((signal) =>
    runJmeter(jmeter, [plan, results, log], memoryMiB, signal, (now) => context.progress(progressText(now))),
  ).catch((error: unknown) => {
    context.progress('');
    throw error instanceof TowerError && error.code === 'unavailable' ? invalid(`${error.message}; see ${log}`) : error;
  });
  context.progress('');
  context.print({ ...result, results, log }, (shown) => `${resultText(shown)}\n\nAll requests: ${results}`);
  refuseLow(result);
}

const memoryMiB = 2048;

/** Ctrl-C ends it. */
async function untilStopped<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const over = new AbortController();
  const stop = () => over.abort(new TowerError('internal', 'interrupted (Ctrl-C)'));
  process.once('SIGINT', stop);
  return work(over.signal).finally(() => process.off('SIGINT', stop));
}

function progressText(
  now: { elapsed_seconds: number; requests: number; failed: number; users: number },
  of?: number,
): string {
  const { elapsed_seconds, requests, failed, users } = now;
  const whole = of === undefined ? '' : `/${of}`;
  return `${elapsed_seconds.toFixed(0)}${whole} s  ${requests} requests  ${failed} failed  ${users} users`;
}

/** Keeps the process alive, unlike the clock's sleep. */
const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
  await wait(ms, undefined, signal ? { signal } : {});
};

function rateOf(text: string): number {
  const rate = numberOf('--rate', text);
  if (!(rate > 0 && rate <= 10_000)) throw invalid(`--rate must be above 0 and at most 10000 (got ${rate})`);
  return rate;
}

function refuseLow(result: Result & { turned_away?: number }): void {
  const { low_quality, success_rate, turned_away = 0, failed_transactions = 0 } = result;
  if (!low_quality) return;
  const why =
    success_rate < 0.95
      ? `only ${percent(success_rate)} of the requests succeeded`
      : failed_transactions > 0
        ? `${failed_transactions} transactions failed`
        : `${turned_away} users were rejected (--max-users)`;
  throw new TowerError('internal', `${why}: the results are not usable`);
}

async function writeScript(context: CliContext, flags: ScriptFlags): Promise<void> {
  const { jmeterPlan, k6Script, planAt } = await loadTools();
  const scenario = await scenarioOf(flags.scenario);
  const url = targetOf(flags.target);
  const users = countOf('--users', flags.users, 10_000);
  const durationSeconds = countOf('--minutes', flags.minutes, 10_080) * 60;
  const rampSeconds = countOf('--ramp', flags.ramp, durationSeconds);
  const script = (flags.tool === 'jmeter' ? jmeterPlan : k6Script)(
    scenario,
    planAt(url.origin, users, durationSeconds, rampSeconds),
  );
  if (flags.out === undefined) return context.out(script);
  await writeFile(flags.out, script).catch((error: NodeJS.ErrnoException) => {
    throw invalid(`cannot write --out ${flags.out} (${error.code})`);
  });
  const run =
    flags.tool === 'jmeter'
      ? `tower load run --plan ${flags.out}, or jmeter -n -t ${flags.out} -l ${flags.out.replace(/\.jmx$/, '')}.jtl -Jjmeter.save.saveservice.subresults=false`
      : `k6 run ${flags.out}`;
  context.print({ file: flags.out, run }, () => `wrote ${flags.out}; run it with: ${run}`);
}

function countOf(flag: string, text: string, most: number): number {
  const count = numberOf(flag, text);
  if (!Number.isInteger(count) || count < 1 || count > most)
    throw invalid(`${flag} must be an integer between 1 and ${most} (got ${count})`);
  return count;
}

const percent = (share: number): string => `${Number((100 * share).toFixed(1))} %`;
type Result = Awaited<ReturnType<Awaited<ReturnType<typeof loadTools>>['evaluateJtl']>>;

const transactionText = ({ transactions = 0, failed_transactions = 0 }: Result): string =>
  `${transactions}, not counted as requests${failed_transactions > 0 ? `; ${failed_transactions} failed without a row for their requests` : ''}`;

const resultText = (result: Result): string =>
  [
    card([
      ['requests', result.total_requests],
      ['succeeded', `${result.successful_requests}, ${percent(result.success_rate)}`],
      ['requests/s', Number(result.throughput.toFixed(2))],
      ['duration', `${result.duration_seconds.toFixed(0)} s`],
      ['started', result.start_time],
      [
        'latency ms',
        `mean ${result.avg_response_time.toFixed(0)}, median ${result.p50_response_time}, p95 ${result.p95_response_time}, p99 ${result.p99_response_time}, max ${result.max_response_time}`,
      ],
      ...(result.transactions ? [['transactions', transactionText(result)] as [string, string]] : []),
    ]),
    ...(result.incomplete_last_row ? ['', 'The last row was cut off, and is left out.'] : []),
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
    ),
  ].join('\n');
