import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type HttpClient, parseTolerantJson } from '#kernel/http-client.ts';
import { createRestSource } from '#services/registry/sources/rest-source.ts';

/** What MLflow answers for one model with a version, by the end of the path. */
const plausible: Record<string, object> = {
  'experiments/search': { experiments: [{ experiment_id: '0', name: 'Default' }] },
  'registered-models/search': { registered_models: [{ name: 'DNA' }] },
  'model-versions/search': { model_versions: [{ name: 'DNA', version: '1', run_id: 'r1' }] },
  'runs/search': { runs: [{ info: { run_id: 'r1' } }] },
};

/** Reads a registry whose server answers one path with this text and status 200. */
function readWith(path: string, text: string) {
  const answer = async (url: string) => {
    if (url === '/version') return { status: 200, text: '3.1.0', json: undefined };
    if (url.endsWith(path)) return { status: 200, text, json: parseTolerantJson(text) };
    const [, json] = Object.entries(plausible).find(([end]) => url.endsWith(end)) ?? [];
    return { status: 200, text: JSON.stringify(json), json };
  };
  const client: HttpClient = { get: answer, post: answer, close: async () => undefined };
  return createRestSource(client, 'test', 'f').readRegistry(null, new AbortController().signal);
}

const paths = Object.keys(plausible);

describe('an answer with status 200 that MLflow does not give', () => {
  it.each(
    paths.flatMap((path) =>
      [
        'null',
        '[]',
        '"ok"',
        '7',
        '',
        '<html>Sign in</html>',
        JSON.stringify(plausible[path]).slice(0, -3),
        '{"status":"ok"}',
        JSON.stringify(Object.fromEntries(Object.keys(plausible[path]!).map((field) => [field, null]))),
        JSON.stringify(Object.fromEntries(Object.keys(plausible[path]!).map((field) => [field, { a: 1 }]))),
        JSON.stringify(Object.fromEntries(Object.keys(plausible[path]!).map((field) => [field, [null]]))),
        JSON.stringify(Object.fromEntries(Object.keys(plausible[path]!).map((field) => [field, [{}]]))),
        JSON.stringify(Object.fromEntries(Object.keys(plausible[path]!).map((field) => [field, ['a']]))),
      ].map((text) => [path, text]),
    ),
  )('fails the read: %s, %s', async (path, text) => {
    await expect(readWith(path, text)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it.each(paths)('is not the empty object, MLflow’s empty list: %s', async (path) => {
    const rows = (await readWith(path, '{}'))!;
    expect([rows.experiments.length, rows.models.length, rows.versions.length]).toEqual(
      paths.slice(0, 3).map((each) => (each === path ? 0 : 1)),
    );
  });

  it('never makes a model, a version or a run without a name', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.json({ maxDepth: 4 }), async (path, text) => {
        const rows = await readWith(path, text).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'unavailable' });
          return null;
        });
        for (const { name } of rows?.models ?? []) expect(name).not.toBe('');
        for (const { runId } of rows?.runs ?? []) expect(runId).not.toBe('');
      }),
    );
  });

  it('fails the read for an item of any other shape', async () => {
    const items = fc.oneof(
      fc.jsonValue().filter((value) => typeof value !== 'object' || value === null || Array.isArray(value)),
      fc.dictionary(
        fc.string().filter((key) => key !== 'name'),
        fc.jsonValue(),
      ),
      fc.record({ name: fc.constantFrom('', null, {}, []) }),
      fc.record({ name: fc.constant('DNA'), tags: fc.constantFrom({}, 'x', [1], [null], null) }),
    );
    await fc.assert(
      fc.asyncProperty(items, async (item) => {
        const text = JSON.stringify({ registered_models: [{ name: 'other' }, item] });
        await expect(readWith('registered-models/search', text)).rejects.toMatchObject({ code: 'unavailable' });
      }),
    );
  });
});
