import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { noSignal, snapshotOf, sourceFor } from '../../../support/sources.ts';
import { temporaryDirectory, testTower } from '../../../support/tower.ts';

/** A store with an experiment, a run, and a model with a version of it. */
function storeWithRun() {
  const root = join(temporaryDirectory(), 'mlruns');
  const write = (path: string, text: string | Buffer) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('0/meta.yaml', 'experiment_id: "0"\nname: Default\nartifact_location: x\nlifecycle_stage: active\n');
  write('0/r1/meta.yaml', 'run_id: r1\nexperiment_id: "0"\nstatus: 3\nlifecycle_stage: active\nend_time: 5\n');
  write('0/r1/metrics/accuracy', '1 0.9 0\n');
  write('models/churn/meta.yaml', 'name: churn\ncreation_timestamp: 1000\nlast_updated_timestamp: 1000\n');
  write('models/churn/version-1/meta.yaml', 'name: churn\nversion: 1\nrun_id: r1\ncreation_timestamp: 1000\n');
  return { root, write };
}

const metas = ['0/meta.yaml', '0/r1/meta.yaml', 'models/churn/meta.yaml', 'models/churn/version-1/meta.yaml'];
const damages: [string, string | Buffer][] = [
  ['empty', ''],
  ['truncated within a key', 'nam'],
  ['truncated within a quoted text', 'description: "half of it'],
  ['a text', 'out of disk space'],
  ['a list', '- name\n- version\n'],
  ['zeros, as after a power cut', Buffer.alloc(200)],
  ['another file', '<html><body>503</body></html>'],
];

describe('an unreadable file of an mlruns store', () => {
  it.each(
    metas.flatMap((path) => damages.map(([what, content]) => [path, what, content] as const)),
  )('is an error that names it: %s is %s', async (path, _, content) => {
    const { root, write } = storeWithRun();
    write(path, content);
    await expect(sourceFor(root).readRegistry(null, noSignal)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`${path} in the store ${root} is damaged`) as string,
    });
  });

  it.each([
    '0/meta.yaml',
    'models/churn/meta.yaml',
    '0/r1/metrics/accuracy',
  ])('is an error if a directory is in its place, except of a metric: %s', async (path) => {
    const { root } = storeWithRun();
    rmSync(join(root, path));
    mkdirSync(join(root, path));
    const read = sourceFor(root).readRegistry(null, noSignal);
    if (path.includes('metrics')) expect((await read)?.runs[0]?.metrics).toEqual({});
    else await expect(read).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('counts as absent only if it does not exist', async () => {
    const { root } = storeWithRun();
    rmSync(join(root, 'models/churn/version-1'), { recursive: true });
    expect((await snapshotOf(sourceFor(root))).models.get('churn')?.versions).toEqual([]);
    rmSync(join(root, 'models/churn/meta.yaml'));
    expect((await snapshotOf(sourceFor(root))).models.size).toBe(0);
    renameSync(join(root, 'models'), join(root, '.elsewhere'));
    expect((await snapshotOf(sourceFor(root))).models.size).toBe(0);
    rmSync(root, { recursive: true });
    await expect(sourceFor(root).readRegistry(null, noSignal)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('leaves the last good state, stale, without events, and is named in the health report', async () => {
    const { root, write } = storeWithRun();
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: root });
    await services.registry.refresh();
    write('models/churn/meta.yaml', '');
    await expect(services.registry.refresh()).rejects.toMatchObject({ code: 'unavailable' });
    await expect(services.registry.refresh()).rejects.toMatchObject({ code: 'unavailable' });
    expect((await app.inject('/health')).json()).toMatchObject({
      status: 'degraded',
      stale: true,
      last_error: expect.stringContaining('models/churn/meta.yaml') as string,
    });
    expect((await app.inject('/models/all')).json()).toMatchObject([{ name: 'churn', version: '1' }]);
    expect((await app.inject('/models/events')).json()).toEqual([]);
  });

  it.runIf(process.getuid?.() === 0)('includes one that this user may not read', () => {
    const { root } = storeWithRun();
    for (const path of ['models', '0/r1', 'models/churn/version-1']) {
      const program = `
        const { createMlrunsSource } = await import(${JSON.stringify(new URL('../../../../services/registry/sources/mlruns-source.ts', import.meta.url).href)});
        const clock = { now: Date.now, sleep: async () => undefined };
        const source = createMlrunsSource(${JSON.stringify(root)}, { label: '', fingerprint: '', linkRoots: [], clock });
        process.seteuid(65534);
        console.log(await source.readRegistry(null, new AbortController().signal).then(() => 'read', (error) => error.message));`;
      execFileSync('chmod', ['-R', 'a+rX', join(root, '..')]);
      execFileSync('chmod', ['000', join(root, path)]);
      const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
      expect(printed).toMatch(/in the store .* cannot be read \(EACCES\)/);
      execFileSync('chmod', ['755', join(root, path)]);
    }
  });
});
