import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { table } from '#cli/table.ts';
import { timeOf } from '#cli/time.ts';
import { suspiciousVariables } from '#config/suspicious-variables.ts';
import { cliOver } from '../support/cli.ts';
import { output } from '../support/programs.ts';
import { receiver } from '../support/receiver.ts';
import { temporaryDirectory } from '../support/tower.ts';

const csv = (rows: string[]): string => {
  const file = join(temporaryDirectory(), 'load.csv');
  writeFileSync(file, `requests\n${rows.join('\n')}\n`);
  return file;
};

describe('tower', () => {
  it('prints its help without arguments, and suggests a command for a typo', async () => {
    const { tower } = await cliOver();
    const none = await tower();
    expect(none).toMatchObject({ code: 0, err: '' });
    expect(none.out).toContain('Commands:');
    expect(await tower('forcast')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Did you mean forecast?') as string,
    });
  });

  it('forecasts and backtests a CSV file without a server', async () => {
    const { towerWith } = await cliOver();
    const offline = { TOWER_URL: 'http://127.0.0.1:9' };
    const file = csv(Array.from({ length: 60 }, (_, i) => String(10 + (i % 6))));
    const forecast = await towerWith(offline, 'forecast', '--csv', file, '--column', 'requests', '--members', 'ridge');
    expect(forecast).toMatchObject({ code: 0, err: '' });
    expect(forecast.out).toMatch(/^STEP +FORECAST/);
    const wrong = await towerWith(offline, 'forecast', '--csv', file, '--column', 'requests', '--horizon', '0');
    expect(wrong).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^tower: --horizon must .* \(got 0\)/) as string,
    });
    const usage = csv(Array.from({ length: 9 * 288 }, (_, i) => (0.2 + (i % 288 < 100 ? 0.1 : 0)).toFixed(2)));
    const tested = await towerWith(offline, 'rightsizing', 'backtest', '--csv', usage, '--column', 'requests');
    expect(tested).toMatchObject({ code: 0, err: '' });
    expect(tested.out).toMatch(/\nRequest for the next 24 h: 3\d\dm \(/);
  });

  it('prints completion scripts that the shells accept', async () => {
    const { tower } = await cliOver();
    const { out } = await tower('completion', 'bash');
    const asked = `${out}\nCOMP_WORDS=(tower rightsizing back); COMP_CWORD=2; _tower; echo "\${COMPREPLY[@]}"`;
    expect((await output('bash', ['-c', asked])).text.trim()).toBe('backtest');
    for (const shell of ['zsh', 'fish']) expect((await tower('completion', shell)).out).toContain('rightsizing');
    expect((await tower('completion', 'cmd')).code).toBe(2);
  });

  it('creates no data directory by reading', async () => {
    const { towerWith } = await cliOver();
    const directory = join(temporaryDirectory(), 'data');
    const log = join(temporaryDirectory(), 'log.jsonl');
    writeFileSync(log, '');
    for (const args of [
      ['audit', 'export'],
      ['audit', 'verify'],
      ['audit', 'verify', '--file', log],
      ['token', 'list'],
      ['token', 'revoke', '0123456789ab'],
    ])
      expect(await towerWith({ DATA_DIRECTORY: directory }, ...args)).toMatchObject({ code: 3, out: '' });
    expect(existsSync(directory)).toBe(false);
  });

  it('records metrics, and manages webhooks and baselines', async () => {
    const there = await receiver();
    const { tower } = await cliOver({ OUTBOUND_ALLOWED_HOSTS: '127.0.0.1' });
    const record = await tower('metrics', 'record', 'accuracy', '0.95', '--resource', 'job', '--label', 'model:v2');
    expect(record).toMatchObject({ code: 0, out: 'recorded accuracy of job' });
    expect((await tower('metrics', 'query', 'accuracy')).out).toMatch(/ job +model=v2 +0\.95$/m);
    expect(await tower('metrics', 'record', 'accuracy', 'high', '--resource', 'job')).toMatchObject({ code: 2 });

    expect((await tower('webhooks', 'list')).out).toBe('No webhooks.');
    const added = await tower('webhooks', 'add', there.url, '--event', 'drift', '--json');
    const { id, events, secret } = JSON.parse(added.out) as { id: string; events: string[]; secret: string };
    expect([events, secret.startsWith('whsec_')]).toEqual([['drift.detected', 'drift.cleared'], true]);
    expect((await tower('webhooks', 'list')).out).toContain(id);
    expect((await tower('webhooks', 'test', id)).code).toBe(0);
    expect((await tower('webhooks', 'deliveries', id)).out).toMatch(/ webhook\.test +/);
    expect((await tower('webhooks', 'remove', id)).code).toBe(0);
    expect((await tower('webhooks', 'test', id)).code).toBe(3);

    const pin = ['drift', 'pin', 'DNA', '2', 'accuracy'];
    expect(await tower(...pin)).toMatchObject({ code: 2 });
    expect((await tower(...pin, '--from', '60d', '--until', '30d')).out).toContain('accuracy');
    expect((await tower('drift', 'baselines', 'DNA', '2')).out).toContain('accuracy');
    expect((await tower('drift', 'unpin', 'DNA', '2', 'accuracy')).code).toBe(0);
    expect((await tower('drift', 'unpin', 'DNA', '2', 'accuracy')).code).toBe(3);
    expect((await tower('drift', 'list')).code).toBe(0);
  });
});

describe('timeOf', () => {
  it('counts ages back from now, and takes a date as its midnight', () => {
    for (const [text, ms] of [
      ['90m', 5_400_000],
      ['6h', 21_600_000],
      ['7d', 604_800_000],
      ['2w', 1_209_600_000],
    ] as const)
      expect(Math.abs(Date.now() - ms - Date.parse(timeOf(text)))).toBeLessThan(10_000);
    expect(timeOf('2026-11-20')).toBe('2026-11-20T00:00:00.000Z');
    expect(timeOf('2026-11-20T10:00:00+01:00')).toBe('2026-11-20T09:00:00.000Z');
    expect(timeOf('2026-11-20 10:30')).toBe('2026-11-20T10:30:00.000Z');
    expect(() => timeOf('2026-02-30')).toThrow('ISO 8601');
    expect(() => timeOf('7 days')).toThrow('ISO 8601');
  });
});

describe('suspiciousVariables', () => {
  it('names the setting that a variable was probably meant to be', () => {
    const texts = suspiciousVariables({
      MLFLOW_TRACKING_URL: 'http://mlflow',
      DATABASE_URI: 'x',
      MLFLOW_TRACKING_TOKEN_A: 'x',
      MLFLOW_TRACKING_URI: 'x',
      MLFLOW_EXPERIMENT_ID: 'x',
      KUBERNETES_PORT: 'x',
      TOWER_URL: 'x',
      HOME: 'x',
    });
    expect(texts).toEqual([
      'the variable MLFLOW_TRACKING_URL is unknown and ignored; did you mean MLFLOW_TRACKING_URI?',
      'the variable DATABASE_URI is unknown and ignored; did you mean DATABASE_URL?',
    ]);
  });
});

describe('table', () => {
  it('fits the width of the terminal, and cuts nothing elsewhere', () => {
    const id = 'x'.repeat(12);
    const rows = [[id, 'y'.repeat(40), null, 'one two three four five six seven eight']];
    const lines = table(['ID', 'URL', 'ALIASES', 'REASON'], rows, 50).split('\n');
    expect(lines.filter((line) => line.length > 50)).toEqual([]);
    // Columns without values are left out, identifiers are never cut, and the last column is wrapped.
    expect(lines[0]).toMatch(/^ID +URL +REASON$/);
    expect(lines[1]).toMatch(/^x{12} {2}y+… {2}one two three four$/);
    expect(lines[2]!.trim()).toBe('five six seven eight');
    expect(table(['ID', 'URL', 'ALIASES', 'REASON'], rows, Number.POSITIVE_INFINITY)).toMatch(
      /^ID +URL +ALIASES +REASON\n.*$/,
    );
  });

  it('shows numbers with at most six significant digits', () => {
    expect(table(['N'], [[0.1234567890123456], [1234567]])).toBe('       N\n0.123457\n 1234567');
  });
});
