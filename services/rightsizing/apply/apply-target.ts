import type { Cluster } from '#services/acquisition/kubernetes/cluster.ts';

/** Recommended resources, container by container. */
export type Sized = Parameters<Cluster['judge']>[2];

/** A workload as the cluster has it, before anything is changed. */
export type Found = Awaited<ReturnType<Cluster['find']>>;
