import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildSnapshot } from '#services/registry/snapshot/snapshot.ts';
import { rowsOf, runRow, versionRow } from '../../../support/rows.ts';
import { aliasTable } from '../../../support/sources.ts';

const model = (name: string, aliases: Record<string, string> = {}, tags: Record<string, string> = {}) => ({
  name,
  createdAt: 1,
  updatedAt: 1,
  description: '',
  tags,
  aliases,
});

describe('a snapshot', () => {
  it('sorts versions numerically: 10 after 9', async () => {
    const versions = ['10', '9', '2', '1'].map((version) => versionRow({ version }));
    expect((await buildSnapshot(rowsOf({ versions }), 0, aliasTable)).versions.map((item) => item.version)).toEqual([
      '1',
      '2',
      '9',
      '10',
    ]);
  });

  it('leaves out versions marked as deleted, and reports dangling aliases', async () => {
    const versions = [
      versionRow({ version: '1' }),
      versionRow({ version: '2', currentStage: 'Deleted_Internal', source: 'REDACTED-SOURCE-PATH' }),
    ];
    const snapshot = await buildSnapshot(
      rowsOf({ versions, models: [model('model', { old: '2', champion: '1' })] }),
      0,
      aliasTable,
    );
    expect(snapshot.versions.map((item) => item.version)).toEqual(['1']);
    expect(snapshot.danglingAliases).toEqual([{ name: 'model', alias: 'old', version: '2' }]);
  });

  it('has several Production versions of one model', async () => {
    const versions = ['1', '2'].map((version) => versionRow({ version, currentStage: 'Production' }));
    expect((await buildSnapshot(rowsOf({ versions }), 0, aliasTable)).byStage.Production).toHaveLength(2);
  });

  it('has no metrics for a version whose run was deleted', async () => {
    const versions = [versionRow({ runId: 'gone' }), versionRow({ version: '2', runId: 'here' })];
    const snapshot = await buildSnapshot(
      rowsOf({ versions, runs: [runRow({ runId: 'here', deleted: true, metrics: { a: 1 } })] }),
      0,
      aliasTable,
    );
    expect(snapshot.versions.map((item) => item.run?.metrics ?? null)).toEqual([null, { a: 1 }]);
  });

  it.each([
    [{ type: 'classification' }, 'classifier'],
    [{ model_type: 'Regressor' }, 'regressor'],
    [{ task: 'binary classification' }, 'classifier'],
    [{ task: 'ranking' }, null],
    [{}, null],
  ])('derives from tags %j the type %s', async (tags, type) => {
    const snapshot = await buildSnapshot(
      rowsOf({ versions: [versionRow({ tags: tags as Record<string, string> })] }),
      0,
      aliasTable,
    );
    expect(snapshot.versions[0]?.modelType).toBe(type);
  });

  it('has each version once, indexed by name and stage, for any names', async () => {
    const version = fc.record({
      name: fc.string({ unit: 'grapheme', minLength: 1 }),
      version: fc.integer({ min: 1, max: 20 }).map(String),
      currentStage: fc.constantFrom('None', 'Staging', 'Production', 'Archived'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(version), async (list) => {
        const versions = list.map((item) => versionRow(item));
        const snapshot = await buildSnapshot(rowsOf({ versions }), 0, aliasTable);
        const keys = new Set(versions.map((item) => JSON.stringify([item.name, item.version])));
        expect(new Set(snapshot.versions.map((item) => JSON.stringify([item.name, item.version])))).toEqual(keys);
        expect(snapshot.versions).toHaveLength(keys.size);
        expect(Object.values(snapshot.byStage).flat()).toHaveLength(keys.size);
        for (const item of snapshot.versions) expect(snapshot.models.get(item.name)?.versions).toContain(item);
      }),
    );
  });
});
