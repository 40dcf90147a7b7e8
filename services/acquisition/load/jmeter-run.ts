import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { invalid, misconfigured } from '#kernel/errors.ts';
import { entryUrl } from '#kernel/program-files.ts';
import type { LoadProgress, RunResult } from './generator.ts';
import { jmeterPlan } from './jmeter.ts';
import type { LoadResult } from './results.ts';
import { planAt } from './scenario.ts';
import { evaluateOnThread, type LoadTask } from './thread.ts';

/**
 * Runs Apache JMeter 5.6 without its GUI. Results are read from the JTL file: the exit code is 0 even if all requests
 * failed.
 */

export type Jmeter = {
  /** JMeter's directory, which has `bin/ApacheJMeter.jar`. */
  home: string;
  /** Path of Java, such as `/usr/bin/java`. */
  java: string;
};

/**
 * @throws TowerError `invalid` if JMeter is not configured, `unavailable` with the name of the setting if it is not
 *   installed there
 */
export function checkJmeter(jmeter: Jmeter | null): Jmeter {
  if (!jmeter) throw invalid('JMeter is not configured: set JMETER_HOME', { parameter: 'JMETER_HOME' });
  for (const [setting, file] of Object.entries({ JMETER_HOME: jarOf(jmeter), JMETER_JAVA: jmeter.java }))
    if (!existsSync(file)) throw misconfigured(`${setting}: ${file} not found`, { parameter: setting });
  return jmeter;
}

const jarOf = ({ home }: Jmeter): string => join(home, 'bin', 'ApacheJMeter.jar');

/** Load test by JMeter, with a constant number of concurrent users. */
export async function loadByJmeter(
  jmeter: Jmeter,
  { scenario, run, memoryMiB }: LoadTask,
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
): Promise<RunResult> {
  const directory = await mkdtemp(join(tmpdir(), 'control-tower-jmeter-'));
  try {
    const [plan, results, log] = ['plan.jmx', 'results.jtl', 'run.log'].map((name) => join(directory, name)) as Files;
    const users = run.users ?? 1;
    await writeFile(plan, jmeterPlan(scenario, planAt(run.target, users, run.durationSeconds, run.rampUpSeconds ?? 0)));
    // Requests still open at that time are cut off; the result has what was measured by then.
    const late = AbortSignal.timeout((run.durationSeconds + 120) * 1000);
    const either = AbortSignal.any([signal, late]);
    const result = await runJmeter(jmeter, [plan, results, log], memoryMiB, either, onProgress, [
      ...blockOtherHosts(run.target),
      ...unusedColumns.map((name) => `-Jjmeter.save.saveservice.${name}=false`),
    ]).catch(async (error: unknown) => {
      if (!late.aborted || signal.aborted || !existsSync(results)) throw error;
      return evaluateOnThread(results, memoryMiB, signal);
    });
    return { ...result, users, rounds: null, turned_away: 0 };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Requests to other hosts go to a proxy that does not exist, so that only the allowed target gets load. */
const blockOtherHosts = (target: string): string[] => ['-H', '127.0.0.1', '-P', '9', '-N', new URL(target).hostname];

/** Columns of results that are not used. */
const unusedColumns = [
  'url',
  'thread_name',
  'data_type',
  'bytes',
  'sent_bytes',
  'thread_counts',
  'latency',
  'idle_time',
];

/** Plan, results and log. */
type Files = [plan: string, results: string, log: string];

/**
 * Runs a plan to its end; kills it when the signal aborts. JMeter appends to existing results.
 * @throws TowerError `unavailable` with JMeter's message if it did not run; `invalid` if no request was made; the
 *   signal's reason
 */
export async function runJmeter(
  jmeter: Jmeter,
  [plan, results, log]: Files,
  memoryMiB: number,
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
  more: readonly string[] = [],
): Promise<LoadResult> {
  signal.throwIfAborted();
  const args = [
    jmeter.java,
    `-Xmx${memoryMiB}m`,
    '-jar',
    jarOf(jmeter),
    '-n',
    '-t',
    plan,
    '-l',
    results,
    '-j',
    log,
    // Fixed output format: redirects would add rows, and a local JMeter configuration may differ.
    ...['subresults=false', 'output_format=csv', 'print_field_names=true', 'timestamp_format=ms'].map(
      (each) => `-Jjmeter.save.saveservice.${each}`,
    ),
    '-Jsummariser.interval=6',
    ...more,
  ];
  const child = fork(entryUrl('jmeter-child'), args, {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
    // In its own process group, so that both processes can be killed at once.
    detached: true,
  });
  const { lastMessage, closed } = listen(child.stdout!, onProgress);
  const end = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Both processes have ended.
    }
  };
  signal.addEventListener('abort', end, { once: true });
  child.once('exit', end);
  const [[code]] = (await Promise.all([once(child, 'exit'), closed])) as [[number | null], unknown];
  signal.removeEventListener('abort', end);
  signal.throwIfAborted();
  if (code !== 0 || !existsSync(results))
    throw misconfigured(`JMeter did not run (exit code ${code}): ${lastMessage()}`);
  return evaluateOnThread(results, memoryMiB, signal);
}

/** `lastMessage`: the first error, else the last line. */
function listen(output: Readable, onProgress: (progress: LoadProgress) => void) {
  const started = performance.now();
  let [users, lastMessage] = [0, ''];
  const lines = createInterface({ input: output }).on('line', (line) => {
    const summary = summaryOf(line);
    if (!summary)
      lastMessage = /Exception: \S/.test(lastMessage) || !/\w/.test(line) ? lastMessage : line.trim().slice(0, 300);
    // `+` lines report users, `=` lines report total requests.
    else if (summary.users !== null) users = summary.users;
    else {
      const elapsed_seconds = Math.round((performance.now() - started) / 100) / 10;
      onProgress({ elapsed_seconds, requests: summary.requests, failed: summary.failed, users });
    }
  });
  return { lastMessage: () => lastMessage, closed: once(lines, 'close') };
}

/** `summary = 46 in 00:00:02 = 22.1/s Avg: 9 Min: 1 Max: 142 Err: 4 (8.70%)`; lines with + end with `Active: 3 Started: …`. */
export function summaryOf(line: string): { requests: number; failed: number; users: number | null } | null {
  const found = /^summary [+=]\s+(\d+) in .* Err:\s+(\d+) \([^)]*\)(?: Active: (\d+))?/.exec(line);
  if (!found) return null;
  const [, requests, failed, users] = found;
  return { requests: Number(requests), failed: Number(failed), users: users === undefined ? null : Number(users) };
}
