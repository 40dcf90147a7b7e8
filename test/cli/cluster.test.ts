import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { scalesBy } from '../support/apply-world.ts';
import { cliOver } from '../support/cli.ts';
import { clusteredEnv } from '../support/cluster-series.ts';

describe('tower train, experiments of', { timeout: 30_000 }, () => {
  it('a configuration to make one’s own of, planned before anything is done', async () => {
    const { tower, folder } = await cliOver(await clusteredEnv());
    const file = join(folder, 'own.yaml');
    expect(await tower('train', 'config', 'default', '--out', file)).toMatchObject({ code: 0 });
    const config = parse(readFileSync(file, 'utf8')) as { jmeter_heap?: number };
    const plan = ['train', 'parallel-experiments', '--services', 'web', '--namespace', 'shop', '--plan'];
    const asText = await tower(...plan, '--config-file', file);
    expect(asText.out).toMatch(/^experiments +48\nthere already +0\nat the same time +1\ntakes at least +36\.8 h\n/);
    expect(asText.out).toMatch(/users go to +http:\/\/127\.0\.0\.1:9$/m);
    config.jmeter_heap = 4;
    writeFileSync(file, JSON.stringify(config));
    expect(await tower(...plan, '--config-file', file)).toMatchObject({
      code: 2,
      err: 'tower: config: jmeter_heap is no key of it',
    });
    expect((await tower('train', 'config', 'mine')).err).toBe(
      'tower: there is no configuration mine; there are resource-optimized and default',
    );
    expect((await tower('train', 'experiment-jobs')).out).toBe('No experiment has been made by a job.');
  });

  it('a tower without a cluster, which says what is missing', async () => {
    const { tower } = await cliOver();
    const args = ['train', 'isolated-experiment', '--service', 'web', '--target', 'http://shop'];
    expect(await tower(...args)).toMatchObject({ code: 5, err: 'tower: there is no cluster: set KUBERNETES_CONFIG' });
  });
});

describe('a cluster that is not as it is said to be', () => {
  it('is refused at the start where its file is not there, and a service where it is not', async () => {
    await expect(cliOver({ KUBERNETES_CONFIG: '/no/such/file' })).rejects.toThrow(
      'KUBERNETES_CONFIG: the file /no/such/file cannot be read (ENOENT)',
    );
    const { tower } = await cliOver(await clusteredEnv());
    const plan = ['train', 'parallel-experiments', '--namespace', 'shop', '--plan', '--services'];
    expect(await tower(...plan, 'web,nosuch')).toMatchObject({
      code: 2,
      err: 'tower: services: there is no Deployment or StatefulSet nosuch in shop',
    });
    expect((await tower(...plan, 'web')).code).toBe(0);
  });
});

describe('tower rightsizing apply', { timeout: 30_000 }, () => {
  it('says what it would do, and what it will not', async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const args = ['rightsizing', 'apply', '--namespace', 'shop', '--service', 'web', '--days', '2'];
    const dry = await tower(...args, '--resources', 'memory');
    expect(dry.out).toMatch(
      /^OF +WHAT +FROM +TO\nweb +requests\.memory +256Mi +\d+Mi\nweb +limits\.memory +(—|-)? +\d+Mi\n/,
    );
    expect(dry.out).toContain('Nothing was changed; --confirm does it.');
    const both = await tower(...args);
    expect([both.code, both.err]).toEqual([
      4,
      expect.stringContaining('tower: Prometheus knows the autoscaler web of it, and the cluster none') as string,
    ]);
    const scaled = await cliOver(await clusteredEnv([scalesBy('cpu')]));
    expect((await scaled.tower(...args)).out).toMatch(/^hpa web +target of cpu +60%, 300m a pod +\d\d%, \d+m a pod$/m);
    expect((await tower('rightsizing', 'applied')).out).toBe('Nothing has been applied.');
  });

  it('tells each step as a line where there is no terminal, then what came of it', async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const args = ['--namespace', 'shop', '--service', 'web', '--days', '2', '--resources', 'memory'];
    const done = await tower('rightsizing', 'apply', ...args, '--no-canary', '--watch-seconds', '1', '--confirm');
    expect(done.err.split('\n').slice(0, 2)).toEqual(['all pods are being replaced', 'it is watched how they do']);
    expect(done.out).toMatch(/^OF +WHAT +FROM +TO\nweb +requests\.memory[\s\S]*\noutcome +applied\n/);
    expect(done.out).toContain('only kills, restarts and readiness were judged');
    expect((await tower('rightsizing', 'applied')).out).toMatch(
      /^BEGUN +JOB +SERVICE +STATUS +OUTCOME +WHY\n\d{4}-\d\d-\d\dT\d\d:\d\d +\S+ +shop\/web +succeeded +applied +-$/,
    );
  });
});
