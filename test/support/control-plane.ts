import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemClock } from '#kernel/clock.ts';
import { createKubernetesClient } from '#services/acquisition/kubernetes/client.ts';
import { whenTestIsOver } from './cleanup.ts';
import { runNode } from './node-of-a-cluster.ts';
import { freePort, type Started, start } from './processes.ts';
import { output, systemProgram } from './programs.ts';
import { temporaryDirectory } from './tower.ts';

const program = () => systemProgram(resolve('.peers/kubernetes/control-plane'));
const kubectlProgram = () => systemProgram('/usr/bin/kubectl');

/** Whether it was built (test/peers/kubernetes). */
export const isControlPlaneThere = (): boolean => program() !== null && kubectlProgram() !== null;

/**
 * A real etcd, Kubernetes API server and controllers on the loopback, in their own directory. Nodes are simulated: no
 * container runs.
 */
export async function controlPlane() {
  const directory = temporaryDirectory();
  const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
  const run = (part: string, flags: Record<string, string>): Started => {
    const started = start(program()!, [part, ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)], {
      cwd: directory,
    });
    whenTestIsOver(() => started.stop('SIGKILL'));
    return started;
  };
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(directory, 'sa.pub'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(directory, 'sa.key'), keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'tokens.csv'), 'admin-token,admin,admin,"system:masters"\n');
  const [clients, peers] = [`http://127.0.0.1:${etcdPort}`, `http://127.0.0.1:${peerPort}`];
  run('etcd', {
    'data-dir': 'etcd',
    'listen-client-urls': clients,
    'advertise-client-urls': clients,
    'listen-peer-urls': peers,
    'initial-advertise-peer-urls': peers,
    'initial-cluster': `default=${peers}`,
    'unsafe-no-fsync': 'true',
  });
  const server = run('apiserver', {
    'etcd-servers': clients,
    'bind-address': '127.0.0.1',
    'secure-port': String(port),
    'cert-dir': 'certificates',
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': 'sa.pub',
    'service-account-signing-key-file': 'sa.key',
    'token-auth-file': 'tokens.csv',
    'authorization-mode': 'RBAC',
    'service-cluster-ip-range': '10.0.0.0/24',
  });
  await untilReady(`https://127.0.0.1:${port}/readyz`, join(directory, 'certificates/apiserver.crt'), server);
  const fileFor = (name: string, token: string): string => {
    const path = join(directory, `${name}.conf`);
    writeFileSync(path, kubeconfig(port, readFileSync(join(directory, 'certificates/apiserver.crt')), token));
    return path;
  };
  const admin = fileFor('admin', 'admin-token');
  run('controllers', {
    kubeconfig: admin,
    controllers:
      'deployment-controller,replicaset-controller,statefulset-controller,resourcequota-controller,serviceaccount-controller,namespace-controller,horizontal-pod-autoscaler-controller',
    // Acts immediately on what it sees, so that timing is observable.
    'kube-api-content-type': 'application/json',
    'horizontal-pod-autoscaler-sync-period': '1s',
    'horizontal-pod-autoscaler-downscale-stabilization': '0s',
    'leader-elect': 'false',
    'secure-port': '0',
  });
  const client = createKubernetesClient({
    config: admin,
    context: undefined,
    namespaces: ['shop', 'default', 'control-tower'],
    timeoutMs: 10_000,
    clock: systemClock,
  });
  const node = runNode(client);
  whenTestIsOver(node.stop);
  const kubectl = async (args: string[], input = ''): Promise<string> => {
    const all = ['--kubeconfig', admin, '--cache-dir', join(directory, 'cache'), ...args];
    const { code, text } = await output(kubectlProgram()!, all, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${text}`);
    return text.trim();
  };
  return {
    client,
    kubectl,
    node,
    /** A kubeconfig file of an administrator. */
    admin,
    /** A kubeconfig file of a ServiceAccount, with a token issued by the API server. */
    fileOf: async (namespace: string, account: string): Promise<string> => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
      const { status } = await client.call<{ status: { token: string } }>({ method: 'POST', path, body });
      return fileFor(account, status.token);
    },
  };
}

const kubeconfig = (port: number, certificate: Buffer, token: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'real',
        cluster: {
          server: `https://127.0.0.1:${port}`,
          'certificate-authority-data': certificate.toString('base64'),
        },
      },
    ],
    users: [{ name: 'somebody', user: { token } }],
    contexts: [{ name: 'real', context: { cluster: 'real', user: 'somebody', namespace: 'shop' } }],
    'current-context': 'real',
  });

async function untilReady(url: string, certificate: string, server: Started): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline && server.child.exitCode === null) {
    const { code, text } = await output('curl', ['-s', '--cacert', certificate, url]);
    if (code === 0 && text === 'ok') return;
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
  }
  throw new Error(`the API server did not start; it said:\n${server.output().slice(-3000)}`);
}
