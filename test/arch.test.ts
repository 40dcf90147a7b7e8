import { globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
const sources = globSync(['src/**/*.ts', 'routes/**/*.ts', 'services/**/*.ts', 'bin/*.js'], { cwd: root });
const everything = [...sources, ...globSync(['test/**/*.ts', 'bench/**/*.ts'], { cwd: root })];

type Import = { from: string; to: string; typeOnly: boolean };

/** Every import of a file of ours or of a package. Paths of ours are relative to the root. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/^(?:import|export)\s+(type\s)?([^;'"]*?)from '([^']+)'|import\('([^']+)'\)/gms)];
  return found.map(([, type, names, fixed, lazy]) => {
    const target = fixed ?? lazy ?? '';
    const to = target.startsWith('.') ? relative(root, resolve(root, dirname(file), target)) : target;
    const listed =
      names
        ?.match(/\{([^}]*)\}/)?.[1]
        ?.split(',')
        .filter((name) => name.trim() !== '') ?? [];
    const typeOnly =
      type !== undefined || (listed.length > 0 && listed.every((name) => name.trim().startsWith('type ')));
    return { from: file, to, typeOnly };
  });
}

const imports = sources.flatMap(importsOf);
const areaOf = (path: string): string =>
  path.startsWith('services/') || path.startsWith('src/')
    ? path.split('/').slice(0, 2).join('/')
    : (path.split('/')[0] ?? '');

/** What each part of the house may import of ours; `type` = types only. Sub-paths are meant too. */
const rules: Record<string, { value: string[]; type?: string[] }> = {
  'src/kernel': { value: ['src/kernel'] },
  'src/store': { value: ['src/store', 'src/kernel'] },
  services: { value: ['src/kernel', 'src/store', 'OWN'], type: ['services'] },
  routes: { value: ['routes', 'src/http', 'src/kernel', 'services'] },
  'src/http': { value: ['src/http', 'src/kernel'], type: ['src/config.ts', 'src/system.ts', 'services/access'] },
  'src/app.ts': { value: ['routes', 'src/http', 'src/kernel'], type: ['services', 'src/config.ts', 'src/system.ts'] },
  'src/compose.ts': {
    value: [
      'services',
      'src/kernel',
      'src/store',
      'src/config.ts',
      'src/system.ts',
      'src/compose-registry.ts',
      'src/compose-analytics.ts',
      'src/compose-rightsizing.ts',
      'src/background.ts',
      'src/gauges.ts',
    ],
    type: ['src/app.ts'],
  },
  'src/compose-analytics.ts': { value: ['services/analytics', 'src/kernel', 'src/store'], type: ['src/config.ts'] },
  'src/compose-rightsizing.ts': {
    value: ['services', 'src/kernel', 'src/config.ts'],
    type: ['src/compose-registry.ts', 'src/store'],
  },
  'src/compose-registry.ts': {
    value: ['services', 'src/kernel', 'src/store', 'src/registries.ts'],
    type: ['src/config.ts'],
  },
  'src/background.ts': {
    value: ['src/kernel', 'src/store', 'src/compose-registry.ts'],
    type: ['services', 'src/config.ts', 'src/system.ts'],
  },
  'src/gauges.ts': { value: ['src/kernel'], type: ['services', 'src/compose-registry.ts', 'src/system.ts'] },
  'src/registries.ts': { value: ['src/kernel'] },
  'src/system.ts': { value: ['src/kernel'], type: ['services', 'src/config.ts'] },
  'src/config.ts': { value: ['src/kernel', 'src/registries.ts', 'src/settings.ts'] },
  'src/settings.ts': { value: [] },
  'src/main.ts': { value: ['src/app.ts', 'src/compose.ts', 'src/config.ts', 'src/kernel'] },
  'src/cli': { value: ['src/cli', 'src/kernel', 'src/config.ts', 'src/compose.ts'] },
  bin: { value: ['src'] },
};

function isAllowed({ from, to, typeOnly }: Import): boolean {
  const [name, rule] = Object.entries(rules).find(([part]) => from === part || from.startsWith(`${part}/`)) ?? [];
  if (!rule || name === undefined) return false;
  const within = (part: string) =>
    part === 'OWN' ? areaOf(to) === areaOf(from) : to === part || to.startsWith(`${part}/`);
  return rule.value.some(within) || (typeOnly && (rule.type ?? []).some(within));
}

describe('the house', () => {
  it('is imported in one direction only', () => {
    const ours = imports.filter(({ to }) => /^(src|routes|services|bin|test|bench)\//.test(to));
    expect(ours.length).toBeGreaterThan(100);
    expect(ours.filter((item) => !isAllowed(item))).toEqual([]);
  });

  it('keeps HTTP out of services and packages out of the kernel', () => {
    const outside = imports.filter(({ to }) => !/^(src|routes|services|bin|node:)/.test(to));
    const inServices = outside.filter(
      ({ from, to }) =>
        from.startsWith('services/') &&
        ![
          'zod',
          'yaml',
          'jose',
          '@bsull/augurs/mstl',
          '@tensorflow/tfjs',
          'temporal-polyfill',
          '@prometheus-io/lezer-promql',
          '@lezer/common',
          're2js',
          '@kubernetes/client-node',
        ].includes(to),
    );
    const inKernel = outside.filter(
      ({ from, to }) => from.startsWith('src/kernel/') && !['undici', 'pino', 'prom-client', 'piscina'].includes(to),
    );
    const inStore = outside.filter(({ from, to }) => from.startsWith('src/store/') && !['kysely', 'pg'].includes(to));
    expect([...inServices, ...inKernel, ...inStore]).toEqual([]);
  });

  it('keeps workers pure', () => {
    const ofWorkers = imports.filter(({ from }) => from.endsWith('.worker.ts'));
    const allowed = ({ from, to }: Import) =>
      to.startsWith('node:') || to.startsWith(`${dirname(from)}/`) || /^src\/kernel\/(stats|rng|errors)\.ts$/.test(to);
    expect(ofWorkers.filter((item) => !allowed(item))).toEqual([]);
  });

  it('reads the environment only where the process begins', () => {
    const readers = sources.filter((file) => readFileSync(join(root, file), 'utf8').includes('process.env'));
    expect(readers.filter((file) => !file.startsWith('src/cli/'))).toEqual([]);
  });

  it('has a routes file for every services folder, and a face and schemas in each', () => {
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
