import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { settings } from '#config/config.ts';
import { parsePromql } from '#services/analytics/promql/parse.ts';
import { testTower } from './support/tower.ts';

type Panel = { title: string; targets: { expr: string }[] };

const directory = resolve(import.meta.dirname, '../deploy');

type Container = {
  envFrom: object[];
  securityContext: object;
  livenessProbe: { httpGet: { path: string } };
  readinessProbe: { httpGet: { path: string } };
  volumeMounts: { mountPath: string }[];
};
type Document = {
  kind: string;
  configMapGenerator?: { literals: string[] }[];
  spec?: {
    template?: { spec: { containers: Container[]; automountServiceAccountToken: boolean } };
    groups?: { rules: { alert?: string; record?: string; expr: string; annotations: { summary: string } }[] }[];
  };
  resources?: string[];
};

const documents = globSync('**/*.yaml', { cwd: directory }).flatMap((file) =>
  parseAllDocuments(readFileSync(join(directory, file), 'utf8')).map((document) => {
    expect([file, document.errors]).toEqual([file, []]);
    return document.toJS() as Document;
  }),
);
const ofKind = (kind: string) => documents.filter((document) => document.kind === kind);

describe('deploy/', () => {
  it('grants the server no permissions in the cluster', () => {
    const { spec } = ofKind('Deployment')[0]!.spec!.template!;
    expect(spec.automountServiceAccountToken).toBe(false);
    expect(spec.containers[0]!.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    for (const kind of ['ClusterRole', 'ClusterRoleBinding']) expect(ofKind(kind)).toEqual([]);
  });

  it('admits only its HTTP port, keeps the server from metadata services, and lets nodes be drained', () => {
    const [policy, budget] = [ofKind('NetworkPolicy')[0], ofKind('PodDisruptionBudget')[0]];
    expect(policy?.spec).toMatchObject({
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ ports: [{ port: 'http' }] }],
      egress: [{ to: [{ ipBlock: { except: ['169.254.0.0/16'] } }, { ipBlock: { cidr: '::/0' } }] }],
    });
    expect(budget?.spec).toMatchObject({ maxUnavailable: 1 });
  });

  it('probes existing paths, and sets existing settings', async () => {
    const { app } = await testTower();
    const [tower] = ofKind('Deployment')[0]!.spec!.template!.spec.containers;
    for (const { httpGet } of [tower!.livenessProbe, tower!.readinessProbe])
      expect((await app.inject(httpGet.path)).statusCode).not.toBe(404);
    const literals = ofKind('Kustomization').flatMap(({ configMapGenerator = [] }) =>
      configMapGenerator.flatMap((each) => each.literals),
    );
    expect(literals.length).toBeGreaterThan(2);
    for (const literal of literals) expect(Object.keys(settings.shape)).toContain(literal.split('=')[0]);
  });

  it('alerts on existing metrics', async () => {
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

  it('has dashboards whose metrics and labels exist', async () => {
    const { metrics } = await testTower();
    const described = new Map(metrics.describe().map(({ name, labels }) => [name, labels]));
    const { body } = await metrics.render('');
    const ofNode = new Set([...body.matchAll(/^# TYPE ((?:process|nodejs)_\w+) /gm)].map(([, name]) => name!));
    // Added by Prometheus; job is renamed, since targets have a label of this name.
    const added = ['instance', 'le', 'exported_job'];
    const boards = globSync('grafana/dashboards/*.json', { cwd: directory });
    expect(boards).toHaveLength(2);
    for (const file of boards) {
      const { panels } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as { panels: Panel[] };
      expect(panels.length).toBeGreaterThan(8);
      for (const { title, targets } of panels)
        for (const { expr } of targets) {
          const query = expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*');
          expect(() => parsePromql(query)).not.toThrow();
          const names = [...query.matchAll(/\b(?:tower|mora|process|nodejs)_\w+/g)].map(([name]) =>
            name.replace(/_(bucket|count|sum)$/, ''),
          );
          expect([file, title, names.filter((name) => !described.has(name) && !ofNode.has(name))]).toEqual([
            file,
            title,
            [],
          ]);
          const labels = [...query.matchAll(/\bby \(([^)]*)\)|(\w+)(?:=~|=)"/g)].flatMap(([, grouped, matched]) =>
            (grouped ?? matched ?? '').split(',').map((label) => label.trim()),
          );
          const known = [...names.flatMap((name) => described.get(name) ?? []), ...added];
          expect([title, labels.filter((label) => !known.includes(label))]).toEqual([title, []]);
        }
    }
  });

  it('publishes loopback ports only, and sets existing settings, in compose.yaml', () => {
    const { services } = parse(readFileSync(join(directory, 'compose.yaml'), 'utf8')) as {
      services: Record<string, { environment?: Record<string, string>; ports: string[] }>;
    };
    expect(Object.keys(services).sort()).toEqual(['grafana', 'mlflow', 'prometheus', 'tower']);
    for (const name of Object.keys(services['tower']!.environment!))
      expect(Object.keys(settings.shape)).toContain(name);
    for (const { ports } of Object.values(services))
      expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });
});
