import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { seededRandom } from '#kernel/rng.ts';
import { createMirror } from '#services/registry/mirror/mirror.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';
import { start } from '../support/processes.ts';
import { aliasTable } from '../support/sources.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

const soak = process.env['SOAK'] === '1';

/** Writes cache files of 100 and 200 models alternately, forever. */
const writer = (path: string) => `
  import { saveCache } from ${JSON.stringify(new URL('../../services/registry/mirror/cache-file.ts', import.meta.url).href)};
  import { manyRows } from ${JSON.stringify(new URL('../support/rows.ts', import.meta.url).href)};
  const registries = [manyRows(100, 5), manyRows(200, 5)];
  for (let round = 0; ; round += 1) {
    await saveCache(${JSON.stringify(path)}, registries[round % 2], { fingerprint: 'toy', source: 'toy', readAt: Date.now(), rounds: 1 });
    if (round === 0) console.log('first written');
  }`;

it('SIGKILL during a cache write leaves a complete snapshot for the next start', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'registry.jsonl');
  const random = seededRandom(11);
  const toy = { fingerprint: 'toy', label: 'toy', close: async () => undefined } as unknown as RegistrySource;
  const rounds = soak ? 200 : 20;
  for (let round = 0; round < rounds; round += 1) {
    const process = start(globalThis.process.execPath, ['--input-type=module', '-e', writer(path)]);
    await once(process.child.stdout ?? process.child, 'data');
    const killAfterMs = random() * 40;
    const until = performance.now() + killAfterMs;
    while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
    await process.stop('SIGKILL');
    const kept = keptLog();
    const mirror = await createMirror({
      source: toy,
      openSample: null,
      cachePath: path,
      aliasTable,
      timeoutMs: 1000,
      maxAgeMs: 1e9,
      rereadEvery: 9,
      massDeletionShare: 0.2,
      cacheEnabled: true,
      monitored: async () => new Set(),
      clock: systemClock,
      log: kept.log,
    });
    await mirror.start();
    const { snapshot } = mirror.status();
    expect([500, 1000], `round ${round}: ${kept.text()}`).toContain(snapshot?.versions.length);
    expect(snapshot?.versions.every((version) => Object.keys(version.run?.metrics ?? {}).length === 4)).toBe(true);
    await mirror.stop();
  }
  // Later starts removed the temporary files of killed writers.
  expect(readdirSync(directory).length).toBeLessThanOrEqual(2);
}, 600_000);

it('a monitored version acknowledged by 201 survives SIGKILL', async () => {
  const directory = temporaryDirectory();
  for (const version of ['1', '2']) {
    const tower = await servingTower(directory);
    const answer = await fetch(`${tower.url}/models/fraud-detector/${version}/monitor`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model_type: 'classifier', registered_by: 'test' }),
    });
    expect(answer.status).toBe(201);
    await tower.stop('SIGKILL');
  }
  const tower = await servingTower(directory);
  const monitored = (await (await fetch(`${tower.url}/monitor`)).json()) as { model_version: string }[];
  expect(monitored.map((item) => item.model_version)).toEqual(['1', '2']);
  await tower.stop();
});
