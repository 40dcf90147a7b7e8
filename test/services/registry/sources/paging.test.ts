import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HttpClient, Query } from '#kernel/http-client.ts';
import { createRestSource } from '#services/registry/sources/rest-source.ts';

type Page = { items: object[]; token?: string };

const fields: Record<string, string> = {
  'experiments/search': 'experiments',
  'registered-models/search': 'registered_models',
  'model-versions/search': 'model_versions',
  'runs/search': 'runs',
};

/** MLflow's permission filter: it removes items of a page and keeps the token. `null` items were removed. */
function paged(items: (object | null)[], size: number): Page[] {
  const count = Math.max(1, Math.ceil(items.length / size));
  return Array.from({ length: count }, (_, i) => ({
    items: items.slice(i * size, (i + 1) * size).filter((item) => item !== null),
    ...(i < count - 1 ? { token: `offset ${(i + 1) * size}` } : {}),
  }));
}

/** A source whose server has these pages, by the end of the path; the token is the position of a page. */
function sourceOver(lists: Record<string, Page[]>) {
  const calls: string[] = [];
  const answer = async (path: string, token: string | undefined) => {
    const [end, pages] = Object.entries(lists).find(([each]) => path.endsWith(each)) ?? [];
    if (!end || !pages) return { status: 200, text: '{}', json: {} };
    calls.push(end);
    const before = pages.findIndex((page) => page.token === token);
    const page = token === undefined ? pages[0] : pages[before + 1];
    const { items, token: next } = page ?? { items: [], token: undefined };
    const json = {
      ...(items.length > 0 ? { [fields[end]!]: items } : {}),
      ...(next === undefined ? {} : { next_page_token: next }),
    };
    return { status: 200, text: JSON.stringify(json), json };
  };
  const client: HttpClient = {
    get: (path: string, query: Query) => answer(path, query['page_token'] as string | undefined),
    post: (path: string, body: object) => answer(path, (body as { page_token?: string }).page_token),
    close: async () => undefined,
  };
  return { source: createRestSource(client, 'test', 'f'), calls };
}

const signal = new AbortController().signal;
const removed = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: null, freq: 2 });

describe('a list in pages', () => {
  it('is read to its last page, whichever items the server removed from the pages', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(removed(fc.nat(3)), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        async (kinds, size) => {
          const at = (make: (i: number) => object) =>
            paged(
              kinds.map((kind, i) => (kind === null ? null : make(i))),
              size,
            );
          const { source } = sourceOver({
            'experiments/search': at((i) => ({ experiment_id: String(i + 1), name: `e${i}` })),
            'registered-models/search': at((i) => ({ name: `m${i}` })),
            'model-versions/search': at((i) => ({ name: `m${i}`, version: '1', run_id: `r${i}` })),
            'runs/search': at((i) => ({ info: { run_id: `r${i}` } })),
          });
          const rows = await source.readRegistry(null, signal);
          const kept = kinds.filter((kind) => kind !== null).length;
          expect([rows?.experiments.length, rows?.models.length, rows?.versions.length]).toEqual([kept, kept, kept]);
          expect(rows?.runs.length).toBe(kept);
        },
      ),
    );
  });

  it.each(Object.keys(fields))('fails the read if a token repeats: %s', async (path) => {
    for (const items of [[], [{ name: 'a', version: '1', experiment_id: '1', run_id: 'r1', info: { run_id: 'r1' } }]]) {
      const same = { items, token: 'again' };
      const { source, calls } = sourceOver({
        'model-versions/search': [{ items: [{ name: 'a', version: '1', run_id: 'r1' }] }],
        'experiments/search': [{ items: [{ experiment_id: '1' }] }],
        [path]: [same, same],
      });
      await expect(source.readRegistry(null, signal)).rejects.toMatchObject({ code: 'unavailable' });
      expect(calls.filter((call) => call === path)).toHaveLength(2);
    }
  });

  it('fails the read if the tokens have no end', async () => {
    const endless = Array.from({ length: 11_000 }, (_, i) => ({ items: [], token: `t${i}` }));
    const { source } = sourceOver({ 'registered-models/search': endless });
    await expect(source.readRegistry(null, signal)).rejects.toMatchObject({ code: 'unavailable' });
  });
});
