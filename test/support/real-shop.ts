import { former } from './apply-world.ts';
import { controlPlane } from './control-plane.ts';

/** A namespace of a real control plane, and a ServiceAccount with the rights that deploy/ gives a tower there. */

export const workload = (kind: 'Deployment' | 'StatefulSet', name: string, replicas: number) => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'server', image: 'none', resources: former }] },
    },
  },
});

/** A namespace with a service, and what a tower with the rights of deploy/ does there. */
export async function realShop() {
  const plane = await controlPlane();
  const { kubectl } = plane;
  for (const name of ['shop', 'control-tower']) await kubectl(['create', 'namespace', name]);
  await kubectl(['apply', '-n', 'control-tower', '-f', 'deploy/kubernetes/tower.yaml']);
  for (const name of ['experiments', 'apply'])
    await kubectl(['apply', '-n', 'shop', '-f', `deploy/kubernetes/${name}.yaml`]);
  const add = async (object: object) => kubectl(['apply', '-n', 'shop', '-f', '-'], JSON.stringify(object));
  const file = await plane.fileOf('control-tower', 'control-tower');
  const leases = async () => kubectl(['get', 'leases', '-n', 'shop', '-o', 'name']);
  return { ...plane, file, add, leases };
}
