import { once } from 'node:events';
import { request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '#kernel/clock.ts';
import { createLog } from '#kernel/log.ts';
import { createJournal } from '#services/registry/journal/journal.ts';
import { buildSnapshot, type RegistryRows, type Snapshot } from '#services/registry/snapshot/snapshot.ts';
import { openStore } from '#store/open-store.ts';
import { manyRows } from '../../test/support/rows.ts';
import { median, type Report } from '../support/report.ts';
import { inDirectory, msUntil200, startScript, startTower } from '../support/towers.ts';

const aliases = { Production: ['champion'], Staging: [], Archived: [] };
const rounds = 5;
const clients = 1000;

/** Cost of detecting and storing changes among 100,000 versions, and of sending them to 1,000 clients. */
export async function benchChanges(report: Report): Promise<void> {
  await benchDiff(report);
  await benchStream(report);
}

async function benchDiff(report: Report): Promise<void> {
  await inDirectory(async (directory) => {
    const store = await openStore({ directory });
    const events: unknown[] = [];
    const journal = createJournal({
      move: async () => undefined,
      store,
      registry: 'bench',
      source: () => 'bench',
      clock: systemClock,
      log: createLog('ERROR', 'json'),
      enqueue: async () => undefined,
      onEvents: (made) => events.push(...made),
    });
    let at = Date.now();
    const poll = async (snapshot: Snapshot) => {
      at += 1000;
      const watch = watchLoop();
      const started = performance.now();
      await journal.record(snapshot, { from: at, at, names: null });
      return { ms: performance.now() - started, held: watch() };
    };
    const first = await poll(await edited(0));
    const still: number[] = [];
    const moved: number[] = [];
    const held: number[] = [];
    const naive: number[] = [];
    let before = await edited(0);
    for (let round = 1; round <= rounds; round += 1) {
      const same = await poll(await edited(round - 1));
      const now = await edited(round);
      const changed = await poll(now);
      still.push(same.ms);
      moved.push(changed.ms);
      held.push(same.held, changed.held);
      const started = performance.now();
      let differ = 0;
      for (const [name, model] of now.models) if (!isDeepStrictEqual(model, before.models.get(name))) differ += 1;
      naive.push(performance.now() - started);
      if (differ !== 1000) throw new Error(`${differ} models differ, not 1000`);
      before = now;
    }
    if (events.length !== rounds * 1000) throw new Error(`${events.length} events, not ${rounds * 1000}`);
    await store.close();
    report.note(
      `100,000 versions: the first poll takes ${first.ms.toFixed(0)} ms, one without a change ${median(still).toFixed(0)} ms, one with 1,000 changes ${median(moved).toFixed(0)} ms; a plain deep comparison of the models alone ${median(naive).toFixed(0)} ms; holds ${[...held].map((ms) => ms.toFixed(0)).join(', ')} ms`,
    );
    report.atMost(
      'finding and keeping 1,000 changes among 100,000 versions, relative to isDeepStrictEqual over the models',
      median(moved) / median(naive),
      2,
    );
    report.atMost('longest hold of the event loop while doing so (median), ms', median(held), 50);
    report.atMost('longest block of the event loop at the first poll, ms', first.held, 100);
  });
}

/** The same registry with the descriptions of 1,000 models changed `round` times; all objects are new. */
async function edited(round: number): Promise<Snapshot> {
  const rows: RegistryRows = manyRows(20_000, 5);
  for (let i = 0; i < 1000; i += 1) {
    const model = rows.models[i * 20];
    if (model) model.description = `edit ${round}`;
  }
  return buildSnapshot(rows, Date.now(), aliases);
}

/** Longest block of the event loop until the returned function is called. */
function watchLoop(): () => number {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 1);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return Math.max(longest, performance.now() - last - 1);
  };
}

async function benchStream(report: Report): Promise<void> {
  const mlflow = await startScript('small-mlflow.ts');
  await msUntil200(`${mlflow.url}/`, 0, mlflow);
  await inDirectory(async (directory) => {
    const tower = await startTower(directory, { MLFLOW_TRACKING_URI: mlflow.url, STREAM_MAX_CLIENTS: String(clients) });
    await msUntil200(`${tower.url}/readyz`, 0, tower);
    await fetch(`${tower.url}/cache/refresh`, { method: 'POST' });
    const ours = await fanOut(`${tower.url}/models/stream?type=model_version_alias`, async () => {
      await fetch(`${mlflow.url}/move`, { method: 'POST' });
      await fetch(`${tower.url}/cache/refresh`, { method: 'POST' });
    });
    await tower.stop();
    const rival = await startScript('bare-stream.ts');
    await msUntil200(`${rival.url}/`, 0, rival);
    const bare = await fanOut(`${rival.url}/stream`, async () => {
      await fetch(`${rival.url}/publish`, { method: 'POST' });
    });
    await rival.stop();
    report.note(
      `${clients} clients: from the first to the last client in ${median(ours).toFixed(0)} ms (bare Node ${median(bare).toFixed(0)} ms), rounds ${ours.map((ms) => ms.toFixed(0)).join(', ')}; every client got every event once`,
    );
    report.atMost(
      'an event to 1,000 stream clients, first to last, relative to bare Node writing to each',
      median(ours) / median(bare),
      3,
    );
  });
  await mlflow.stop();
}

/**
 * Connects all clients, publishes several times, and returns the time from the first to the last client of each round.
 */
async function fanOut(url: string, publish: () => Promise<void>): Promise<number[]> {
  const got = Array.from({ length: clients }, () => [] as string[]);
  let arrivals: number[] = [];
  let all = Promise.withResolvers<void>();
  const requests = [];
  for (const ids of got) {
    const call = request(url, { agent: false });
    call.end();
    requests.push(call);
    const [response] = (await once(call, 'response')) as [import('node:http').IncomingMessage];
    response.on('data', (chunk: Buffer) => {
      for (const [, id] of String(chunk).matchAll(/^id: (\d+)$/gm)) {
        ids.push(id ?? '');
        arrivals.push(performance.now());
        if (arrivals.length === clients) all.resolve();
      }
    });
    response.on('error', () => undefined);
  }
  const times: number[] = [];
  for (let round = 1; round <= rounds + 1; round += 1) {
    await Promise.all([publish(), all.promise]);
    // The first round warms up both sides.
    if (round > 1) times.push(Math.max(...arrivals) - Math.min(...arrivals));
    arrivals = [];
    all = Promise.withResolvers();
  }
  for (const call of requests) call.destroy();
  for (const ids of got) {
    if (ids.length !== new Set(ids).size || ids.length < rounds + 1) throw new Error(`a client got ${ids.join()}`);
  }
  return times;
}
