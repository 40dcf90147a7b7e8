import { createReadStream } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import { TowerError } from '#kernel/errors.ts';
import { seededRandom } from '#kernel/rng.ts';
import { type LoadRun, runLoad } from './generator.ts';
import { judgeSamples, type Sample, samplesOf } from './results.ts';
import type { Scenario } from './scenario.ts';

/** What a load test does on its thread. */

/** Runs to its end; the thread is ended where it is to stop before. */
export const generateLoad = async ({
  scenario,
  run,
  seed,
  progress,
}: {
  scenario: Scenario;
  run: LoadRun;
  seed: number;
  progress: MessagePort | null;
}) =>
  runLoad(scenario, run, {
    clock: { now: () => Date.now(), sleep: (ms, signal) => wait(ms, undefined, signal ? { signal } : {}) },
    random: seededRandom(seed),
    fetch,
    signal: new AbortController().signal,
    onProgress: (now) => progress?.postMessage(now),
  }).catch(refusalOf);

export async function judgeResults({ file }: { file: string }) {
  try {
    return judgeSamples(await samplesIn(file));
  } catch (error) {
    return refusalOf(error);
  }
}

/**
 * Of a JTL file, part by part: a day has more rows than a string can hold. What comes after the last line end was cut off when
 * JMeter was ended.
 */
async function samplesIn(file: string): Promise<Sample[]> {
  const samples: Sample[] = [];
  let [head, rest] = ['', ''];
  for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 2 ** 22 })) {
    rest += chunk;
    if (head === '') {
      head = rest.slice(0, rest.indexOf('\n') + 1);
      rest = rest.slice(head.length);
    }
    const end = rowsEnd(rest);
    for (const sample of samplesOf(head + rest.slice(0, end))) samples.push(sample);
    rest = rest.slice(end);
  }
  return samples;
}

/** After the last line end that is not within quotes. */
function rowsEnd(text: string): number {
  for (let at = text.lastIndexOf('\n'); at >= 0; at = at === 0 ? -1 : text.lastIndexOf('\n', at - 1)) {
    let quotes = 0;
    for (let i = text.indexOf('"'); i >= 0 && i < at; i = text.indexOf('"', i + 1)) quotes += 1;
    if (quotes % 2 === 0) return at + 1;
  }
  return 0;
}

/** An error of ours would arrive as one of nobody's. */
function refusalOf(error: unknown): { refused: string } {
  if (error instanceof TowerError && error.code === 'invalid') return { refused: error.message };
  throw error;
}
