import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { unavailable } from '#kernel/errors.ts';
import type { MirrorOptions } from '#services/registry/mirror/mirror.ts';
import { createMirror } from '#services/registry/mirror/mirror.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import type { CachedState, RegistrySource } from '#services/registry/sources/source.ts';
import { manyRows, versionRow } from '../../../support/rows.ts';
import { aliasTable, handClock, settle } from '../../../support/sources.ts';
import { keptLog, temporaryDirectory } from '../../../support/tower.ts';

const hour = 3_600_000;

/** A source in memory; the test sets its content and availability. */
function toySource(rows: RegistryRows, fingerprint = 'toy') {
  const source = {
    label: `toy://${fingerprint}`,
    fingerprint,
    rows: rows as RegistryRows | null,
    down: false,
    reads: 0,
    known: [] as (CachedState | null)[],
    gate: null as Promise<void> | null,
    readRegistry: async (known: CachedState | null, signal: AbortSignal) => {
      source.reads += 1;
      source.known.push(known);
      if (source.gate) {
        const aborted = new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error)),
        );
        await Promise.race([source.gate, aborted]);
      }
      if (source.down) throw unavailable('toy is down');
      return source.rows;
    },
    readRuns: async () => [],
    readRunsById: async () => [],
    readHistory: async () => [],
    readLoggedModel: async () => [],
    countRuns: async () => 0,
    ping: async () => {
      if (source.down) throw unavailable('toy is down');
    },
    close: async () => undefined,
  };
  return source satisfies RegistrySource;
}

async function mirrorOf(source: RegistrySource | null, more: Partial<MirrorOptions> = {}) {
  const { log, text } = keptLog();
  const clock = handClock();
  const directory = temporaryDirectory();
  const mirror = await createMirror({
    source,
    openSample: null,
    cachePath: join(directory, 'cache', 'registry.jsonl'),
    aliasTable,
    timeoutMs: 60_000,
    maxAgeMs: 24 * hour,
    rereadEvery: 3,
    massDeletionShare: 0.2,
    cacheEnabled: true,
    monitored: async () => new Set(),
    clock,
    log,
    ...more,
  });
  onTestFinished(() => mirror.stop());
  return {
    mirror,
    clock,
    logText: text,
    directory,
    cachePath: more.cachePath ?? join(directory, 'cache', 'registry.jsonl'),
  };
}

describe('the mirror', () => {
  it('is ready from a cache file with its age before the source is read', async () => {
    const source = toySource(manyRows(3, 2));
    const first = await mirrorOf(source);
    await first.mirror.refresh();
    const second = await mirrorOf(toySource(manyRows(3, 2)), { cachePath: first.cachePath, clock: first.clock });
    await first.clock.advance(2 * hour);
    await second.mirror.start();
    expect(second.mirror.status()).toMatchObject({
      ageMs: 2 * hour,
      stale: false,
      connection: 'connecting',
      origin: 'mlflow',
    });
    expect(second.mirror.status().snapshot?.versions).toHaveLength(6);
  });

  it('serves an old cache, marked stale, until it is refreshed', async () => {
    const first = await mirrorOf(toySource(manyRows(1, 1)));
    await first.mirror.refresh();
    await first.clock.advance(25 * hour);
    const second = await mirrorOf(toySource(manyRows(2, 1)), { cachePath: first.cachePath, clock: first.clock });
    await second.mirror.start();
    expect(second.mirror.status()).toMatchObject({ stale: true, ageMs: 25 * hour });
    await second.mirror.refresh();
    expect(second.mirror.status()).toMatchObject({ stale: false, ageMs: 0 });
    expect(second.mirror.status().snapshot?.versions).toHaveLength(2);
  });

  it('keeps serving when the source fails, and reports it', async () => {
    const source = toySource(manyRows(2, 1));
    const { mirror, clock } = await mirrorOf(source);
    await mirror.refresh();
    source.down = true;
    await clock.advance(hour);
    await expect(mirror.refresh()).rejects.toThrow('toy is down');
    expect(mirror.status()).toMatchObject({
      connection: 'disconnected',
      stale: true,
      ageMs: hour,
      lastError: 'toy is down',
    });
    expect(mirror.status().snapshot?.versions).toHaveLength(2);
    source.down = false;
    await mirror.refresh();
    expect(mirror.status()).toMatchObject({ connection: 'connected', stale: false, lastError: null });
  });

  it('merges concurrent refreshes into one read', async () => {
    const source = toySource(manyRows(1, 1));
    const { mirror } = await mirrorOf(source);
    const [a, b] = await Promise.all([mirror.refresh(), mirror.refresh()]);
    expect(a).toBe(b);
    expect(source.reads).toBe(1);
  });

  it('never joins a read-through with an earlier read', async () => {
    const source = toySource(manyRows(1, 1));
    let open = () => {};
    source.gate = new Promise((resolve) => {
      open = resolve;
    });
    const { mirror } = await mirrorOf(source);
    const early = mirror.readThrough();
    await settle();
    const late = [mirror.readThrough(), mirror.readThrough()];
    open();
    await Promise.all([early, ...late]);
    expect(source.reads).toBe(2);
  });

  it('never changes a snapshot in use', async () => {
    const source = toySource(manyRows(2, 2));
    const { mirror } = await mirrorOf(source);
    const before = await mirror.refresh();
    source.rows = manyRows(1, 1);
    await mirror.refresh();
    expect(before.versions).toHaveLength(4);
    expect(mirror.status().snapshot?.versions).toHaveLength(1);
  });

  it('keeps the snapshot and renews its age if "unchanged"', async () => {
    const source = toySource(manyRows(2, 1));
    const { mirror, clock } = await mirrorOf(source);
    const before = await mirror.refresh();
    source.rows = null;
    await clock.advance(hour);
    const after = await mirror.refresh();
    expect(after.versions).toBe(before.versions);
    expect(mirror.status().ageMs).toBe(0);
  });

  it('reads finished runs again at every n-th refresh; monitored, staged and produced ones at each', async () => {
    const source = toySource(manyRows(1, 1));
    const { mirror } = await mirrorOf(source, { monitored: async () => new Set(['a\n3']) });
    for (let round = 0; round < 5; round += 1) await mirror.refresh();
    const read = {
      models: [{ name: 'a', createdAt: 1, updatedAt: 1, description: '', tags: {}, aliases: { champion: '4' } }],
      versions: [
        versionRow({ name: 'a', version: '1', runId: 'plain', source: 'models:/m-plain' }),
        versionRow({ name: 'a', version: '2', runId: 'staged', currentStage: 'Staging', source: 'models:/m-staged' }),
        versionRow({ name: 'a', version: '3', runId: 'watched' }),
        versionRow({ name: 'a', version: '4', runId: 'named', source: 'models:/m-named' }),
      ],
    };
    const isReread = (id: string) =>
      Promise.all(source.known.map(async (known) => (known ? (await known.reread(read))(id) : null)));
    for (const id of ['plain', 'm-plain']) expect(await isReread(id)).toEqual([null, false, false, true, false]);
    for (const id of ['staged', 'm-staged', 'watched', 'named', 'm-named'])
      expect(await isReread(id)).toEqual([null, true, true, true, true]);
  });

  it('reads all finished runs again when asked to, in a read that starts after that', async () => {
    const source = toySource(manyRows(1, 1));
    const { mirror } = await mirrorOf(source);
    await mirror.refresh();
    const gate = Promise.withResolvers<void>();
    source.gate = gate.promise;
    const running = mirror.refresh();
    const forced = mirror.reread();
    gate.resolve();
    await Promise.all([running, forced]);
    const isReread = await Promise.all(
      source.known.map(async (known) => (known ? (await known.reread({ models: [], versions: [] }))('any') : null)),
    );
    expect(isReread).toEqual([null, false, true]);
  });

  it('aborts a slow refresh, and names the setting', async () => {
    const source = toySource(manyRows(1, 1));
    source.gate = new Promise(() => {});
    const { mirror } = await mirrorOf(source, { timeoutMs: 20 });
    await expect(mirror.refresh()).rejects.toThrow('within 0.02 s (CACHE_TIMEOUT_SECONDS)');
  });

  it.each([
    ['corrupt', 'half a fi'],
    ['foreign', '{"format":"something else"}\n{"sha256":"x"}\n'],
  ])('ignores a %s cache file with a log line, and starts', async (_reason, content) => {
    const { mirror, directory, logText } = await mirrorOf(toySource(manyRows(1, 1)));
    mkdirSync(join(directory, 'cache'));
    writeFileSync(join(directory, 'cache', 'registry.jsonl'), content);
    await mirror.start();
    expect(mirror.status().snapshot).toBeNull();
    expect(logText()).toMatch(/ignoring the cache file: ./);
    expect(readdirSync(join(directory, 'cache'))).toEqual([
      expect.stringMatching(/^registry\.jsonl\.(corrupt|foreign)$/),
    ]);
    await mirror.refresh();
    expect(mirror.status().snapshot?.versions).toHaveLength(1);
  });

  it('reports a cache that cannot be written, and completes the refresh', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    const { mirror, logText } = await mirrorOf(toySource(manyRows(1, 1)), {
      cachePath: join(directory, 'file', 'registry.jsonl'),
    });
    await mirror.refresh();
    expect(mirror.status().snapshot?.versions).toHaveLength(1);
    expect(mirror.status().lastPersistError).toMatch(/ENOTDIR|EEXIST/);
    expect(logText()).toContain('failed to write the cache file');
  });
});

describe('sample data', () => {
  const openSample = async () => toySource(manyRows(4, 1), 'sample');

  it('is served while a server is unreachable, is never cached, and ends with its first answer', async () => {
    const source = toySource(manyRows(1, 1));
    source.down = true;
    const { mirror, cachePath, logText } = await mirrorOf(source, { openSample });
    await mirror.start();
    await expect(mirror.refresh()).rejects.toThrow('toy is down');
    expect(mirror.status()).toMatchObject({ origin: 'sample', connection: 'disconnected', stale: true });
    expect(mirror.status().snapshot?.versions).toHaveLength(4);
    expect(logText()).toContain('SAMPLE DATA');
    expect(existsSync(cachePath)).toBe(false);
    source.down = false;
    await mirror.refresh();
    expect(mirror.status()).toMatchObject({ origin: 'mlflow', connection: 'connected' });
    expect(mirror.status().snapshot?.versions).toHaveLength(1);
    expect(source.known.at(-1)).toBeNull();
  });

  it('never replaces a real cache, however stale', async () => {
    const first = await mirrorOf(toySource(manyRows(1, 1)));
    await first.mirror.refresh();
    await first.clock.advance(1000 * hour);
    const down = toySource(manyRows(1, 1));
    down.down = true;
    const { mirror } = await mirrorOf(down, { openSample, cachePath: first.cachePath, clock: first.clock });
    await mirror.start();
    await mirror.refresh().catch(() => undefined);
    expect(mirror.status()).toMatchObject({ origin: 'mlflow', stale: true });
    expect(mirror.status().snapshot?.versions).toHaveLength(1);
  });
});
