import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type OutputChunk, rolldown } from 'rolldown';
import { assets, entries } from '../src/kernel/program-files.ts';
import { noticeOf } from './notice.ts';
import { copyDocs } from './static-files.ts';

/**
 * `npm run build`: makes `dist/`: the server and its commands as one bundle with the libraries it uses, a bundle for each
 * thread and child process, the files they read, and the licences of all that is in it.
 */

const root = resolve(import.meta.dirname, '..');
/** Built next to dist/ and renamed when complete, so that a failed or concurrent build leaves dist/ intact. */
const made = mkdtempSync(join(root, '.dist-'));
chmodSync(made, 0o755);
process.on('exit', () => rmSync(made, { recursive: true, force: true }));

/** Not bundled: native or WASM parts, own worker threads, or loaded only if configured. */
const external = [/^node:/, /^piscina$/, /^pg$/, /^@kubernetes\/client-node$/, /^@bsull\/augurs/, /^@tensorflow\//];

/** Errors and logs contain class names. */
const keepNames = { function: false, class: true };

const bundle = await rolldown({
  cwd: root,
  input: { tower: 'src/tower.ts', ...entries },
  platform: 'node',
  external,
  onLog: (level, log) => {
    // CommonJS libraries test for their own names with eval and typeof.
    if (level === 'warn' && log.code !== 'EVAL') console.warn(log.message);
  },
});
const { output } = await bundle.write({
  dir: made,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
  minify: { compress: { keepNames }, mangle: { keepNames }, codegen: { removeWhitespace: true } },
});
await bundle.close();

mkdirSync(join(made, 'assets'));
for (const file of assets) cpSync(join(root, file), join(made, 'assets', basename(file)));
await copyDocs(join(made, 'docs'));
const chunks = output.filter((file): file is OutputChunk => file.type === 'chunk');
writeFileSync(join(made, 'NOTICE'), noticeOf(chunks.flatMap(({ moduleIds }) => moduleIds)));
const bytes = chunks.reduce((total, { fileName }) => total + readFileSync(join(made, fileName)).byteLength, 0);
const former = `${made}-former`;
if (existsSync(join(root, 'dist'))) renameSync(join(root, 'dist'), former);
renameSync(made, join(root, 'dist'));
rmSync(former, { recursive: true, force: true });
console.log(`dist/: ${chunks.length} files, ${(bytes / 1e6).toFixed(1)} MB`);
