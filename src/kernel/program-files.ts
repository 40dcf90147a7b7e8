/**
 * Paths of program files needed at run time: entries of threads and child processes, and assets. Running from sources,
 * each file is at its place in the tree; in the build (`dist/`, see build/build.ts) entries are bundles beside this
 * one, and assets are in `dist/assets`.
 */

/** Entries that run in a thread or process of their own. */
export const entries = {
  'analytics.worker': 'services/analytics/analytics.worker.ts',
  'drift.worker': 'services/drift/drift.worker.ts',
  'forecast.worker': 'services/forecast/forecast.worker.ts',
  'rightsizing.worker': 'services/rightsizing/rightsizing.worker.ts',
  'load.worker': 'services/acquisition/load/load.worker.ts',
  'sqlite.worker': 'services/registry/sources/sqlite.worker.ts',
  'jmeter-child': 'services/acquisition/load/jmeter-child.ts',
  'tfjs-child': 'services/forecast/lstm/tfjs-child.ts',
} as const;

/** Assets, read unchanged. */
export const assets = [
  'config/default.yaml',
  'config/resource-optimized.yaml',
  'services/forecast/lstm/kernels.wasm',
  'services/forecast/lstm/kernels-fma.wasm',
] as const;

const isBuild = !import.meta.url.endsWith('.ts');
/** The directory of package.json. */
const root = new URL(isBuild ? '../' : '../../', import.meta.url);

export const entryUrl = (name: keyof typeof entries): URL =>
  isBuild ? new URL(`./${name}.js`, import.meta.url) : new URL(entries[name], root);

export const assetUrl = (path: (typeof assets)[number]): URL =>
  isBuild ? new URL(`./assets/${path.split('/').at(-1)}`, import.meta.url) : new URL(path, root);

export const packageJson = new URL('package.json', root);

/** Directory of the static files of the API's documentation pages, see build/static-files.ts. */
export const docsDirectory = new URL('dist/docs/', root);
