const verbs: Record<string, string> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };
const path =
  /^(\w+) \/apis?\/(?:([a-z0-9.]+)\/)?v\d\/namespaces\/[a-z-]+\/(\w+)(?:\/([^/?]+))?(\/(?:scale|resize))?(\?watch)?(?:\?dryRun)?$/;

/** Permission for a call, as in a Role: `update apps deployments/scale`; the core group is empty. */
export function rightOf(call: string): string {
  const [, method = '', group = '', resource = call, name, sub = '', watch] = path.exec(call) ?? [];
  const verb = verbs[method] ?? (watch ? 'watch' : name === undefined ? 'list' : 'get');
  return `${verb} ${group} ${resource}${sub}`;
}
