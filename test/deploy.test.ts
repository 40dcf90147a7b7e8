import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { settings } from '#config/config.ts';
import { testTower } from './support/tower.ts';

const folder = resolve(import.meta.dirname, '../deploy');

type Container = {
  envFrom: object[];
  securityContext: object;
  livenessProbe: { httpGet: { path: string } };
  readinessProbe: { httpGet: { path: string } };
  volumeMounts: { mountPath: string }[];
};
type Document = {
  kind: string;
  data?: Record<string, string>;
  spec?: {
    template?: { spec: { containers: Container[]; automountServiceAccountToken: boolean } };
    groups?: { rules: { alert?: string; record?: string; expr: string; annotations: { summary: string } }[] }[];
  };
  resources?: string[];
};

const documents = globSync('**/*.yaml', { cwd: folder }).flatMap((file) =>
  parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((document) => {
    expect([file, document.errors]).toEqual([file, []]);
    return document.toJS() as Document;
  }),
);
const ofKind = (kind: string) => documents.filter((document) => document.kind === kind);

describe('what is deployed', () => {
  it('has no rights it does not need', () => {
    const { spec } = ofKind('Deployment')[0]!.spec!.template!;
    expect(spec.automountServiceAccountToken).toBe(false);
    expect(spec.containers[0]!.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    for (const kind of ['ClusterRole', 'ClusterRoleBinding']) expect(ofKind(kind)).toEqual([]);
  });

  it('asks where the tower answers, and sets what it knows', async () => {
    const { app } = await testTower();
    const [tower] = ofKind('Deployment')[0]!.spec!.template!.spec.containers;
    for (const { httpGet } of [tower!.livenessProbe, tower!.readinessProbe])
      expect((await app.inject(httpGet.path)).statusCode).not.toBe(404);
    for (const name of Object.keys(ofKind('ConfigMap')[0]!.data!)) expect(Object.keys(settings.shape)).toContain(name);
  });

  it('alerts on metrics that there are', async () => {
    const { app, services } = await testTower();
    await services.registry.refresh();
    const page = (await app.inject('/metrics')).body;
    const known = new Set(['up', ...[...page.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name!)]);
    const rules = ofKind('PrometheusRule').flatMap(({ spec }) => spec!.groups!.flatMap((group) => group.rules));
    expect(rules.length).toBeGreaterThan(8);
    // MOrA's name of a workload metric, recorded from cAdvisor and kube-state-metrics.
    const recorded = rules.flatMap(({ record }) => record ?? []);
    expect(recorded).toEqual(['cpu_usage_percent']);
    for (const { alert, expr } of rules.filter(
      (rule) => rule.alert !== undefined && !recorded.some((each) => rule.expr.includes(each)),
    )) {
      const named = [...expr.matchAll(/\b(?:tower|mora|process|up)(?:_\w+)?(?=[{[\s)])/g)].map(([name]) =>
        name.replace(/_(bucket|count)$/, ''),
      );
      expect([alert, named.length > 0, named.filter((name) => !known.has(name))]).toEqual([alert, true, []]);
    }
  });
});
