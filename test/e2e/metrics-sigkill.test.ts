import { once } from 'node:events';
import { expect, it } from 'vitest';
import { seededRandom } from '#kernel/rng.ts';
import { createReader } from '#services/analytics/storage/reader.ts';
import { openMetricStore } from '#store/open-store.ts';
import type { Place } from '#store/store.ts';
import { start } from '../support/processes.ts';
import { onPostgres, openRawSql, placeIn } from '../support/stores.ts';
import { temporaryDirectory } from '../support/tower.ts';

const soak = process.env['SOAK'] === '1';
const base = Date.UTC(2026, 0, 1);
const ours = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);

/** Four writers of batches of twenty points, and one that seals hours; it prints the committed batches. */
const writer = (place: Place, first: number) => `
  import { openMetricStore } from ${ours('src/store/open-store.ts')};
  import { createRecorder } from ${ours('services/analytics/storage/recorder.ts')};
  import { sealHours } from ${ours('services/analytics/storage/seal.ts')};
  const store = await openMetricStore(${JSON.stringify(place)});
  const recorder = createRecorder({ store, maxSeries: 100 });
  let next = ${first};
  const write = async (k) => {
    for (;;) {
      const id = next++;
      const points = Array.from({ length: 20 }, (_, i) => {
        const second = id * 20 + i;
        return { metric: 'm', resource: 'r' + k, labels: {}, at: ${base} + second * 1000, value: second };
      });
      await recorder.record(points);
      process.stdout.write(id + ' ' + k + '\\n');
    }
  };
  for (let k = 0; k < 4; k += 1) write(k);
  for (;;) {
    await sealHours(store, ${base} + next * 20_000, new AbortController().signal);
    await new Promise((resolve) => setImmediate(resolve));
  }`;

it('SIGKILL during writes and sealing keeps every committed point exactly once and the file intact', async () => {
  const directory = temporaryDirectory();
  const place = await placeIn(directory);
  await (await openMetricStore(place)).close();
  const look = await openRawSql(directory, 'metrics.db');
  const random = seededRandom(5);
  let [next, sealed] = [0, 0];
  for (let round = 0; round < (soak ? 200 : 20); round += 1) {
    const first = next;
    const process = start(globalThis.process.execPath, ['--input-type=module', '-e', writer(place, first)]);
    await once(process.child.stdout ?? process.child, 'data');
    const until = performance.now() + random() * 150;
    while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
    await process.stop('SIGKILL');
    const committed = [...process.output().matchAll(/^(\d+) (\d)$/gm)].map(([, id, k]) => ({
      id: Number(id),
      k: Number(k),
    }));
    next = Math.max(first, ...committed.map(({ id }) => id)) + 500;
    if (!onPostgres) expect(await look('pragma integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    sealed += Number((await look('select count(*) as n from rollups'))[0]?.['n']);
    const store = await openMetricStore(place);
    const reader = createReader(store);
    const span = { start: base + first * 20_000, end: base + next * 20_000 };
    for (const { id, resource } of await reader.find({ metric: 'm' })) {
      const { times, values } = await reader.points(id, span);
      const seconds = [...times].map((time) => (time - base) / 1000);
      expect([...values]).toEqual(seconds);
      expect(new Set(seconds).size).toBe(seconds.length);
      const there = new Set(seconds);
      for (const batch of committed.filter(({ k }) => resource === `r${k}`))
        for (let i = 0; i < 20; i += 1)
          expect(there.has(batch.id * 20 + i), `round ${round}, batch ${batch.id}`).toBe(true);
    }
    await store.close();
  }
  expect(sealed).toBeGreaterThan(0);
}, 600_000);
