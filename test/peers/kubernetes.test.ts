import { describe, expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { waitForPods } from '#services/acquisition/kubernetes/pods.ts';
import { scaleWorkload } from '#services/acquisition/kubernetes/workloads.ts';
import { fakeKubernetes, readyStatus } from '../fakes/kubernetes.ts';
import { output, systemProgram } from '../support/programs.ts';

/** kubectl accepts this project's fake API server, and each sees the other's changes. */
describe('kubectl', () => {
  const program = systemProgram('/usr/bin/kubectl');
  const cluster = async () => {
    const fake = await fakeKubernetes();
    fake.workload('Deployment', 'web', 2, [{ name: 'server', resources: { requests: { cpu: '250m' } } }]);
    const kubectl = async (...args: string[]) => {
      const { code, text } = await output(program!, [
        '--kubeconfig',
        fake.file,
        '--cache-dir',
        `${fake.file}-cache`,
        ...args,
      ]);
      return { code, text: text.trim() };
    };
    const client = createKubernetesClient({
      config: fake.file,
      context: undefined,
      namespaces: ['shop', 'default'],
      timeoutMs: 5000,
      clock: systemClock,
    });
    return { fake, kubectl, client };
  };

  it.skipIf(!program)('lists, scales through the scale subresource, and waits for the rollout', async () => {
    const { fake, kubectl, client } = await cluster();
    expect(await kubectl('get', 'deployments', '-o', 'name')).toEqual({ code: 0, text: 'deployment.apps/web' });
    expect(await kubectl('scale', 'deployment', 'web', '--replicas=3')).toEqual({
      code: 0,
      text: 'deployment.apps/web scaled',
    });
    expect(fake.replicasOf('web')).toBe(3);
    expect(fake.calls.filter((call) => call.startsWith('PATCH') || call.startsWith('PUT'))).toEqual([
      'PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale',
    ]);
    expect((await kubectl('rollout', 'status', 'deployment/web', '--timeout=10s')).text).toContain(
      'successfully rolled out',
    );
    await scaleWorkload(client, 'shop', 'web', 1);
    expect(await kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas}')).toEqual({
      code: 0,
      text: '1',
    });
    const pods = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name');
    expect(pods.text.split('\n')).toHaveLength(1);
  });

  it.skipIf(!program)('gets conflicts, patches and 404 as from any cluster', async () => {
    const { kubectl, fake } = await cluster();
    expect((await kubectl('scale', 'deployment', 'web', '--replicas=5', '--current-replicas=9')).text).toContain(
      'Expected replicas to be 9, was 2',
    );
    expect((await kubectl('get', 'deployment', 'nobody')).text).toContain('(NotFound)');
    const patch = {
      spec: { template: { spec: { containers: [{ name: 'server', resources: { requests: { memory: '64Mi' } } }] } } },
    };
    expect(await kubectl('patch', 'deployment', 'web', '--type', 'strategic', '-p', JSON.stringify(patch))).toEqual({
      code: 0,
      text: 'deployment.apps/web patched',
    });
    const requests = await kubectl(
      'get',
      'deployment',
      'web',
      '-o',
      'jsonpath={.spec.template.spec.containers[0].resources.requests}',
    );
    expect(JSON.parse(requests.text)).toEqual({ cpu: '250m', memory: '64Mi' });
    expect(fake.pods().every(({ spec }) => JSON.stringify(spec).includes('64Mi'))).toBe(true);
  });

  it.skipIf(!program)('agrees on readiness with this project', async () => {
    const { fake, kubectl, client } = await cluster();
    fake.podsAre(() => ({ phase: 'Pending', conditions: [{ type: 'Ready', status: 'False' }] }));
    await kubectl('scale', 'deployment', 'web', '--replicas=3');
    const wait = { namespace: 'shop', selector: 'app=web', desiredReplicas: 3, timeoutMs: 20_000 };
    const [late] = fake.pods().filter(({ status }) => status?.['phase'] === 'Pending');
    const theirs = kubectl('wait', '--for=condition=Ready', 'pod', '-l', 'app=web', '--timeout=20s');
    let seen = 0;
    const ours = waitForPods(client, systemClock, {
      ...wait,
      onChange: () => {
        seen += 1;
        // As soon as one is missing.
        if (seen === 1) fake.setPod(late!.metadata.name, readyStatus);
      },
    });
    expect(await ours).toEqual({ ready: true, pods: 3, waiting: [] });
    expect((await theirs).code).toBe(0);
  });
});
