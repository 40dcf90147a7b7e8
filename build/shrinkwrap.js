// npm-shrinkwrap.json of the package: the lock file without what only development needs. `npm pack` makes and removes it.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const file = resolve(root, 'npm-shrinkwrap.json');

if (process.argv.includes('--remove')) rmSync(file, { force: true });
else {
  const lock = JSON.parse(readFileSync(resolve(root, 'package-lock.json'), 'utf8'));
  const { devDependencies: _, ...own } = lock.packages[''];
  const isNeeded = ([path, entry]) => path !== '' && !entry.dev && !entry.devOptional && !entry.peer;
  lock.packages = { '': own, ...Object.fromEntries(Object.entries(lock.packages).filter(isNeeded)) };
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}
