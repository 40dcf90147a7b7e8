import { expect, it } from 'vitest';
import { createRecorder } from '#services/analytics/storage/recorder.ts';
import { openMetricStore } from '#store/open-store.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { startPostgres } from '../support/postgres-server.ts';

const crashes = process.env['SOAK'] === '1' ? 10 : 2;

it(`PostgreSQL crashing ${crashes} times during writes keeps every acknowledged point`, async () => {
  const server = (await startPostgres())!;
  whenTestIsOver(() => server.stop());
  const store = await openMetricStore({ directory: '', databaseUrl: server.url, connections: 3 });
  whenTestIsOver(() => store.close());
  const recorder = createRecorder({ store, maxSeries: 9 });
  const acknowledged = new Set<number>();
  let [next, going, refused] = [0, true, 0];
  const write = async () => {
    while (going) {
      const at = (next += 1);
      const point = { metric: 'm', resource: 'r', labels: {}, at, value: at };
      await recorder.record([point]).then(
        () => acknowledged.add(at),
        async () => {
          refused += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        },
      );
    }
  };
  const writing = [write(), write(), write()];
  for (let i = 0; i < crashes; i += 1) {
    const enough = acknowledged.size + 100;
    while (acknowledged.size < enough) await new Promise((resolve) => setTimeout(resolve, 5));
    await server.crash();
  }
  const enough = acknowledged.size + 100;
  while (acknowledged.size < enough) await new Promise((resolve) => setTimeout(resolve, 5));
  going = false;
  await Promise.all(writing);
  const db = await store.db();
  const there = new Set((await db.selectFrom('points').select('at').execute()).map(({ at }) => at));
  expect([...acknowledged].filter((at) => !there.has(at))).toEqual([]);
  expect(refused).toBeGreaterThan(0);
}, 300_000);
