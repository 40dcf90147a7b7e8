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
import { judgeOnThread, type LoadTask } from './thread.ts';

/** Load by Apache JMeter 5.6 without its window. What came of it is read from its results: its exit code is 0 where all failed. */

export type Jmeter = {
  /** Its folder, which has `bin/ApacheJMeter.jar`. */
  home: string;
  /** The program that runs it, such as `/usr/bin/java`. */
  java: string;
};

/** @throws TowerError `invalid` where this tower has none, so that nobody can ask for it; `unavailable` that names the setting where it is not there */
export function checkJmeter(jmeter: Jmeter | null): Jmeter {
  if (!jmeter) throw invalid('there is no JMeter: set JMETER_HOME', { parameter: 'JMETER_HOME' });
  for (const [setting, file] of Object.entries({ JMETER_HOME: jarOf(jmeter), JMETER_JAVA: jmeter.java }))
    if (!existsSync(file)) throw misconfigured(`${setting}: there is no ${file}`, { parameter: setting });
  return jmeter;
}

const jarOf = ({ home }: Jmeter): string => join(home, 'bin', 'ApacheJMeter.jar');

/** The same for users who wait for answers before they ask again: as many at the same time. */
export async function loadByJmeter(
  jmeter: Jmeter,
  { scenario, run, memoryMiB }: LoadTask,
  signal: AbortSignal,
  onProgress: (progress: LoadProgress) => void,
): Promise<RunResult> {
  const folder = await mkdtemp(join(tmpdir(), 'control-tower-jmeter-'));
  try {
    const [plan, results, log] = ['plan.jmx', 'results.jtl', 'run.log'].map((name) => join(folder, name)) as Files;
    const users = run.users ?? 1;
    await writeFile(plan, jmeterPlan(scenario, planAt(run.target, users, run.durationSeconds, run.rampUpSeconds ?? 0)));
    // Whoever still waits for an answer then is not waited for: what was measured by then is told.
    const late = AbortSignal.timeout((run.durationSeconds + 120) * 1000);
    const either = AbortSignal.any([signal, late]);
    const result = await runJmeter(jmeter, [plan, results, log], memoryMiB, either, onProgress, [
      ...nowhereElse(run.target),
      ...unread.map((name) => `-Jjmeter.save.saveservice.${name}=false`),
    ]).catch(async (error: unknown) => {
      if (!late.aborted || signal.aborted || !existsSync(results)) throw error;
      return judgeOnThread(results, memoryMiB, signal);
    });
    return { ...result, users, rounds: null, turned_away: 0 };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Users who are sent to another server go to a proxy that is not there: nobody said that one may be put under load. */
const nowhereElse = (target: string): string[] => ['-H', '127.0.0.1', '-P', '9', '-N', new URL(target).hostname];

/** Columns of results that nothing is made of. */
const unread = ['url', 'thread_name', 'data_type', 'bytes', 'sent_bytes', 'thread_counts', 'latency', 'idle_time'];

/** The plan, and where results and log go. */
type Files = [plan: string, results: string, log: string];

/**
 * Runs a plan to its end; ends it at once where the signal aborts. Results that are there already would be added to.
 * @throws TowerError `unavailable` with what JMeter says where it did not run; `invalid` where no request was made; the signal's reason
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
    // Redirects would be rows of their own, and this JMeter may be set to write otherwise.
    ...['subresults=false', 'output_format=csv', 'print_field_names=true', 'timestamp_format=ms'].map(
      (each) => `-Jjmeter.save.saveservice.${each}`,
    ),
    '-Jsummariser.interval=6',
    ...more,
  ];
  const child = fork(entryUrl('jmeter-child'), args, {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
    // In a group of its own, so that both can be ended at once.
    detached: true,
  });
  const { said, closed } = listen(child.stdout!, onProgress);
  const end = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Both have ended.
    }
  };
  signal.addEventListener('abort', end, { once: true });
  child.once('exit', end);
  const [[code]] = (await Promise.all([once(child, 'exit'), closed])) as [[number | null], unknown];
  signal.removeEventListener('abort', end);
  signal.throwIfAborted();
  if (code !== 0 || !existsSync(results)) throw misconfigured(`JMeter did not run (exit code ${code}): ${said()}`);
  return judgeOnThread(results, memoryMiB, signal);
}

/** `said`: the first thing that went wrong, else the last that was said. */
function listen(output: Readable, onProgress: (progress: LoadProgress) => void) {
  const begun = performance.now();
  let [users, said] = [0, ''];
  const lines = createInterface({ input: output }).on('line', (line) => {
    const summary = summaryOf(line);
    if (!summary) said = /Exception: \S/.test(said) || !/\w/.test(line) ? said : line.trim().slice(0, 300);
    // Who is there is told with the last moments, and how many requests there were with all of them.
    else if (summary.users !== null) users = summary.users;
    else {
      const elapsed_seconds = Math.round((performance.now() - begun) / 100) / 10;
      onProgress({ elapsed_seconds, requests: summary.requests, failed: summary.failed, users });
    }
  });
  return { said: () => said, closed: once(lines, 'close') };
}

/** `summary = 46 in 00:00:02 = 22.1/s Avg: 9 Min: 1 Max: 142 Err: 4 (8.70%)`; lines with + end with `Active: 3 Started: …`. */
export function summaryOf(line: string): { requests: number; failed: number; users: number | null } | null {
  const found = /^summary [+=]\s+(\d+) in .* Err:\s+(\d+) \([^)]*\)(?: Active: (\d+))?/.exec(line);
  if (!found) return null;
  const [, requests, failed, users] = found;
  return { requests: Number(requests), failed: Number(failed), users: users === undefined ? null : Number(users) };
}
