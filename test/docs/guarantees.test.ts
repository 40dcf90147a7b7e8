import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

it('every guarantee names a test that exists', () => {
  const page = readFileSync(join(root, 'docs/reference/guarantees.md'), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && line !== '| promise | test |');
  const tests = rows.map((row) => /^\| .+ \| `(test\/\S+\.test\.ts)`: (.+) \|$/.exec(row)?.slice(1) ?? [row]);
  const missing = tests.filter(([file = '', title = '']) => {
    const path = join(root, file);
    return !existsSync(path) || title === '' || !readFileSync(path, 'utf8').includes(title);
  });
  expect(missing).toEqual([]);
  expect(tests.length).toBeGreaterThan(25);
});
