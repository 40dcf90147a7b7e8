// Builds dist/ where that is possible and needed. Plain JavaScript: it also runs where no Node that strips types is installed.
//   node build/prepare.js             after npm ci: always
//   node build/prepare.js --if-older  before npm start: where dist/ is missing or older than a source
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const built = join(root, 'dist', 'NOTICE');
const inputs = ['src', 'routes', 'services', 'config', 'build', 'package.json'];

const newest = (path) => {
  const facts = statSync(path);
  if (!facts.isDirectory()) return facts.mtimeMs;
  return Math.max(...readdirSync(path).map((name) => newest(join(path, name))));
};
const isOlder = () => {
  const sources = inputs.map((name) => join(root, name)).filter((path) => existsSync(path));
  return !existsSync(built) || statSync(built).mtimeMs < Math.max(...sources.map(newest));
};
const canBuild = existsSync(join(root, 'node_modules/rolldown')) && existsSync(join(root, 'src'));

if (!process.argv.includes('--if-older') || isOlder()) {
  if (canBuild) {
    const { status } = spawnSync(process.execPath, [join(root, 'build/build.ts')], { stdio: 'inherit' });
    process.exitCode = status ?? 1;
  } else if (!existsSync(built)) {
    console.log(
      'dist/ is not built: the build tools are not installed (npm ci with development dependencies installs them)',
    );
  }
}
