import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '#kernel/backoff.ts';
import { systemClock } from '#kernel/clock.ts';
import { removeLeftovers, writeAtomically } from '#kernel/files.ts';
import { parseTolerantJson, retryAfterMs } from '#kernel/http-client.ts';
import { createReleaser } from '#kernel/lifecycle.ts';
import { createLog, readable } from '#kernel/log.ts';
import { normal, seededRandom } from '#kernel/rng.ts';
import { keptLog, temporaryDirectory } from '../support/tower.ts';

async function* chunks(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text);
}

describe('writeAtomically', () => {
  it('writes and replaces files as a whole', async () => {
    const path = join(temporaryDirectory(), 'deep', 'file');
    await writeAtomically(path, chunks('one ', 'two'));
    expect(readFileSync(path, 'utf8')).toBe('one two');
  });

  it('leaves the old file and no temporary file if writing fails', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'file');
    writeFileSync(path, 'old');
    async function* broken() {
      yield Buffer.from('half');
      throw new Error('disk is gone');
    }
    await expect(writeAtomically(path, broken())).rejects.toThrow('disk is gone');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('removes temporary files of dead processes only', async () => {
    const directory = temporaryDirectory();
    const host = hostname().replaceAll(/[^\w-]/g, '_');
    const dead = `file.${host}-4194999.tmp`;
    const alive = `file.${host}-${process.pid}.tmp`;
    for (const name of [dead, alive, 'file.other-host-1.tmp', 'file']) writeFileSync(join(directory, name), '');
    await removeLeftovers(join(directory, 'file'));
    expect(readdirSync(directory).sort()).toEqual([alive, 'file', 'file.other-host-1.tmp'].sort());
  });
});

describe('the HTTP client', () => {
  it('parses bare NaN and Infinity, and leaves strings alone', () => {
    expect(parseTolerantJson('{"a":NaN,"b":[-Infinity,Infinity,1],"c":"NaN, Infinity"}')).toEqual({
      a: 'NaN',
      b: ['-Infinity', 'Infinity', 1],
      c: 'NaN, Infinity',
    });
    expect(parseTolerantJson('<html>')).toBeUndefined();
  });

  it('parses JSON as JSON.parse does', () => {
    fc.assert(fc.property(fc.json(), (text) => void expect(parseTolerantJson(text)).toEqual(JSON.parse(text))));
  });

  it('waits as long as Retry-After says, at most 30 s', () => {
    const clock = { ...systemClock, now: () => Date.UTC(2026, 0, 1) };
    expect(
      ['7', '0', '9999', 'Thu, 01 Jan 2026 00:00:05 GMT', 'soon', ''].map((header) => retryAfterMs(header, clock)),
    ).toEqual([7000, 0, 30_000, 5000, null, null]);
  });

  it('doubles its backoff up to half a minute', () => {
    const backoff = { firstMs: 250, maxMs: 30_000 };
    expect([1, 2, 3, 11, 5000].map((failures) => backoffMs(backoff, failures, () => 1))).toEqual([
      250, 500, 1000, 30_000, 30_000,
    ]);
    expect(backoffMs(backoff, 3, () => 0)).toBe(500);
  });
});

describe('lifecycle', () => {
  it('stops in reverse order, once, and continues after a failure', async () => {
    const { log, text } = keptLog();
    const releaser = createReleaser(log);
    const order: string[] = [];
    releaser.defer('store', () => order.push('store'));
    releaser.defer('broken', () => {
      throw new Error('stuck');
    });
    releaser.defer('http', async () => order.push('http'));
    await releaser.stop();
    await releaser.stop();
    expect(order).toEqual(['http', 'store']);
    expect(text()).toContain('failed to stop a component cleanly');
  });
});

describe('the log', () => {
  it('prints one readable line per event on a terminal and JSON otherwise', () => {
    const written: string[] = [];
    const out = { write: (line: string) => written.push(line), isTTY: true };
    createLog('INFO', 'auto', out).info({ url: 'http://x', why: 'two words' }, 'listening');
    expect(written[0]).toMatch(/^\d\d:\d\d:\d\d info {2}listening {2}url=http:\/\/x {2}why="two words"\n$/);
    createLog('INFO', 'auto', { ...out, isTTY: false }).warn({ a: 1 }, 'careful');
    expect(JSON.parse(written[1] ?? '')).toMatchObject({ level: 40, a: 1, msg: 'careful' });
  });

  it('logs the message of expected errors, and the stack of others', () => {
    const line = (err: object) =>
      readable(JSON.stringify({ level: 40, time: '2026-01-01T09:00:00.000Z', msg: 'failed', err }));
    expect(line({ type: 'TowerError', message: 'MLflow is down', stack: 'Error: MLflow is down\n at x' })).toBe(
      '09:00:00 WARN  failed: MLflow is down\n',
    );
    expect(line({ type: 'TypeError', message: 'oops', stack: 'TypeError: oops\n at x' })).toContain('at x');
  });
});

describe('random numbers', () => {
  it('are deterministic by seed, within [0, 1), and normal ones have mean 0 and deviation 1', () => {
    const [a, b] = [seededRandom(7), seededRandom(7)];
    const draws = Array.from({ length: 20_000 }, () => a());
    expect(draws.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => b()));
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
    const normals = Array.from({ length: 20_000 }, () => normal(a));
    const mean = normals.reduce((sum, x) => sum + x, 0) / normals.length;
    const variance = normals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / normals.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });
});
