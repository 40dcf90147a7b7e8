// Builds dist/ if that is possible and needed. Plain JavaScript: it also runs on a Node that does not strip types.
//   node build/prepare.js               after npm ci: always
//   node build/prepare.js --if-older    before npm start: if dist/ is missing or older than a source
//   node build/prepare.js --if-missing  before npm run tower, which must not replace the build of a running server
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const when = process.argv[2];
const built = join(root, 'dist', 'NOTICE');
const inputs = ['src', 'routes', 'services', 'config', 'build', 'package.json', 'package-lock.json'];

const newest = (path) => {
  const facts = statSync(path);
  if (!facts.isDirectory()) return facts.mtimeMs;
  return Math.max(facts.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
};
const isOlder = () => {
  const sources = inputs.map((name) => join(root, name)).filter((path) => existsSync(path));
  return statSync(built).mtimeMs < Math.max(...sources.map(newest));
};
const isMissing = !existsSync(built);
const isNeeded = isMissing || when === undefined || isOlder();
const canBuild = existsSync(join(root, 'node_modules/rolldown')) && existsSync(join(root, 'src'));

if (isNeeded && canBuild && (isMissing || when !== '--if-missing')) {
  const { status } = spawnSync(process.execPath, [join(root, 'build/build.ts')], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} else if (isNeeded) {
  const state = isMissing ? 'is not built' : 'is older than the sources';
  const reason = canBuild ? 'npm run build renews it' : 'the build tools are not installed (npm ci --include=dev)';
  console.error(`dist/ ${state}: ${reason}`);
}
