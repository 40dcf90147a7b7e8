import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { openMetricStore } from '#store/open-store.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { start } from '../support/processes.ts';
import { testNow } from '../support/sources.ts';
import { type TestTower, temporaryDirectory, testTower } from '../support/tower.ts';

/** A small tmpfs; null if this user may not mount one. */
function smallDisk(megabytes: number): string | null {
  const directory = join(temporaryDirectory(), 'disk');
  mkdirSync(directory);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory], { stdio: 'pipe' });
  } catch {
    return null;
  }
  whenTestIsOver(() => execFileSync('umount', ['-l', directory]));
  return directory;
}

const begun = testNow();
const post = ({ app }: TestTower, from: number, count = 500) => {
  const row = (i: number) => ({
    metric: 'cpu',
    resource: `node-${i % 7}`,
    value: i,
    timestamp: new Date(begun - i).toISOString(),
  });
  const metrics = Array.from({ length: count }, (_, i) => row(from + i));
  return app.inject({ method: 'POST', url: '/api/v1/analytics/metrics', payload: { metrics } });
};
const healthOf = async ({ app }: TestTower) => (await app.inject('/health')).json<Record<string, unknown>>();
const countOf = async ({ app }: TestTower) =>
  (await app.inject('/api/v1/analytics/metrics?limit=10000')).json<{ count: number }>().count;
const sound = (directory: string, name: string) => {
  const file = new DatabaseSync(join(directory, name), { readOnly: true });
  expect(file.prepare('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' });
  file.close();
};

describe('failures of the data directory', () => {
  it('reports a full disk, loses nothing acknowledged, and recovers when there is space', async ({ skip }) => {
    const data = smallDisk(3);
    if (data === null) {
      skip('mounting a disk takes root');
      return;
    }
    const tower = await testTower({ DATA_DIRECTORY: data });
    await tower.services.registry.refresh();
    let kept = 0;
    let refused = await post(tower, 0);
    for (let from = 500; refused.statusCode === 201 && from < 200_000; from += 500) {
      kept += 500;
      refused = await post(tower, from);
    }
    expect(refused.statusCode).toBe(503);
    expect(refused.json()).toMatchObject({ detail: `cannot use ${join(data, 'metrics.db')}: the disk is full` });
    expect(refused.headers['retry-after']).toBe('5');
    const monitor = {
      method: 'POST',
      url: '/models/churn-predictor/1/monitor',
      payload: { model_type: 'classifier', registered_by: 'd' },
    } as const;
    const change = await tower.app.inject(monitor);
    expect(change.statusCode).toBe(503);
    expect(change.json()).toMatchObject({ detail: 'The audit log cannot be written, so nothing was changed' });
    expect((await tower.app.inject('/models?limit=1')).statusCode).toBe(200);
    expect(await healthOf(tower)).toMatchObject({
      status: 'degraded',
      store_error: expect.stringContaining('tower.db: the disk is full'),
      metric_store_error: expect.stringContaining('metrics.db: the disk is full'),
    });
    expect(Math.min(await countOf(tower), 10_000)).toBe(Math.min(kept, 10_000));
    execFileSync('mount', ['-o', 'remount,size=64m', data]);
    expect((await post(tower, 300_000)).json()).toMatchObject({ recorded: 500 });
    expect((await tower.app.inject(monitor)).statusCode).toBe(201);
    expect(await healthOf(tower)).toMatchObject({ status: 'healthy', store_error: null, metric_store_error: null });
    await tower.stop();
    sound(data, 'metrics.db');
    sound(data, 'tower.db');
    const file = new DatabaseSync(join(data, 'metrics.db'), { readOnly: true });
    expect(file.prepare('select count(*) as n from points').get()).toEqual({ n: kept + 500 });
    file.close();
  });

  it('reports a read-only directory at start', async ({ skip }) => {
    const data = smallDisk(3);
    if (data === null) {
      skip('mounting a disk takes root');
      return;
    }
    execFileSync('mount', ['-o', 'remount,ro', data]);
    await expect(testTower({ DATA_DIRECTORY: data })).rejects.toThrow(
      /^cannot (open|use|write) .*DATA_DIRECTORY must be a directory this user can write to/,
    );
  });

  it('reports a damaged file where it is read; the rest works', async () => {
    const first = await testTower();
    await first.services.registry.refresh();
    for (let from = 0; from < 5_000; from += 500) await post(first, from);
    const data = join(first.directory, 'data');
    await first.stop();
    const path = join(data, 'metrics.db');
    const file = openSync(path, 'r+');
    const size = statSync(path).size;
    for (let at = 5 * 4096; at < size; at += 4096) writeSync(file, Buffer.alloc(2000, 0xaa), 0, 2000, at);
    closeSync(file);
    const tower = await testTower({ DATA_DIRECTORY: data });
    const answer = await tower.app.inject('/api/v1/analytics/metrics?limit=10000');
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({
      detail: `cannot use ${path}: it is damaged; run "tower store verify" for details`,
    });
    await tower.services.registry.refresh();
    expect((await tower.app.inject('/models?limit=1')).statusCode).toBe(200);
    expect(await healthOf(tower)).toMatchObject({
      status: 'degraded',
      store_error: null,
      metric_store_error: expect.stringContaining('it is damaged'),
    });
  });

  it('keeps every acknowledged point of two processes that write at once', async () => {
    const directory = temporaryDirectory();
    const ours = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).href);
    const script = (k: number) => `
      import { openMetricStore } from ${ours('src/store/open-store.ts')};
      import { createRecorder } from ${ours('services/analytics/storage/recorder.ts')};
      const store = await openMetricStore({ directory: ${JSON.stringify(directory)} });
      const recorder = createRecorder({ store, maxSeries: 100 });
      for (let i = 0; i < 300; i += 1)
        await recorder.record([{ metric: 'm', resource: 'r' + (i % 3), labels: {}, at: 1e12 + i * 10 + ${k}, value: i }]);
      await store.close();`;
    const processes = [0, 1, 2].map((k) => start(process.execPath, ['--input-type=module', '-e', script(k)]));
    const codes = await Promise.all(processes.map(async ({ child }) => (await once(child, 'exit'))[0] as number));
    expect(codes, processes.map(({ output }) => output()).join('')).toEqual([0, 0, 0]);
    const store = await openMetricStore({ directory });
    whenTestIsOver(() => store.close());
    const db = await store.db();
    expect(
      await db
        .selectFrom('points')
        .select((at) => at.fn.countAll<number>().as('n'))
        .execute(),
    ).toEqual([{ n: 900 }]);
    expect(await db.selectFrom('series').selectAll().execute()).toHaveLength(3);
  });
});
