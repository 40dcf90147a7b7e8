import { z } from 'zod';
import { flag, list, number, text } from './kinds.ts';

const isPlainUrl = (url: string | undefined): boolean =>
  url === undefined ||
  (/^https?:$/.test(URL.parse(url)?.protocol ?? '') &&
    URL.parse(url)?.username === '' &&
    URL.parse(url)?.search === '');

const isOrigin = (url: string): boolean => /^https?:\/\/[^/?#@]+\/?$/.test(url) && URL.canParse(url);

const isSelector = /^[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\{}]*"(,[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\{}]*")*$/;

const selector = (example: string) =>
  text().refine((list) => list === undefined || isSelector.test(list), `must be like ${example}`);

/** Settings of Prometheus, Kubernetes and load experiments. */
export const acquisitionSettings = z.object({
  PROMETHEUS_URL: text()
    .refine(isPlainUrl, 'must be http(s)://host[:port][/prefix] without user name and password')
    .describe(
      'Prometheus, Thanos, Mimir or VictoriaMetrics that knows the cluster: what stands before /api/v1. Not set: nothing is asked',
    ),
  PROMETHEUS_USERNAME: text().describe('User name for Basic authentication'),
  PROMETHEUS_PASSWORD: text().describe('Password for Basic authentication (secret)'),
  PROMETHEUS_TOKEN: text().describe('Bearer token; used when no user name and password are set (secret)'),
  PROMETHEUS_TENANT: text().describe('Tenant of Mimir or Thanos (X-Scope-OrgID)'),
  PROMETHEUS_CA_PATH: text().describe('PEM file of the certificate authority that signed the server’s certificate'),
  PROMETHEUS_INSECURE_TLS: flag(false).describe('Accept any server certificate (for tests only)'),
  PROMETHEUS_TIMEOUT_SECONDS: number(10, 1, 600).describe('Longest wait for one answer of Prometheus'),
  PROMETHEUS_MAX_RETRIES: number(3, 0, 10).describe('How often a failed call to Prometheus is tried again'),
  PROMETHEUS_SCRAPE_SECONDS: number(30, 1, 600).describe('Time between two scrapes; rates are taken over four of them'),
  PROMETHEUS_PRESET: z
    .enum(['kube-prometheus-stack', 'plain'], 'must be kube-prometheus-stack or plain')
    .default('kube-prometheus-stack')
    .describe(
      'Whose labels container metrics have; plain: any cAdvisor and kube-state-metrics, pods found by their names',
    ),
  PROMETHEUS_MESH: z
    .enum(['none', 'istio'], 'must be none or istio')
    .default('none')
    .describe('Where request rates, errors and latencies come from'),
  PROMETHEUS_CADVISOR_SELECTOR: selector('job="cadvisor"').describe(
    'What picks out container series, such as job="cadvisor"; not set: as the preset has it',
  ),
  PROMETHEUS_KSM_SELECTOR: selector('job="ksm"').describe('The same for kube-state-metrics'),
  PROMETHEUS_SELECTOR: selector('cluster="eu1",env="prod"').describe(
    'Labels that every series must have besides, where Prometheus knows several clusters: cluster="eu1"',
  ),
  PROMETHEUS_QUERIES_FILE: text().describe('YAML or JSON file with queries of your own (docs/rightsizing.md)'),
  KUBERNETES_CONFIG: text().describe(
    'Cluster for experiments and for applying recommendations: in-cluster, or a kubeconfig file. Not set: nothing is asked or changed',
  ),
  KUBERNETES_CONTEXT: text().describe('Context of that file; not set: its current one'),
  KUBERNETES_TIMEOUT_SECONDS: number(10, 1, 600).describe('Longest wait for one answer of Kubernetes'),
  LOAD_TARGETS: list('')
    .refine((urls) => urls.every(isOrigin), 'must be a list of http(s)://host[:port]')
    .describe('Where load tests of experiments may be sent: http://frontend.shop; empty: nowhere'),
  JMETER_HOME: text().describe(
    'Folder of Apache JMeter 5.6 (with bin/ApacheJMeter.jar), for load that is asked of it; not set: the generator that is built in',
  ),
  JMETER_JAVA: z.string().default('/usr/bin/java').describe('Java that runs it'),
  EXPERIMENTS_DIRECTORY: text().describe(
    'Folder of load experiments, one CSV and one JSON each (docs/forecast.md); not set: experiments in DATA_DIRECTORY',
  ),
});
