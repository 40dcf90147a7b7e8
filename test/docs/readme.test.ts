import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cliOver } from '../support/cli.ts';
import { testTower } from '../support/tower.ts';
import { terminalPicture } from './terminal-picture.ts';

const root = resolve(import.meta.dirname, '../..');

describe('the README', () => {
  it('shows what the commands print (update with npm test -- test/docs -u)', async () => {
    const { towerWith } = await cliOver();
    const { app, services } = await testTower();
    await services.registry.refresh();
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const printed = async (...args: string[]) => {
      const { code, out, err } = await towerWith({ TOWER_URL: url }, ...args);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      return out.split('\n');
    };
    const drift = await printed('models', 'drift', 'credit-default-risk', '3');
    const cores = join(root, 'examples/data/cores.csv');
    const flags = ['--column', 'cores', '--time', 'time', '--horizon', '1h'];
    const backtest = await printed('rightsizing', 'backtest', '--csv', cores, ...flags);
    const lines = [
      '$ tower models drift credit-default-risk 3',
      ...drift,
      '',
      `$ tower rightsizing backtest --csv examples/data/cores.csv ${flags.join(' ')}`,
      // Without the last line, which explains the columns.
      ...backtest.slice(0, -2),
    ];
    await expect(terminalPicture(lines.map((line) => line.trimEnd()))).toMatchFileSnapshot(
      join(root, 'docs/terminal.svg'),
    );
  });

  it('fits on one screen', () => {
    const lines = readFileSync(join(root, 'README.md'), 'utf8').split('\n');
    expect(lines.length).toBeLessThan(65);
  });
});
