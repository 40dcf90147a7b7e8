import type { Cluster } from '#services/acquisition/kubernetes/cluster.ts';

/** Recommended resources, container by container. */
export type Sized = Parameters<Cluster['dryRun']>[2];

/** State of a workload before a change. */
export type Found = Awaited<ReturnType<Cluster['find']>>;
