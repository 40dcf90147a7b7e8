import { describe, expect, it } from 'vitest';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { fakeMlflow } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { journalIn } from '../../../support/journal.ts';
import { modelRow, versionRow } from '../../../support/rows.ts';
import { temporaryDirectory, testTower } from '../../../support/tower.ts';

type Model = RegistryRows['models'][number];
const dna = (more: Partial<Model> = {}) => modelRow('DNA', more);
const v = (version: string) => versionRow({ name: 'DNA', version, createdAt: 1000 + Number(version) });
const rowsOf = (models: Model[], versions: RegistryRows['versions']): RegistryRows => ({
  experiments: [],
  models,
  versions,
  runs: [],
  loggedModels: [],
  serverVersion: null,
});

describe('changes', () => {
  it.each([
    'evil\0name',
    'n'.repeat(1_025),
    'ü'.repeat(600),
  ])('are recorded beside a model whose name the store cannot hold: %#', async (name) => {
    const { look, journal } = journalIn(temporaryDirectory());
    await look(rowsOf([dna(), modelRow(name)], [v('1')]));
    expect(journal.lastError()).toContain(JSON.stringify(name.slice(0, 100)));
    const changed = rowsOf(
      [dna({ aliases: { champion: '1', 'a\0b': '1' } }), modelRow(name, { description: 'changed' })],
      [v('1')],
    );
    expect((await look(changed)).map(({ type, alias }) => [type, alias])).toEqual([
      ['model_version.stage_changed', null],
      ['model_version_alias.created', 'champion'],
    ]);
    expect(journal.lastError()).toContain('a\\u0000b');
    expect(await look(changed)).toEqual([]);
    expect(await look(rowsOf([dna({ aliases: { champion: '1' } })], [v('1')]))).toEqual([]);
    expect(journal.lastError()).toBeNull();
  });

  it('that are set aside are named in /health, which is degraded until they are gone', async () => {
    const registry = smallRegistry();
    const fake = await fakeMlflow(registry);
    const { app, services } = await testTower({ MLFLOW_TRACKING_URI: fake.url });
    const health = async () => {
      await services.registry.refresh();
      return (await app.inject('/health')).json<Record<string, unknown>>();
    };
    registry.models.push({ name: 'evil\0name' });
    expect(await health()).toMatchObject({
      status: 'degraded',
      journal_error: expect.stringContaining('"evil\\u0000name"') as unknown,
    });
    registry.models.pop();
    expect(await health()).toMatchObject({ status: 'healthy', journal_error: null });
  });
});
