/** Discovery of the fake API server: a kubeconfig, and the API groups that kubectl requests first. */

const objects: Record<string, [name: string, kind: string, subresources?: string[]][]> = {
  v1: [['pods', 'Pod']],
  'apps/v1': [
    ['deployments', 'Deployment', ['scale']],
    ['statefulsets', 'StatefulSet', ['scale']],
  ],
  'autoscaling/v2': [['horizontalpodautoscalers', 'HorizontalPodAutoscaler']],
  'coordination.k8s.io/v1': [['leases', 'Lease']],
};
const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

/** Answer to a discovery request; null for anything else. */
export function discovery(path: string): object | null {
  if (path === '/version') return { major: '1', minor: '33', gitVersion: 'v1.33.0' };
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (path === '/apis') {
    const groups = Object.keys(objects).filter((each) => each.includes('/'));
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups.map((groupVersion) => {
        const [name, version] = groupVersion.split('/');
        return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
      }),
    };
  }
  const groupVersion = /^\/(?:api|apis)\/(.+)$/.exec(path)?.[1] ?? '';
  const own = objects[groupVersion];
  if (!own) return null;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: own.flatMap(([name, kind, subresources = []]) => [
      { name, singularName: name.replace(/s$/, ''), namespaced: true, kind, verbs },
      ...subresources.map((sub) => ({
        name: `${name}/${sub}`,
        singularName: '',
        namespaced: true,
        kind: 'Scale',
        group: 'autoscaling',
        version: 'v1',
        verbs,
      })),
    ]),
  };
}

export const kubeconfig = (port: number, namespace: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'fake',
    clusters: [{ name: 'fake', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'somebody', user: { token: 'a-secret-token' } }],
    contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'somebody', namespace } }],
  });
