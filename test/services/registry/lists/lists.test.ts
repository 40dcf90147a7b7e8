import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLists } from '#services/registry/lists/lists.ts';
import type { ModelInfo, ModelListQuery } from '#services/registry/schemas.ts';
import { buildSnapshot, type ModelVersion } from '#services/registry/snapshot/snapshot.ts';
import { runRow, versionRow } from '../../../support/rows.ts';
import { aliasTable } from '../../../support/sources.ts';

const lists = createLists(1000, aliasTable);
const runs = [
  runRow({ runId: 'a', metrics: { accuracy: 0.9, loss: null } }),
  runRow({ runId: 'b', metrics: { accuracy: 0.7 } }),
];
const snapshot = await buildSnapshot(
  {
    experiments: ['10', '9', '910234567890123456'].map((experimentId) => ({
      experimentId,
      name: `e${experimentId}`,
      artifactLocation: '',
      lifecycleStage: 'active',
      createdAt: 1,
      updatedAt: 1,
      tags: {},
    })),
    models: [{ name: 'alpha', createdAt: 1, updatedAt: 1, description: '', tags: {}, aliases: { champion: '2' } }],
    versions: [
      versionRow({
        name: 'alpha',
        version: '1',
        runId: 'a',
        currentStage: 'Production',
        tags: { team: 'x', 'a=b': 'c' },
      }),
      versionRow({ name: 'alpha', version: '2', runId: 'b', tags: { team: 'y' } }),
      versionRow({ name: 'Beta: "best"', version: '1', createdAt: 5 }),
    ],
    runs,
    loggedModels: [],
    serverVersion: null,
  },
  0,
  aliasTable,
);

const token = (json: string) => Buffer.from(json).toString('base64url');

const ask = async (query: ModelListQuery) => {
  const answer = await lists.versions(snapshot.versions, query);
  const items = JSON.parse(answer.json.toString()) as Partial<ModelInfo>[];
  return { ...answer, items, keys: items.map((item) => `${item.name} ${item.version}`) };
};

describe('lists of model versions', () => {
  it.each<[ModelListQuery, string[]]>([
    [{}, ['Beta: "best" 1', 'alpha 1', 'alpha 2']],
    [{ name: 'alpha' }, ['alpha 1', 'alpha 2']],
    [{ search: 'BEST' }, ['Beta: "best" 1']],
    [{ tag: 'team' }, ['alpha 1', 'alpha 2']],
    [{ tag: 'team=y' }, ['alpha 2']],
    [{ tag: ['team', 'team=x'] }, ['alpha 1']],
    [{ metric: 'accuracy' }, ['alpha 1', 'alpha 2']],
    [{ metric: 'accuracy>=0.9' }, ['alpha 1']],
    [{ metric: ['accuracy>0.5', 'accuracy<0.8'] }, ['alpha 2']],
    [{ metric: 'loss<1' }, []],
    [{ alias: 'champion' }, ['alpha 2']],
    [{ stage: 'production' }, ['alpha 1', 'alpha 2']],
    [{ stage: 'Production', by: 'stage' }, ['alpha 1']],
    [{ stage: 'Production', by: 'alias' }, ['alpha 2']],
    [{ order_by: 'name desc' }, ['alpha 1', 'alpha 2', 'Beta: "best" 1']],
    [{ order_by: 'metrics.accuracy desc' }, ['alpha 1', 'alpha 2', 'Beta: "best" 1']],
    [{ order_by: 'metrics.accuracy' }, ['alpha 2', 'alpha 1', 'Beta: "best" 1']],
    [{ order_by: 'creation_timestamp desc', limit: '1' }, ['Beta: "best" 1']],
    [{ tag: 'toString' }, []],
    [{ metric: '__proto__' }, []],
  ])('%j returns %j', async (query, keys) => {
    expect((await ask(query)).keys).toEqual(keys);
  });

  it.each<[ModelListQuery, RegExp]>([
    [{ limit: '0' }, /^limit must be an integer of at least 1 \(got "0"\)$/],
    [{ limit: '1.5' }, /^limit must/],
    [{ limit: '' }, /^limit must/],
    [{ stage: 'Live' }, /^stage must be None, Staging, Production or Archived \(got "Live"\)$/],
    [{ by: 'luck' }, /^by must be effective, stage or alias/],
    [{ tag: '=x' }, /^tag must be key or key=value/],
    [{ metric: 'accuracy>much' }, /^metric must be a metric name/],
    [{ metric: '>1' }, /^metric must be a metric name/],
    [
      { order_by: 'shoe size' },
      /^order_by must be one of name, version, stage, creation_timestamp, last_updated_timestamp, metrics\.<name>, then asc or desc/,
    ],
    [{ order_by: 'constructor' }, /^order_by must be/],
    [{ fields: 'name,shoe' }, /^fields must contain only name, version, .* \(got "shoe"\)$/],
    [{ page_token: token('{"a":1}') }, /^page_token must be a token/],
    [{ page_token: token('[{"toString":1},1,"a",1]') }, /^page_token must be a token/],
    [{ page_token: token('["name asc",{"valueOf":1},"a",1]') }, /^page_token must be a token/],
    [{ metric: 'accuracy!=1' }, /^metric must be a metric name/],
    [{ metric: 'accuracy~0.9' }, /^metric must be a metric name/],
    [{ order_by: 'metrics.accuracy desc,name' }, /^order_by must be/],
    [{ page_token: 'zzz' }, /^page_token must be a token from a Link header/],
  ])('%j is refused with field and rule', async (query, text) => {
    await expect(ask(query)).rejects.toThrow(text);
  });

  it('fields selects fields, including single metrics and tags', async () => {
    const { items } = await ask({ fields: 'name,metrics.accuracy,metrics.nope,tags.team', name: 'alpha' });
    expect(items).toEqual([
      { name: 'alpha', metrics: { accuracy: 0.9 }, tags: { team: 'x' } },
      { name: 'alpha', metrics: { accuracy: 0.7 }, tags: { team: 'y' } },
    ]);
  });

  it('a page token of another order is refused', async () => {
    const { nextPageToken } = await ask({ limit: '1' });
    await expect(ask({ page_token: nextPageToken ?? '', order_by: 'version' })).rejects.toThrow(
      /keep order_by while paging/,
    );
  });

  it('the same query returns the same cached bytes', async () => {
    const [a, b] = await Promise.all([lists.versions(snapshot.versions, {}), lists.versions(snapshot.versions, {})]);
    expect(a.json).toBe(b.json);
    expect((await ask({ limit: '1' })).tag).not.toBe(a.tag);
  });

  it('no page exceeds MAX_MODELS_RETURNED, and the total is reported', async () => {
    const two = createLists(2, aliasTable);
    const answer = await two.versions(snapshot.versions, { limit: '50' });
    expect(JSON.parse(answer.json.toString())).toHaveLength(2);
    expect(answer.total).toBe(3);
    expect(answer.nextPageToken).not.toBeNull();
  });

  it('experiments are sorted by numeric id of any length', async () => {
    const { json } = await lists.experiments(snapshot.experiments, { fields: 'experiment_id' });
    expect(JSON.parse(json.toString())).toEqual([
      { experiment_id: '9' },
      { experiment_id: '10' },
      { experiment_id: '910234567890123456' },
    ]);
  });

  it('paging returns everything once, even if the list changes meanwhile', async () => {
    const item = fc.record({
      name: fc.constantFrom('a', 'b', 'ü', 'c/d'),
      version: fc.integer({ min: 1, max: 12 }).map(String),
      createdAt: fc.option(fc.nat(5)),
    });
    const order = fc.constantFrom(
      undefined,
      'name desc',
      'version',
      'version desc',
      'creation_timestamp',
      'creation_timestamp desc',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { minLength: 1, maxLength: 40 }),
        order,
        fc.integer({ min: 1, max: 7 }),
        async (items, orderBy, limit) => {
          const rows = {
            experiments: [],
            models: [],
            versions: items.map((one) => versionRow(one)),
            runs: [],
            loggedModels: [],
            serverVersion: null,
          };
          const { versions } = await buildSnapshot(rows, 0, aliasTable);
          const seen: string[] = [];
          let token: string | undefined;
          let current: ModelVersion[] = versions;
          do {
            const query = {
              limit: String(limit),
              ...(orderBy ? { order_by: orderBy } : {}),
              ...(token ? { page_token: token } : {}),
            };
            const answer = await lists.versions(current, query);
            const page = JSON.parse(answer.json.toString()) as ModelInfo[];
            seen.push(...page.map((one) => `${one.name} ${one.version}`));
            token = answer.nextPageToken ?? undefined;
            // Entries already returned are deleted meanwhile: the others must still be returned, once each.
            current = versions.filter((one) => !seen.includes(`${one.name} ${one.version}`));
          } while (token);
          expect([...seen].sort()).toEqual(versions.map((one) => `${one.name} ${one.version}`).sort());
        },
      ),
    );
  });
});
