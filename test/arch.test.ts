import { globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const sources = globSync(['src/**/*.ts', 'routes/**/*.ts', 'services/**/*.ts', 'bin/*.js'], { cwd: root });
const everything = [...sources, ...globSync(['test/**/*.ts', 'bench/**/*.ts'], { cwd: root })];
const { imports: aliases } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  imports: Record<string, string>;
};

type Import = { from: string; to: string; specifier: string; typeOnly: boolean };

/** Every import of a file. `to`: the imported file, relative to the root, or the name of a package. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/^(?:import|export)\s+(type\s)?([^;'"]*?)from '([^']+)'|import\('([^']+)'\)/gms)];
  return found.map(([, type, names, fixed, lazy]) => {
    const specifier = fixed ?? lazy ?? '';
    const listed =
      names
        ?.match(/\{([^}]*)\}/)?.[1]
        ?.split(',')
        .filter((name) => name.trim() !== '') ?? [];
    const typeOnly =
      type !== undefined || (listed.length > 0 && listed.every((name) => name.trim().startsWith('type ')));
    return { from: file, to: targetOf(file, specifier), specifier, typeOnly };
  });
}

function targetOf(file: string, specifier: string): string {
  if (specifier.startsWith('.')) return relative(root, resolve(root, dirname(file), specifier));
  const [alias = ''] = specifier.split('/');
  const directory = aliases[`${alias}/*`];
  return directory === undefined ? specifier : join(directory.replace('*', specifier.slice(alias.length + 1)));
}

const imports = sources.flatMap(importsOf);
const isOurs = (path: string): boolean => /^(src|routes|services|bin|test|bench)\//.test(path);
/** `services/registry`, `src/http`, `src/app.ts`, `routes`: inside one of them imports are relative. */
const areaOf = (path: string): string =>
  /^(services|src)\//.test(path) ? path.split('/').slice(0, 2).join('/') : (path.split('/')[0] ?? '');

/** Allowed imports of each part; `type`: types only. Sub-directories are included. The first matching row counts. */
type Rule = [part: string, allowed: { value: string[]; type?: string[] }];
const rules: Rule[] = [
  ['src/kernel', { value: ['src/kernel'] }],
  ['src/store', { value: ['src/store', 'src/kernel'] }],
  ['services', { value: ['src/kernel', 'src/store', 'OWN'], type: ['services'] }],
  ['routes', { value: ['routes', 'src/http', 'src/kernel', 'services'] }],
  ['src/http', { value: ['src/http', 'src/kernel'], type: ['services/access', 'src/config', 'src/system.ts'] }],
  ['src/config', { value: ['src/config', 'src/kernel'] }],
  [
    'src/areas',
    {
      value: [
        'OWN AREA',
        'src/areas/area.ts',
        'services',
        'routes',
        'src/http',
        'src/config',
        'src/store',
        'src/kernel',
      ],
    },
  ],
  ['src/frame.ts', { value: ['src/config', 'src/store', 'src/kernel'], type: ['src/areas/area.ts'] }],
  [
    'src/job-runner.ts',
    { value: ['src/kernel', 'src/store', 'src/clock-watch.ts', 'src/memory-release.ts'], type: ['src/areas/area.ts'] },
  ],
  ['src/clock-watch.ts', { value: ['src/kernel'], type: ['src/areas/area.ts'] }],
  ['src/memory-release.ts', { value: [], type: ['src/areas/area.ts'] }],
  ['src/system.ts', { value: ['src/kernel'], type: ['src/areas/area.ts'] }],
  [
    'src/compose.ts',
    {
      value: ['src/areas', 'src/kernel', 'src/frame.ts', 'src/job-runner.ts', 'src/system.ts'],
      type: ['src/config'],
    },
  ],
  [
    'src/app.ts',
    {
      value: ['src/http', 'src/kernel'],
      type: ['src/areas/area.ts', 'src/config', 'src/system.ts', 'services/access'],
    },
  ],
  [
    'src/offline.ts',
    { value: ['services', 'src/store', 'src/kernel', 'src/frame.ts', 'src/areas/access.ts'], type: ['src/config'] },
  ],
  ['src/tower.ts', { value: ['src/main.ts', 'src/cli'] }],
  [
    'src/main.ts',
    { value: ['src/app.ts', 'src/compose.ts', 'src/config', 'src/kernel', 'src/store/directory-lock.ts'] },
  ],
  ['src/cli', { value: ['src/cli', 'src/kernel', 'src/config', 'src/offline.ts'], type: ['services'] }],
  ['bin', { value: ['src'] }],
];

function isAllowed({ from, to, typeOnly }: Import): boolean {
  const [, rule] = rules.find(([part]) => from === part || from.startsWith(`${part}/`)) ?? [];
  if (!rule) return false;
  const isWithin = (part: string) => {
    if (part === 'OWN') return areaOf(to) === areaOf(from);
    // registry-gauges.ts is a part of the wiring of registry.ts.
    if (part === 'OWN AREA')
      return to.startsWith(from.replace(/(-[a-z-]+)?\.ts$/, '')) && dirname(to) === dirname(from);
    return to === part || to.startsWith(`${part}/`);
  };
  return rule.value.some(isWithin) || (typeOnly && (rule.type ?? []).some(isWithin));
}

/** Cycles of imports among files of ours, each by its members in alphabetical order (Tarjan 1972). */
function cyclesOf(edges: Map<string, string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of edges.get(node) ?? []) {
      if (!index.has(next)) visit(next);
      else if (!stack.includes(next)) continue;
      low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index.get(node)) return;
    const members = stack.splice(stack.indexOf(node));
    if (members.length > 1) found.push(members.sort());
  };
  for (const node of edges.keys()) if (!index.has(node)) visit(node);
  return found;
}

const packageOf = (specifier: string): string => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');

/** Packages that a part of ours may import. */
const packages: [part: string, allowed: string[]][] = [
  ['src/kernel', ['undici', 'pino', 'prom-client', 'piscina', 'csv-parse', 'csv-stringify', 'lru-cache', 'zod']],
  ['src/store', ['kysely', 'pg']],
  ['src/areas', ['fastify', 'zod']],
  [
    'services',
    [
      'zod',
      'yaml',
      'jose',
      '@bsull/augurs',
      '@tensorflow/tfjs',
      '@prometheus-io/lezer-promql',
      '@lezer/common',
      're2js',
      '@kubernetes/client-node',
      '@bufbuild/protobuf',
      'csv-parse',
      'sax',
      'lru-cache',
      'undici',
    ],
  ],
];

describe('the source tree', () => {
  it('imports in one direction only', () => {
    const ours = imports.filter(({ to }) => isOurs(to));
    expect(ours.length).toBeGreaterThan(1000);
    expect(ours.filter((item) => !isAllowed(item))).toEqual([]);
  });

  it('has no import cycles, type imports included', () => {
    const edges = new Map(sources.map((file) => [file, importsOf(file).flatMap(({ to }) => (isOurs(to) ? [to] : []))]));
    expect(cyclesOf(edges)).toEqual([]);
  });

  it('finds the cycles of a small graph', () => {
    const edges = new Map([
      ['a', ['b', 'c']],
      ['b', ['a']],
      ['c', ['d']],
      ['d', ['e']],
      ['e', ['c', 'f']],
      ['f', []],
    ]);
    expect(cyclesOf(edges)).toEqual([
      ['c', 'd', 'e'],
      ['a', 'b'],
    ]);
  });

  it('uses relative paths inside an area and subpath imports across areas', () => {
    const wrong = imports.filter(({ from, to, specifier }) => {
      const isAliased =
        isOurs(to) && Object.values(aliases).some((directory) => `./${to}`.startsWith(directory.replace('*', '')));
      return isAliased && from.split('/')[0] !== 'bin' && specifier.startsWith('.') !== (areaOf(to) === areaOf(from));
    });
    expect(wrong).toEqual([]);
  });

  it('imports packages only where a part is meant to', () => {
    const wrong = imports.filter(({ from, to }) => {
      if (isOurs(to) || to.startsWith('node:') || to.endsWith('.json')) return false;
      const [, allowed] = packages.find(([part]) => from.startsWith(`${part}/`)) ?? [];
      return allowed !== undefined && !allowed.includes(packageOf(to));
    });
    expect(wrong).toEqual([]);
  });

  it('keeps workers free of clients, log and anything of another area', () => {
    const ofWorkers = imports.filter(({ from }) => from.endsWith('.worker.ts'));
    const isPure = ({ from, to }: Import) =>
      to.startsWith('node:') ||
      areaOf(to) === areaOf(from) ||
      // Reads of metric points and observations have a connection of their own (ADR 23).
      (/\/(analytics|drift)\.worker\.ts$/.test(from) && to.startsWith('src/store/')) ||
      /^src\/kernel\/(stats|rng|errors|moved-result)\.ts$/.test(to);
    expect(ofWorkers.filter((item) => !isPure(item))).toEqual([]);
  });

  it('reads the environment only where the process begins', () => {
    const readers = sources.filter((file) => readFileSync(join(root, file), 'utf8').includes('process.env'));
    expect(readers.filter((file) => !file.startsWith('src/cli/'))).toEqual([]);
  });

  it('has routes, wiring and schemas for every services directory', () => {
    const areas = readdirSync(join(root, 'services'));
    const routes = readdirSync(join(root, 'routes')).map((file) => file.replace(/\.ts$/, ''));
    expect(routes).toEqual(expect.arrayContaining(areas));
    // A large area has further files, named after it: registry-webhooks.
    expect(routes.filter((file) => !areas.includes(file.split('-')[0] ?? ''))).toEqual([]);
    for (const area of areas) {
      expect(readdirSync(join(root, 'services', area))).toEqual(expect.arrayContaining([`${area}.ts`, 'schemas.ts']));
    }
  });

  it('has no file over 300 lines and no name that says nothing', () => {
    const long = everything.filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 301);
    const vague = everything.filter((file) => /(^|\/)(utils?|helpers?|common|misc|manager|base)(\.ts|\/)/i.test(file));
    expect([...long, ...vague]).toEqual([]);
  });
});
