/** Objects of the fake API server: selectors and patches. */

export type Json = Record<string, unknown>;
export type FakeObject = {
  metadata: Json & { name: string; resourceVersion: string };
  spec?: Json;
  status?: Json;
} & Json;

export function isSelected({ metadata }: FakeObject, query: URLSearchParams): boolean {
  const labels = (metadata['labels'] ?? {}) as Record<string, string>;
  const name = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
  const selector = (query.get('labelSelector') ?? '').split(',').filter(Boolean);
  return (
    (name === undefined || name === metadata.name) &&
    selector.every((each) => {
      const [label, value] = each.split('=');
      return labels[label!] === value;
    })
  );
}

/** JSON merge patch; lists of named objects are merged by name, as in a strategic merge patch. Null deletes. */
export function merged(before: unknown, patch: unknown): unknown {
  if (
    Array.isArray(patch) &&
    Array.isArray(before) &&
    patch.every((item) => typeof (item as Json)?.['name'] === 'string')
  ) {
    const after = new Map((before as Json[]).map((item) => [item['name'], item]));
    for (const item of patch as Json[]) after.set(item['name'], merged(after.get(item['name']) ?? {}, item) as Json);
    return [...after.values()];
  }
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const after: Json = typeof before === 'object' && before !== null ? { ...(before as Json) } : {};
  for (const [key, value] of Object.entries(patch))
    if (value === null) delete after[key];
    else after[key] = merged(after[key], value);
  return after;
}
