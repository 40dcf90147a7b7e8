import { readFileSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCache, loadCache, saveCache } from '#services/registry/mirror/cache-file.ts';
import { manyRows } from '../../../support/rows.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const about = { fingerprint: 'abc', source: 'http://mlflow', readAt: 1_780_000_000_000, rounds: 7 };
const rows = manyRows(60, 5);

async function saved(): Promise<{ path: string; bytes: Buffer }> {
  const path = join(temporaryDirectory(), 'registry.jsonl');
  await saveCache(path, rows, about);
  return { path, bytes: readFileSync(path) };
}

describe('the cache file', () => {
  it('is read back as saved', async () => {
    const { path } = await saved();
    expect(await loadCache(path, 'abc')).toEqual({ status: 'loaded', rows, readAt: about.readAt, rounds: 7 });
  });

  it('is replaced as a whole, without temporary files', async () => {
    const { path } = await saved();
    await saveCache(path, { ...rows, versions: [] }, about);
    expect(await readdir(join(path, '..'))).toEqual(['registry.jsonl']);
    expect(await loadCache(path, 'abc')).toMatchObject({ status: 'loaded', rows: { versions: [] } });
  });

  it('of another source, program or schema is ignored with the reason', async () => {
    const { path, bytes } = await saved();
    expect(await loadCache(path, 'other')).toMatchObject({
      status: 'unusable',
      reason: 'foreign',
      why: expect.stringContaining('http://mlflow'),
    });
    expect(await decodeCache(Buffer.from('{"hello":"world"}\n'), 'abc')).toMatchObject({ reason: 'foreign' });
    expect(await decodeCache(bytes.subarray(0, bytes.length - 40), 'abc')).toMatchObject({
      reason: 'corrupt',
      why: 'it is truncated',
    });
    expect(await decodeCache(Buffer.alloc(0), 'abc')).toMatchObject({ reason: 'corrupt', why: 'it is empty' });
    expect(await loadCache(join(path, '..', 'none'), 'abc')).toEqual({ status: 'missing' });
  });

  it('is complete or ignored, whatever its damage', async () => {
    const { bytes } = await saved();
    const damage = fc.oneof(
      fc.record({ kind: fc.constant('cut' as const), at: fc.nat(bytes.length - 1) }),
      fc.record({
        kind: fc.constant('flip' as const),
        at: fc.nat(bytes.length - 1),
        bit: fc.integer({ min: 0, max: 7 }),
      }),
      fc.record({
        kind: fc.constant('insert' as const),
        at: fc.nat(bytes.length),
        what: fc.uint8Array({ minLength: 1, maxLength: 50 }),
      }),
      fc.record({ kind: fc.constant('repeat' as const), at: fc.nat(bytes.length - 1) }),
      fc.record({
        kind: fc.constant('zeros' as const),
        at: fc.nat(bytes.length - 1),
        length: fc.integer({ min: 1, max: 4096 }),
      }),
    );
    const runs = process.env['SOAK'] === '1' ? 2000 : 200;
    await fc.assert(
      fc.asyncProperty(damage, async (how) => {
        const result = await decodeCache(damaged(bytes, how), 'abc');
        if (result.status === 'loaded') expect(result.rows).toEqual(rows);
        else expect(result).toMatchObject({ status: 'unusable' });
      }),
      { numRuns: runs },
    );
  });

  it('is never read from random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 500 }),
        async (noise) => void expect((await decodeCache(Buffer.from(noise), 'abc')).status).toBe('unusable'),
      ),
    );
  });

  it('is ignored with the reason if it is a directory', async () => {
    const directory = temporaryDirectory();
    await writeFile(join(directory, 'x'), '');
    expect(await loadCache(directory, 'abc')).toMatchObject({ status: 'unusable', reason: 'corrupt' });
  });
});

type Damage = { kind: string; at: number; bit?: number; what?: Uint8Array; length?: number };

function damaged(bytes: Buffer, { kind, at, bit, what, length }: Damage): Buffer {
  if (kind === 'cut') return bytes.subarray(0, at);
  if (kind === 'insert') return Buffer.concat([bytes.subarray(0, at), what ?? Buffer.alloc(0), bytes.subarray(at)]);
  if (kind === 'repeat') return Buffer.concat([bytes, bytes.subarray(at)]);
  const copy = Buffer.from(bytes);
  if (kind === 'flip') copy[at] = (copy[at] ?? 0) ^ (1 << (bit ?? 0));
  else copy.fill(0, at, Math.min(at + (length ?? 1), copy.length));
  return copy;
}
