/** Types of the Kubernetes objects that are read; only the fields that are used. */

export type Metadata = {
  name: string;
  namespace?: string;
  resourceVersion?: string;
  generation?: number;
  deletionTimestamp?: string;
  annotations?: Record<string, string>;
  ownerReferences?: { kind: string; name: string; controller?: boolean }[];
  labels?: Record<string, string>;
};

export type List<Item> = { metadata: { resourceVersion?: string; continue?: string }; items: Item[] };

export type Quantities = { cpu?: string; memory?: string };
export type Container = { name: string; resources?: { requests?: Quantities; limits?: Quantities } };

/** A Deployment or a StatefulSet. */
export type Workload = {
  metadata: Metadata;
  spec: {
    replicas?: number;
    paused?: boolean;
    updateStrategy?: { type?: string; rollingUpdate?: { partition?: number } };
    selector: { matchLabels?: Record<string, string> };
    template: { metadata?: Pick<Metadata, 'labels' | 'annotations'>; spec: { containers: Container[] } };
  };
  status?: {
    replicas?: number;
    readyReplicas?: number;
    updatedReplicas?: number;
    observedGeneration?: number;
    conditions?: Condition[];
    /** StatefulSet only. */
    currentRevision?: string;
    updateRevision?: string;
  };
};

export type Scale = {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  spec: { replicas?: number };
  status?: { replicas: number; selector?: string };
};

type ContainerStatus = {
  name: string;
  ready: boolean;
  restartCount: number;
  state?: { waiting?: { reason?: string; message?: string }; running?: object; terminated?: { reason?: string } };
  lastState?: { terminated?: { reason?: string } };
};
export type Condition = { type: string; status: string; reason?: string; message?: string };

export type Pod = {
  metadata: Metadata;
  spec?: {
    /** Pod-level resources (Kubernetes 1.34 and later). */
    resources?: { requests?: Quantities };
    containers: Container[];
    initContainers?: (Container & { restartPolicy?: string })[];
  };
  status?: {
    phase?: string;
    /** Generation that the kubelet has observed (Kubernetes 1.34 and later). */
    observedGeneration?: number;
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
};

export type ScaledBy = {
  name: string;
  container?: string;
  target?: { type?: string; averageUtilization?: number; averageValue?: string };
};
export type Metric = { type: string; resource?: ScaledBy; containerResource?: ScaledBy };
export type Autoscaler = {
  metadata: Metadata;
  spec: {
    scaleTargetRef?: { kind: string; name: string };
    targetRef?: { kind: string; name: string };
    metrics?: Metric[];
    updatePolicy?: { updateMode?: string };
  };
};

export type Lease = {
  apiVersion: 'coordination.k8s.io/v1';
  kind: 'Lease';
  metadata: Metadata;
  spec: { holderIdentity?: string; leaseDurationSeconds?: number; acquireTime?: string; renewTime?: string };
};

/** Cores or bytes of a quantity such as 250m, 1.5, 128Mi or 1e9; null if it cannot be parsed. */
export function amountOf(quantity: string | undefined): number | null {
  const [, digits, suffix] = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(quantity ?? '') ?? [];
  const factor = factors[suffix ?? '?'];
  const value = Number(digits);
  return factor === undefined || Number.isNaN(value) ? null : value * factor;
}

/** The same amount can be written in several ways. */
export const isSameAmount = (a: string | null | undefined, b: string | null | undefined): boolean =>
  (a ?? null) === (b ?? null) ||
  (amountOf(a ?? undefined) !== null && amountOf(a ?? undefined) === amountOf(b ?? undefined));

const factors: Record<string, number> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
