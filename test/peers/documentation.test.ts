import { globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { fakeBoutique } from '../fakes/boutique.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { fakeMlflow } from '../fakes/mlflow.ts';
import { smallRegistry } from '../fakes/small-registry.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { clusteredEnv } from '../support/cluster-series.ts';
import { controlPlane, isControlPlaneThere } from '../support/control-plane.ts';
import { countOfCommands, failureOfPage } from '../support/documentation.ts';
import { experimentDirectory } from '../support/experiments-by-command.ts';
import { peerProgram, startMlflow } from '../support/mlflow-server.ts';
import { postgresPrograms, startPostgres } from '../support/postgres-server.ts';
import { freePort } from '../support/processes.ts';
import { output, systemProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower } from '../support/tower-process.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** A Python with requests and pandas. */
const python = peerProgram('mlflow3', 'python3');
const withPython = python === null ? [] : [dirname(python)];
const jq = systemProgram('/usr/bin/jq');
const prometheus = systemProgram('/usr/bin/prometheus');
const postgres = postgresPrograms();

describe('the commands of the documentation', () => {
  it('are in every how-to', () => {
    const pages = globSync('docs/how-to/*.md', { cwd: root });
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.filter((page) => countOfCommands(page) === 0)).toEqual([]);
  });

  it('work in the README', async () => {
    expect(await failureOfPage('README.md', { server: 'tower serve' })).toBeNull();
  });

  it('work in the quickstart', async () => {
    const replace = { 9000: String(await freePort()) };
    expect(await failureOfPage('docs/quickstart.md', { replace })).toBeNull();
  });

  it('work in "Mirror MLflow"', async () => {
    const fixture = (name: string) => join(root, 'test/fixtures/tls', name);
    const tls = {
      key: readFileSync(fixture('localhost-key.pem'), 'utf8'),
      cert: readFileSync(fixture('localhost-cert.pem'), 'utf8'),
    };
    const [plain, lab, secure] = [
      await fakeMlflow(smallRegistry()),
      await fakeMlflow(smallRegistry()),
      await fakeMlflow(smallRegistry(), tls),
    ];
    const replace = {
      'http://mlflow.example.com:5000': plain.url,
      'http://lab.example.com:5000': lab.url,
      'http://proxy.example.com/mlflow': await proxyBelow('/mlflow', plain.url),
      'https://mlflow.example.com': secure.url,
      '/etc/ssl/certs/company-ca.pem': fixture('localhost-cert.pem'),
    };
    // Each server reads MLflow before it is ready.
    const env = { ENABLE_CACHE_PERSISTENCE: 'false' };
    const files = { 'password.txt': 'of-mlflow', 'secret.txt': 'shared-secret' };
    expect(await failureOfPage('docs/how-to/mirror-mlflow.md', { replace, files, env })).toBeNull();
    const sent = new Set(plain.requests.map(({ headers }) => headers.authorization));
    expect([...sent]).toEqual([undefined, `Basic ${btoa('tower:of-mlflow')}`, 'Bearer of-mlflow']);
    expect(secure.requests.length).toBeGreaterThan(0);
  });

  it.skipIf(jq === null || python === null)('work in "Promote with a CI gate"', async () => {
    expect(await failureOfPage('docs/how-to/promotion-gate.md', { path: withPython })).toBeNull();
  });

  it.skipIf(python === null)('work in "Post observations"', async () => {
    expect(await failureOfPage('docs/how-to/post-observations.md', { path: withPython })).toBeNull();
  });

  it.skipIf(jq === null)('work in "Webhooks"', async () => {
    const replace = { 9000: String(await freePort()) };
    expect(await failureOfPage('docs/how-to/webhooks.md', { replace })).toBeNull();
  });

  it.skipIf(prometheus === null)('work in "Send Prometheus metrics"', async () => {
    const replace = { '127.0.0.1:9090': `127.0.0.1:${await freePort()}` };
    expect(await failureOfPage('docs/how-to/send-prometheus-metrics.md', { replace })).toBeNull();
  });

  it('work in "Use Grafana"', async () => {
    expect(await failureOfPage('docs/how-to/use-grafana.md')).toBeNull();
  });

  it('work in "Right-size a namespace", and "Apply and roll back"', async () => {
    const { KUBERNETES_CONFIG, PROMETHEUS_URL, PROMETHEUS_SCRAPE_SECONDS } = await clusteredEnv([], Date.now());
    const env = { PROMETHEUS_SCRAPE_SECONDS: PROMETHEUS_SCRAPE_SECONDS! };
    const replace = {
      'http://prometheus.example.com:9090': PROMETHEUS_URL!,
      'kubeconfig.yaml': KUBERNETES_CONFIG!,
      '--confirm\n': '--confirm --watch-seconds 1\n',
    };
    expect(await failureOfPage('docs/how-to/right-size-a-namespace.md', { replace, env })).toBeNull();
    expect(await failureOfPage('docs/how-to/apply-and-roll-back.md', { replace, env })).toBeNull();
  });

  it('work in "Run load experiments"', async () => {
    const cluster = await fakeKubernetes();
    for (const [name, replicas] of Object.entries({ web: 2, loadgenerator: 1 }))
      cluster.workload('Deployment', name, replicas, []);
    const { cwd, env } = await experimentDirectory(cluster);
    const { KUBERNETES_CONFIG, KUBERNETES_NAMESPACES: _, LOAD_TARGETS, PROMETHEUS_URL, ...more } = env;
    const replace = {
      'http://frontend.example.com': `http://127.0.0.1:${(await fakeBoutique()).port}`,
      'http://shop.example.com': LOAD_TARGETS,
      'http://prometheus.example.com:9090': PROMETHEUS_URL,
      'kubeconfig.yaml': KUBERNETES_CONFIG,
      // Experiments of three seconds.
      '--config-file experiments.yaml\n': '--config-file short.yaml\n',
    };
    const files = { 'short.yaml': readFileSync(join(cwd, 'experiments.yaml'), 'utf8') };
    expect(await failureOfPage('docs/how-to/run-load-experiments.md', { replace, files, env: more })).toBeNull();
  });

  it.skipIf(!isControlPlaneThere())('work in "Run on Kubernetes"', async () => {
    const { admin } = await controlPlane();
    const env = { KUBECONFIG: admin };
    expect(await failureOfPage('docs/how-to/kubernetes.md', { env })).toBeNull();
  });

  it.skipIf(postgres === null || jq === null)('work in "Several instances on PostgreSQL"', async () => {
    const server = (await startPostgres())!;
    whenTestIsOver(() => server.stop());
    const replace = {
      'postgres://tower@db.example.com': server.url.replace(/\/postgres$/, ''),
      8001: String(await freePort()),
    };
    expect(await failureOfPage('docs/how-to/several-instances.md', { replace })).toBeNull();
  });

  it('work in "Back up and restore"', async () => {
    expect(await failureOfPage('docs/how-to/back-up.md')).toBeNull();
  });

  it.skipIf(jq === null)('work in "Lock it down"', async () => {
    expect(await failureOfPage('docs/how-to/lock-it-down.md')).toBeNull();
  });
});

describe.skipIf(python === null || jq === null)('the examples', () => {
  const mlflow = peerProgram('mlflow3', 'mlflow');

  it('forecast a pandas series', async () => {
    const tower = await servingTower(temporaryDirectory());
    const env = ['-C', root, `TOWER_URL=${tower.url}`];
    const { code, text } = await output('env', [...env, python!, 'examples/python/forecast.py']);
    expect([code, text]).toEqual([0, expect.stringMatching(/value +lower +upper\n.*\n2026-11-02 00:00:00\+00:00 +\d/)]);
  });

  it('promote a version on GitHub Actions and GitLab that passes the gate', async () => {
    const directory = temporaryDirectory();
    const { url: registry, program } = await startMlflow(
      mlflow!,
      directory,
      `sqlite:///${join(directory, 'mlflow.db')}`,
    );
    whenTestIsOver(() => program.stop());
    const call = (path: string, body: object) =>
      fetch(`${registry}/api/2.0/mlflow/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const name = 'churn model';
    await call('registered-models/create', { name });
    for (const owner of ['dana', ''])
      await call('model-versions/create', {
        name,
        source: 's3://models/x',
        tags: owner ? [{ key: 'owner', value: owner }] : [],
      });
    const rules = join(directory, 'rules.json');
    const env = { MLFLOW_TRACKING_URI: registry, GATE_RULES_FILE: rules };
    await output('sh', ['-c', `echo '{"rules":[{"owner":true}]}' > ${rules}`]);
    const tower = await servingTower(temporaryDirectory(), env);
    const run = (script: string, version: string, model: string) =>
      output('env', [
        '-C',
        directory,
        `TOWER_URL=${tower.url}`,
        `MLFLOW_TRACKING_URI=${registry}`,
        `MODEL=${model}`,
        `VERSION=${version}`,
        'TOWER_TOKEN=none',
        'MLFLOW_TRACKING_TOKEN=none',
        'bash',
        '-euo',
        'pipefail',
        '-c',
        script,
      ]);
    const { jobs } = parse(read('examples/github-actions/promote.yml')) as {
      jobs: { promote: { steps: { run: string }[] } };
    };
    const github = jobs.promote.steps.map((step) => step.run).join('\n');
    const refused = await run(github, '2', name);
    expect([refused.code === 0, refused.text]).toEqual([false, expect.stringContaining('does not pass the gate')]);
    const promoted = await run(github, '1', name);
    expect([promoted.code, promoted.text]).toEqual([0, expect.stringMatching(/^pass /)]);
    const alias = async (model: string) => {
      const query = new URLSearchParams({ name: model, alias: 'champion' });
      const answer = await fetch(`${registry}/api/2.0/mlflow/registered-models/alias?${query}`);
      return ((await answer.json()) as { model_version?: { version: string } }).model_version?.version;
    };
    expect(await alias(name)).toBe('1');
    await call('registered-models/create', { name: 'churn EU' });
    await call('model-versions/create', {
      name: 'churn EU',
      source: 's3://models/x',
      tags: [{ key: 'owner', value: 'dana' }],
    });
    const [, gitlab = ''] = /```yaml file=gitlab-ci\.yml\n([\s\S]*?)```/.exec(read('docs/how-to/promotion-gate.md'))!;
    const { promote } = parse(gitlab) as { promote: { script: string[] } };
    const done = await run(promote.script.join('\n'), '1', 'churn EU');
    expect([done.code, done.text]).toEqual([0, expect.stringMatching(/^pass /)]);
    expect(await alias('churn EU')).toBe('1');
  });
});

describe('deploy/compose.yaml', () => {
  const compose = join(root, 'deploy/compose.yaml');
  const program = systemProgram('/usr/bin/docker-compose');
  const mlflow = peerProgram('mlflow3', 'mlflow');

  it.skipIf(program === null)('is valid for Docker Compose', async () => {
    const { code, text } = await output(program!, ['-f', compose, 'config', '--quiet']);
    expect([code, text]).toEqual([0, '']);
  });

  it.skipIf(mlflow === null)('starts an MLflow that answers requests to its service name', async () => {
    const { services } = parse(readFileSync(compose, 'utf8')) as { services: { mlflow: { command: string[] } } };
    const directory = temporaryDirectory();
    const flags = services.mlflow.command.filter((flag) => flag.startsWith('--allowed-hosts'));
    expect(flags).toHaveLength(1);
    const { url, program } = await startMlflow(mlflow!, directory, `sqlite:///${join(directory, 'mlflow.db')}`, flags);
    whenTestIsOver(() => program.stop());
    const status = async (host: string) =>
      (
        await output('curl', [
          '-s',
          '-o',
          '/dev/null',
          '-w',
          '%{http_code}',
          '-H',
          `Host: ${host}`,
          `${url}/api/2.0/mlflow/experiments/search?max_results=1`,
        ])
      ).text;
    expect([await status('mlflow:5000'), await status('evil.example.com')]).toEqual(['200', '403']);
  });
});

/** A reverse proxy that serves another server below a path. */
async function proxyBelow(prefix: string, target: string): Promise<string> {
  const server = createServer((request, response) => {
    void (async () => {
      const [chunks, path]: [Buffer[], string] = [[], request.url ?? '/'];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (!path.startsWith(`${prefix}/`)) return response.writeHead(404).end();
      const answer = await fetch(`${target}${path.slice(prefix.length)}`, {
        method: request.method ?? 'GET',
        headers: { 'content-type': 'application/json' },
        ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
      });
      const type = answer.headers.get('content-type') ?? 'text/plain';
      return response.writeHead(answer.status, { 'content-type': type }).end(await answer.text());
    })();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  whenTestIsOver(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`;
}
