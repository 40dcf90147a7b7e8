import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { restoreAbandoned } from '#services/acquisition/kubernetes/leases.ts';
import { writtenOf } from '#services/acquisition/kubernetes/resources.ts';
import { outputsOf } from '#services/rightsizing/recommend/outputs.ts';
import { scalerPatch } from '#services/rightsizing/recommend/scaling.ts';
import { former, quiet } from '../support/apply-world.ts';
import { isControlPlaneThere } from '../support/control-plane.ts';
import { running } from '../support/node-of-a-cluster.ts';
import { workload } from '../support/real-shop.ts';
import { sizedShop as shop } from '../support/sized-shop.ts';
import { temporaryDirectory } from '../support/tower.ts';

/** The server with the permissions of deploy/, against a real API server and its controllers. */

const wanted = { requests: { cpu: '62m', memory: '90Mi' }, limits: { cpu: '1', memory: '90Mi' } };

describe.skipIf(!isControlPlaneThere())(
  'rightsizing against a real API server, with the permissions of deploy/',
  () => {
    it.each([
      'Deployment',
      'StatefulSet',
    ] as const)('applies a recommendation to a %s: one pod in place, then all', async (kind) => {
      const { pods, resources, leases, applying } = await shop({ kind });
      const before = (await pods()).map(({ name }) => name);
      const { run, said } = applying()();
      const result = await run();
      expect(result).toMatchObject({ status: 'applied', reason: null });
      expect(before).toContain(result.canary);
      expect(said).toEqual(expect.arrayContaining([`resizing ${result.canary} in place`, 'rolling out']));
      expect([await resources(), await leases()]).toEqual([wanted, '']);
      expect((await pods()).map((pod) => pod.resources)).toEqual([wanted, wanted, wanted]);
    });

    it.each(['Deployment', 'StatefulSet'] as const)('rolls a %s back to its exact former state', async (kind) => {
      const { pods, resources, leases, applying } = await shop({ kind });
      const result = await applying([quiet, quiet, { ...quiet, errors: 0.2 }])().run();
      expect(result).toMatchObject({ status: 'undone', reason: 'failed requests rose from 0 % to 20 %' });
      expect([await resources(), await leases()]).toEqual([former, '']);
      await expect.poll(async () => (await pods()).map((pod) => pod.resources)).toEqual([former, former, former]);
    });

    it('resizes and rolls back all pods in place without changing the template', async () => {
      const { applying, resources, pods, leases } = await shop();
      const before = await resources();
      expect(await applying()().run({ in_place: true })).toMatchObject({ status: 'applied' });
      // A limit that was not set could not be removed in place.
      const inPlace = { requests: wanted.requests, limits: { cpu: '1' } };
      expect((await pods()).map((each) => each.resources)).toEqual([inPlace, inPlace, inPlace]);
      expect([await resources(), await leases()]).toEqual([before, '']);
      const back = await shop();
      const worse = [quiet, quiet, { ...quiet, errors: 0.3 }];
      const names = (await back.pods()).map(({ name }) => name);
      expect(await back.applying(worse)().run({ in_place: true })).toMatchObject({ status: 'undone' });
      // The same pods.
      expect(await back.pods()).toEqual(names.map((name) => ({ name, resources: former })));
      expect([await back.resources(), await back.leases()]).toEqual([former, '']);
    });

    it('rolls back if the first pod is OOM-killed, without touching others', async () => {
      const { pods, resources, leases, applying, node } = await shop();
      const before = await pods();
      node.fates((pod) =>
        JSON.stringify(pod.spec.containers).includes('90Mi')
          ? {
              ...running(pod, 1),
              containerStatuses: [
                {
                  name: 'server',
                  image: 'none',
                  imageID: '',
                  ready: true,
                  restartCount: 1,
                  lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
                },
              ],
            }
          : undefined,
      );
      const result = await applying()().run();
      expect(result).toMatchObject({
        status: 'undone',
        reason: `${result.canary} was OOM-killed`,
      });
      expect([await resources(), await leases()]).toEqual([former, '']);
      await expect.poll(async () => (await pods()).map((pod) => pod.resources)).toEqual([former, former, former]);
      const others = before.filter(({ name }) => name !== result.canary);
      expect(await pods()).toEqual(expect.arrayContaining(others));
    });

    it('rolls back if the node has no room', async () => {
      const { resources, leases, applying, node } = await shop();
      node.fates((pod) => {
        if (!JSON.stringify(pod.spec.containers).includes('90Mi')) return undefined;
        const { conditions, ...rest } = running(pod) as { conditions: object[] };
        const why = {
          type: 'PodResizePending',
          status: 'True',
          reason: 'Infeasible',
          message: 'node did not have enough',
        };
        return { ...rest, conditions: [...conditions, why] };
      });
      const result = await applying()().run();
      expect(result.reason).toBe(`${result.canary} was not resized: Infeasible: node did not have enough`);
      expect([await resources(), await leases()]).toEqual([former, '']);
    });

    it('is refused before any change if a LimitRange forbids it', async () => {
      const { add, resources, leases, applying } = await shop();
      const spec = { limits: [{ type: 'Container', min: { cpu: '100m' } }] };
      await add({ apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'least' }, spec });
      const { run, said } = applying()();
      await expect(run()).rejects.toThrow(
        /^Kubernetes: pods .*minimum cpu usage per Container is 100m, but request is 62m/,
      );
      expect([said, await resources(), await leases()]).toEqual([[], former, '']);
    });

    it('reports a quota that refuses pods, and rolls back', async () => {
      const { add, pods, resources, leases, applying } = await shop();
      // No quota is left for the surge pod.
      const spec = { hard: { pods: '3' } };
      await add({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'most' }, spec });
      const result = await applying()().run({ rollout_seconds: 60 });
      expect(result).toMatchObject({ status: 'undone' });
      expect(result.reason).toMatch(/a new pod cannot be created: .*exceeded quota: most/);
      expect([await resources(), await leases()]).toEqual([former, '']);
      expect(result.steps.at(-1)!.text).toBe('all pods are rolled back');
      expect((await pods()).map((pod) => pod.resources)).toEqual([former, former, former]);
    });

    it('keeps the first pod if a replacement would not be admitted, and the lease until it can roll back', async () => {
      const { add, kubectl, pods, leases, applying, tower } = await shop();
      const spec = { limits: [{ type: 'Container', max: { cpu: '300m' } }] };
      const worse = async () => {
        await add({ apiVersion: 'v1', kind: 'LimitRange', metadata: { name: 'most' }, spec });
        return { ...quiet, errors: 0.2 };
      };
      await expect(applying([quiet, worse])().run()).rejects.toThrow('the rollback failed and is retried');
      expect((await pods()).map((pod) => pod.resources)).toEqual(expect.arrayContaining([wanted, former, former]));
      expect(await leases()).toBe('lease.coordination.k8s.io/control-tower-web');
      await kubectl(['delete', 'limitrange', 'most', '-n', 'shop']);
      expect(await restoreAbandoned(tower, 'shop', () => true)).toEqual({ restored: ['web'], waiting: [] });
      await expect.poll(async () => (await pods()).map((pod) => pod.resources)).toEqual([former, former, former]);
      expect(await leases()).toBe('');
    });

    it('produces outputs that kubectl and Kustomize apply', async () => {
      const { add, kubectl, resources, tower } = await shop();
      const queue = {
        type: 'External',
        external: { metric: { name: 'queue' }, target: { type: 'Value', value: '30' } },
      };
      const cpu = {
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } },
      };
      await add({
        apiVersion: 'autoscaling/v2',
        kind: 'HorizontalPodAutoscaler',
        metadata: { name: 'web' },
        spec: {
          maxReplicas: 5,
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
          metrics: [queue, cpu],
        },
      });
      const { containers, scaler } = await writtenOf(tower, 'shop', 'web');
      expect(containers).toEqual(['server']);
      const hpa = { name: 'web', target_utilization: 0.6, recommended_target_utilization: 0.85, explanation: '' };
      const patch = scalerPatch(scaler, { cpu: hpa, memory: null });
      const sizes = { container: 'server', cpuCores: 0.062, memoryBytes: 90 * 2 ** 20, cpuLimitCores: null };
      const target = { namespace: 'shop', service: 'web', kind: 'Deployment' as const };
      const outputs = outputsOf(target, [sizes], { replicas: 4, scaler: patch });
      const told = async () => {
        const of = async (what: string, path: string) =>
          kubectl(['get', what, 'web', '-n', 'shop', '-o', `jsonpath=${path}`]);
        const metrics = JSON.parse(await of('hpa', '{.spec.metrics}')) as {
          type: string;
          resource?: typeof cpu.resource;
        }[];
        return {
          replicas: await of('deployment', '{.spec.replicas}'),
          resources: await resources(),
          targets: metrics.map(({ type, resource }) => resource?.target.averageUtilization ?? type),
        };
      };
      const after = { replicas: '4', resources: wanted, targets: ['External', 85] };
      for (const line of outputs.kubectl.split('\n')) {
        const [, before = '', json = ''] = /^kubectl (.*) -p '(.*)'$/.exec(line) ?? [];
        await kubectl([...before.split(' '), '-p', json]);
      }
      expect(await told()).toEqual(after);
      // The same change as a patch of manifests in a repository.
      const directory = temporaryDirectory();
      const exported = async (what: string) => {
        const object = JSON.parse(await kubectl(['get', what, 'web', '-n', 'shop', '-o', 'json'])) as {
          metadata: object;
        };
        return { ...object, metadata: { name: 'web', namespace: 'shop' }, status: undefined };
      };
      writeFileSync(
        join(directory, 'deployment.yaml'),
        JSON.stringify({ ...workload('Deployment', 'web', 3), metadata: { name: 'web', namespace: 'shop' } }),
      );
      writeFileSync(join(directory, 'hpa.yaml'), JSON.stringify(await exported('hpa')));
      writeFileSync(join(directory, 'patch.yaml'), outputs.kustomize);
      writeFileSync(
        join(directory, 'kustomization.yaml'),
        JSON.stringify({ resources: ['deployment.yaml', 'hpa.yaml'], patches: [{ path: 'patch.yaml' }] }),
      );
      const built = parseAllDocuments(await kubectl(['kustomize', directory])).map(
        (each) => each.toJS() as { kind: string; spec: { replicas?: number; metrics?: object[]; template?: object } },
      );
      expect(built.find(({ kind }) => kind === 'Deployment')!.spec).toMatchObject({
        replicas: 4,
        template: { spec: { containers: [{ name: 'server', image: 'none', resources: wanted }] } },
      });
      expect(JSON.stringify(built.find(({ kind }) => kind === 'HorizontalPodAutoscaler')!.spec.metrics)).toContain(
        '85',
      );
    });
  },
);
