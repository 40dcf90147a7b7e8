import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { packageVersion } from '#config/config.ts';
import { output, systemProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

describe('Prometheus', () => {
  const promtool = systemProgram('/usr/bin/promtool');
  it.skipIf(!promtool)('accepts the metrics (promtool check metrics)', async () => {
    const tower = await servingTower(temporaryDirectory());
    await fetch(`${tower.url}/models`);
    await fetch(`${tower.url}/nowhere`);
    const page = await (await fetch(`${tower.url}/metrics`)).text();
    expect(await output(promtool ?? '', ['check', 'metrics'], page)).toEqual({ code: 0, text: '' });
    await tower.stop();
  });
});

describe('deploy/', () => {
  const promtool = systemProgram('/usr/bin/promtool');
  it.skipIf(!promtool)('has alert rules that promtool accepts', async () => {
    const text = readFileSync(new URL('../../deploy/monitoring/rules.yaml', import.meta.url), 'utf8');
    const file = join(temporaryDirectory(), 'rules.yml');
    writeFileSync(file, stringify((parse(text) as { spec: object }).spec));
    expect(await output(promtool ?? '', ['check', 'rules', file])).toMatchObject({
      code: 0,
      text: expect.stringMatching(/SUCCESS: 16 rules found/) as string,
    });
  });

  const kubectl = systemProgram('/usr/bin/kubectl');
  it.skipIf(!kubectl).each(['kubernetes', 'monitoring', 'in-cluster'])(
    'has manifests that kubectl can build: %s',
    async (part) => {
      const directory = new URL(`../../deploy/${part}`, import.meta.url).pathname;
      const { code, text } = await output(kubectl ?? '', ['kustomize', directory]);
      expect([code, text]).toEqual([0, expect.stringContaining('kind: ')]);
      if (part === 'kubernetes') expect(text).toContain(`image: control-tower:${packageVersion()}`);
    },
  );
});

it.skipIf(!systemProgram('/usr/bin/kubectl'))('a change of a setting restarts the pods', async () => {
  const directory = temporaryDirectory();
  const base = relative(directory, new URL('../../deploy/kubernetes', import.meta.url).pathname);
  const configMapOf = async (literals: string[]) => {
    const configMapGenerator = [{ name: 'control-tower', behavior: 'merge', literals }];
    writeFileSync(join(directory, 'kustomization.yaml'), stringify({ resources: [base], configMapGenerator }));
    const { text } = await output('/usr/bin/kubectl', ['kustomize', directory]);
    const documents = parseAllDocuments(text).map((document) => document.toJS() as Manifest);
    const deployment = documents.find(({ kind }) => kind === 'Deployment')!;
    const { name } = deployment.spec!.template.spec.containers[0]!.envFrom[0]!.configMapRef!;
    expect(documents.find(({ kind }) => kind === 'ConfigMap')!.metadata.name).toBe(name);
    return name;
  };
  const [before, after] = [await configMapOf(['LOG_LEVEL=INFO']), await configMapOf(['LOG_LEVEL=DEBUG'])];
  expect(after).not.toBe(before);
  expect(await configMapOf(['LOG_LEVEL=INFO'])).toBe(before);
});

type Manifest = {
  kind: string;
  metadata: { name: string };
  spec?: { template: { spec: { containers: { envFrom: { configMapRef?: { name: string } }[] }[] } } };
};

describe('a browser', () => {
  const chromium = systemProgram('/usr/bin/chromium');
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ];
  const domOf = async (url: string) => {
    const args = [
      ...flags,
      `--user-data-dir=${join(temporaryDirectory(), 'profile')}`,
      '--virtual-time-budget=15000',
      '--timeout=30000',
      '--dump-dom',
      url,
    ];
    return (await output(chromium ?? '', args)).text;
  };

  it.skipIf(!chromium)('shows Swagger UI at /docs with every endpoint, without external resources', async () => {
    const tower = await servingTower(temporaryDirectory());
    const dom = await domOf(`${tower.url}/docs`);
    for (const text of [
      'Model versions in production',
      'Start monitoring a model version',
      'Counts for a dashboard',
      'Metrics for Prometheus',
    ])
      expect(dom).toContain(text);
    await tower.stop();
  });

  it.skipIf(!chromium)('shows ReDoc at /redoc', async () => {
    const tower = await servingTower(temporaryDirectory());
    const dom = await domOf(`${tower.url}/redoc`);
    expect(dom).toContain('Control Tower API');
    // Sections are rendered when scrolled to; the menu is there at once.
    for (const text of ['Models', 'Monitoring', 'Experiments and runs', 'Model analysis', 'Cache', 'System'])
      expect(dom).toContain(text);
    await tower.stop();
  });
});
