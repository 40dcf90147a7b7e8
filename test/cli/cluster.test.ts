import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { scalesBy } from '../support/apply-world.ts';
import { cliOver } from '../support/cli.ts';
import { clusteredEnv } from '../support/cluster-series.ts';

describe('tower train, experiments of', { timeout: 30_000 }, () => {
  it('print a configuration and plan experiments without running them', async () => {
    const { tower, directory } = await cliOver(await clusteredEnv());
    const file = join(directory, 'own.yaml');
    expect(await tower('train', 'config', 'default', '--out', file)).toMatchObject({ code: 0 });
    const config = parse(readFileSync(file, 'utf8')) as { jmeter_heap?: number };
    const plan = ['train', 'parallel-experiments', '--services', 'web', '--namespace', 'shop', '--plan'];
    const asText = await tower(...plan, '--config-file', file);
    expect(asText.out).toMatch(/^experiments +48\nexisting +0\nconcurrent +1\nminimum duration +36\.8 h\n/);
    expect(asText.out).toMatch(/load target +http:\/\/127\.0\.0\.1:9$/m);
    config.jmeter_heap = 4;
    writeFileSync(file, JSON.stringify(config));
    expect(await tower(...plan, '--config-file', file)).toMatchObject({
      code: 2,
      err: 'tower: config: jmeter_heap is not a known key',
    });
    expect((await tower('train', 'config', 'mine')).err).toBe(
      'tower: configuration mine not found; available: resource-optimized, default',
    );
    expect((await tower('train', 'experiment-jobs')).out).toBe('No experiment jobs.');
  });

  it('report missing settings without a cluster', async () => {
    const { tower } = await cliOver();
    const args = ['train', 'isolated-experiment', '--service', 'web', '--target', 'http://shop'];
    expect(await tower(...args)).toMatchObject({
      code: 5,
      err: 'tower: no cluster is configured: set KUBERNETES_CONFIG',
    });
  });
});

describe('a misconfigured cluster', () => {
  it('is refused at start if the kubeconfig is missing, and at a request if the service is', async () => {
    await expect(cliOver({ KUBERNETES_CONFIG: '/no/such/file' })).rejects.toThrow(
      'KUBERNETES_CONFIG: cannot read /no/such/file (ENOENT)',
    );
    const { tower } = await cliOver(await clusteredEnv());
    const plan = ['train', 'parallel-experiments', '--namespace', 'shop', '--plan', '--services'];
    expect(await tower(...plan, 'web,nosuch')).toMatchObject({
      code: 2,
      err: 'tower: services: shop has no Deployment or StatefulSet nosuch',
    });
    expect((await tower(...plan, 'web')).code).toBe(0);
  });
});

describe('tower rightsizing apply', { timeout: 30_000 }, () => {
  it('prints a dry run, and reasons against applying', async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const args = ['rightsizing', 'apply', '--namespace', 'shop', '--service', 'web', '--days', '2'];
    const dry = await tower(...args, '--resources', 'memory');
    expect(dry.out).toMatch(
      /^OBJECT +FIELD +FROM +TO\nweb +requests\.memory +256Mi +\d+Mi\nweb +limits\.memory +(—|-)? +\d+Mi\n/,
    );
    expect(dry.out).toContain('Dry run: nothing was changed. Set --confirm to apply.');
    const both = await tower(...args);
    expect([both.code, both.err]).toEqual([
      4,
      expect.stringContaining(
        'tower: Prometheus reports the autoscaler web for the workload, the cluster has none',
      ) as string,
    ]);
    const scaled = await cliOver(await clusteredEnv([scalesBy('cpu')]));
    expect((await scaled.tower(...args)).out).toMatch(
      /^hpa web +target of cpu +60%, 300m per pod +\d\d%, \d+m per pod$/m,
    );
    expect((await tower('rightsizing', 'applied')).out).toBe('No apply jobs.');
  });

  it('prints each step as a line without a terminal, then the result', async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const args = ['--namespace', 'shop', '--service', 'web', '--days', '2', '--resources', 'memory'];
    const done = await tower('rightsizing', 'apply', ...args, '--no-canary', '--watch-seconds', '1', '--confirm');
    expect(done.err.split('\n').slice(0, 2)).toEqual(['rolling out', 'watching the pods']);
    expect(done.out).toMatch(/^OBJECT +FIELD +FROM +TO\nweb +requests\.memory[\s\S]*\noutcome +applied\n/);
    expect(done.out).toContain('only kills, restarts and readiness were checked');
    expect((await tower('rightsizing', 'applied')).out).toMatch(
      /^STARTED +JOB +SERVICE +STATUS +OUTCOME +REASON\n\d{4}-\d\d-\d\dT\d\d:\d\d +\S+ +shop\/web +succeeded +applied +-$/,
    );
  });
});
