import { z } from 'zod';
import { flag, headerText, list, number, text } from './kinds.ts';

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
      'Base URL of Prometheus, Thanos, Mimir or VictoriaMetrics with the cluster’s metrics, without /api/v1. Not set: Prometheus is not queried',
    ),
  PROMETHEUS_USERNAME: text().describe('User name for Basic authentication'),
  PROMETHEUS_PASSWORD: text().describe('Password for Basic authentication (secret)'),
  PROMETHEUS_TOKEN: headerText().describe('Bearer token; used when no user name and password are set (secret)'),
  PROMETHEUS_TENANT: headerText().describe('Tenant of Mimir or Thanos (X-Scope-OrgID)'),
  PROMETHEUS_CA_PATH: text().describe('PEM file of the certificate authority that signed the server’s certificate'),
  PROMETHEUS_INSECURE_TLS: flag(false).describe('Accept any server certificate (for tests only)'),
  PROMETHEUS_TIMEOUT_SECONDS: number(10, 1, 600).describe('Timeout of one call to Prometheus'),
  PROMETHEUS_MAX_RETRIES: number(3, 0, 10).describe('Retries of a failed call to Prometheus'),
  PROMETHEUS_SCRAPE_SECONDS: number(30, 1, 600).describe('Scrape interval; rates are computed over four of them'),
  PROMETHEUS_PRESET: z
    .enum(['kube-prometheus-stack', 'plain'], 'must be kube-prometheus-stack or plain')
    .default('kube-prometheus-stack')
    .describe('Label conventions of container metrics; plain: any cAdvisor and kube-state-metrics, pods found by name'),
  PROMETHEUS_MESH: z
    .enum(['none', 'istio'], 'must be none or istio')
    .default('none')
    .describe('Service mesh with metrics of request rates, errors and latencies'),
  PROMETHEUS_CADVISOR_SELECTOR: selector('job="cadvisor"').describe(
    'Selector of container series, such as job="cadvisor"; default: the preset’s',
  ),
  PROMETHEUS_KSM_SELECTOR: selector('job="ksm"').describe('Selector of kube-state-metrics series'),
  PROMETHEUS_SELECTOR: selector('cluster="eu1",env="prod"').describe(
    'Additional labels of every selector, if Prometheus has several clusters: cluster="eu1"',
  ),
  PROMETHEUS_QUERIES_FILE: text().describe('YAML or JSON file with custom queries (docs/reference/file-formats.md)'),
  KUBERNETES_CONFIG: text().describe(
    'Cluster for experiments and for applying recommendations: in-cluster, or a kubeconfig file. Not set: no cluster is accessed',
  ),
  KUBERNETES_CONTEXT: text().describe('Context of the kubeconfig; default: its current one'),
  KUBERNETES_NAMESPACES: list('').describe(
    'Namespaces in which experiments and applied recommendations may change workloads, comma-separated; in a cluster, besides the server’s own. Empty: no others',
  ),
  KUBERNETES_TIMEOUT_SECONDS: number(10, 1, 600).describe('Timeout of one call to Kubernetes'),
  LOAD_TARGETS: list('')
    .refine((urls) => urls.every(isOrigin), 'must be a comma-separated list of http(s)://host[:port]')
    .describe('Allowed origins of load tests, comma-separated, such as http://frontend.shop; empty: none'),
  JMETER_HOME: text().describe(
    'Directory of Apache JMeter 5.6 (with bin/ApacheJMeter.jar), for tests that request it; the built-in generator needs nothing',
  ),
  JMETER_JAVA: z.string().default('/usr/bin/java').describe('Java executable for JMeter'),
  EXPERIMENTS_DIRECTORY: text().describe(
    'Directory of load experiments, one CSV and one JSON each (docs/reference/file-formats.md); default: experiments in DATA_DIRECTORY',
  ),
});
