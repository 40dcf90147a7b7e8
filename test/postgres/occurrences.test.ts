import { expect, it, vi } from 'vitest';
import { openStore } from '#store/open-store.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { type Started, start } from '../support/processes.ts';
import { databaseOf } from '../support/stores.ts';
import { temporaryDirectory } from '../support/tower.ts';

const kills = process.env['SOAK'] === '1' ? 20 : 2;
const ours = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

/** An instance that schedules `tick` every half second while it leads, and runs the queued jobs. */
const ticking = (databaseUrl: string, name: string) => `
  import { openStore } from ${ours('src/store/open-store.ts')};
  import { createQueue } from ${ours('src/store/queue.ts')};
  import { createLeadership } from ${ours('src/store/leader.ts')};
  import { queueOccurrences } from ${ours('src/store/schedule.ts')};
  import { systemClock as clock } from ${ours('src/kernel/clock.ts')};
  const store = await openStore({ directory: '', databaseUrl: ${JSON.stringify(databaseUrl)} });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const tower = ${JSON.stringify(name)};
  const say = (text) => process.stdout.write(text + '\\n');
  const queue = createQueue({ store, tower, clock, log });
  queue.handle('tick', async ({ subject }) => {
    say('began ' + subject);
    await new Promise((resolve) => setTimeout(resolve, 100));
    say('did ' + subject);
    return { by: tower };
  });
  const { step } = createLeadership({ store, tower, clock, onChange: (leads) => leads && say('leads') });
  setInterval(() => step().catch(() => {}), 1000);
  setInterval(() => queueOccurrences(queue, { tick: 500 }, Date.now()).catch(() => {}), 100);
  setInterval(() => queue.step().catch(() => {}), 1000);
  await step();
  say('ready');`;

it(`killing the leader of two instances ${kills} times leaves exactly one outcome per scheduled occurrence`, async () => {
  const databaseUrl = (await databaseOf(temporaryDirectory()))!;
  let count = 0;
  const begin = async (): Promise<Started> => {
    const script = ticking(databaseUrl, `tower-${(count += 1)}`);
    const tower = start(process.execPath, ['--input-type=module', '-e', script]);
    whenTestIsOver(() => tower.stop('SIGKILL'));
    await vi.waitFor(() => expect(tower.output()).toContain('ready'), { timeout: 20_000, interval: 20 });
    return tower;
  };
  const towers = [await begin(), await begin()];
  const handovers: number[] = [];
  let output = '';
  for (let kill = 0; kill < kills; kill += 1) {
    const leader = towers.findIndex((tower) => tower.output().includes('leads'));
    const begun = performance.now();
    await towers[leader]!.stop('SIGKILL');
    output += towers[leader]!.output();
    const other = towers[1 - leader]!;
    await vi.waitFor(() => expect(other.output()).toContain('leads'), { timeout: 20_000, interval: 20 });
    handovers.push(performance.now() - begun);
    towers[leader] = await begin();
  }
  const store = await openStore({ directory: '', databaseUrl });
  whenTestIsOver(() => store.close());
  const db = await store.db();
  const last = Math.floor(Date.now() / 500) * 500;
  const rows = await vi.waitFor(
    async () => {
      const all = await db
        .selectFrom('job_queue')
        .selectAll()
        .where('subject', '<', new Date(last).toISOString())
        .execute();
      expect(all.filter(({ state }) => state !== 'succeeded')).toEqual([]);
      return all;
    },
    { timeout: 60_000, interval: 200 },
  );
  for (const tower of towers) {
    await tower.stop('SIGKILL');
    output += tower.output();
  }
  expect(Math.max(...handovers)).toBeLessThan(15_000);
  // No occurrence was skipped while an instance was alive, and none was queued twice.
  const times = rows.map(({ subject }) => Date.parse(subject)).sort((x, y) => x - y);
  expect(times).toEqual(Array.from({ length: times.length }, (_, i) => times[0]! + i * 500));
  expect(times.at(-1)).toBe(last - 500);
  // A job that ran twice was started by an instance that crashed; its attempts show that.
  const again = rows.reduce((sum, { attempts }) => sum + attempts - 1, 0);
  const done = [...output.matchAll(/^did (.*)$/gm)]
    .map(([, subject]) => subject!)
    .filter((at) => Date.parse(at) < last);
  expect(done.length - new Set(done).size).toBeLessThanOrEqual(again);
  expect(new Set(done).size).toBe(rows.length);
  console.info(
    `${rows.length} occurrences, ${again} restarted; handed over after ${handovers.map((ms) => (ms / 1000).toFixed(1)).join(', ')} s`,
  );
}, 900_000);
