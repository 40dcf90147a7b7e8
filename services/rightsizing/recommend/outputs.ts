import { stringify } from 'yaml';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import type { NamedWorkload } from '#services/acquisition/prometheus/workload-state.ts';

/** Outputs to apply: a patch, a Kustomize patch, Helm values, a VPA object. */

export type ContainerSizes = {
  container: string;
  cpuCores: number | null;
  memoryBytes: number | null;
  cpuLimitCores: number | null;
};
export type OutputTarget = Workload & Pick<NamedWorkload, 'kind'>;

/** YAML 1.1 as kubectl parses it: an unquoted Off would be a boolean. */
const yamlOf = (value: object): string => stringify(value, { aliasDuplicateObjects: false, version: '1.1' });

/** Millicores, rounded up. */
export const cpuQuantity = (cores: number): string => `${Math.ceil(cores * 1000 - 1e-6)}m`;
/** Mebibytes, rounded up. */
export const memoryQuantity = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20 - 1e-9)}Mi`;

/** Escaped for single quotes in a shell: metric names are user input. */
const inQuotes = (text: string): string => text.replaceAll("'", String.raw`'\''`);

type Resources = { requests: Record<string, string>; limits?: Record<string, string> };

/** The memory limit equals the request: memory above it can cause kills of other pods. */
export function resourcesOf({ cpuCores, memoryBytes, cpuLimitCores }: ContainerSizes): Resources {
  const requests = {
    ...(cpuCores === null ? {} : { cpu: cpuQuantity(cpuCores) }),
    ...(memoryBytes === null ? {} : { memory: memoryQuantity(memoryBytes) }),
  };
  const limits = {
    ...(cpuLimitCores === null ? {} : { cpu: cpuQuantity(cpuLimitCores) }),
    ...(memoryBytes === null ? {} : { memory: memoryQuantity(memoryBytes) }),
  };
  return Object.keys(limits).length === 0 ? { requests } : { requests, limits };
}

export type Outputs = { kubectl: string; kustomize: string; helm: string; vpa: string };

/** Replicas and autoscaler targets to set together with the requests; null if unchanged. */
export type RelatedChanges = {
  /** Replicas the recommendation assumes. */
  replicas: number | null;
  /** The autoscaler whose targets change with the requests, and its complete list of metrics. */
  scaler: { name: string; metrics: object[] } | null;
};

export function outputsOf(
  { namespace, service, kind }: OutputTarget,
  containers: readonly ContainerSizes[],
  { replicas, scaler }: RelatedChanges = { replicas: null, scaler: null },
): Outputs {
  const sized = containers.map((container) => ({ name: container.container, resources: resourcesOf(container) }));
  const patch = { spec: { ...(replicas === null ? {} : { replicas }), template: { spec: { containers: sized } } } };
  const scaling = scaler && { spec: { metrics: scaler.metrics } };
  const whole = { apiVersion: 'apps/v1', kind, metadata: { name: service, namespace }, ...patch };
  const [first] = sized;
  const vpa = {
    apiVersion: 'autoscaling.k8s.io/v1',
    kind: 'VerticalPodAutoscaler',
    metadata: { name: service, namespace },
    spec: {
      targetRef: { apiVersion: 'apps/v1', kind, name: service },
      updatePolicy: { updateMode: 'Initial' },
      // Minimum and maximum both equal the recommendation, so that VPA applies exactly it to new pods. Limits stay.
      resourcePolicy: {
        containerPolicies: [
          ...sized.map(({ name, resources: { requests } }) => ({
            containerName: name,
            controlledResources: Object.keys(requests),
            controlledValues: 'RequestsOnly',
            minAllowed: requests,
            maxAllowed: requests,
          })),
          { containerName: '*', mode: 'Off' },
        ],
      },
    },
  };
  const command = (what: string, type: string, body: object) =>
    `kubectl patch ${what} -n ${namespace} --type ${type} -p '${inQuotes(JSON.stringify(body))}'`;
  const autoscaler = scaler && {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: scaler.name, namespace },
    ...scaling,
  };
  return {
    kubectl: [
      command(`${kind.toLowerCase()} ${service}`, 'strategic', patch),
      ...(scaler && scaling ? [command(`hpa ${scaler.name}`, 'merge', scaling)] : []),
    ].join('\n'),
    kustomize: [whole, ...(autoscaler ? [autoscaler] : [])].map(yamlOf).join('---\n'),
    helm: yamlOf({
      ...(replicas === null ? {} : { replicaCount: replicas }),
      ...(sized.length === 1
        ? { resources: first!.resources }
        : { containers: Object.fromEntries(sized.map(({ name, resources }) => [name, { resources }])) }),
    }),
    vpa: yamlOf(vpa),
  };
}
