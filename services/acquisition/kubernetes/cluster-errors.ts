import { misconfigured, type TowerError } from '#kernel/errors.ts';
import type { KubernetesClient } from './client.ts';

/** @throws TowerError `unavailable` if no cluster is configured */
export function requiredCluster(client: KubernetesClient | null): KubernetesClient {
  if (client) return client;
  throw misconfigured('no cluster is configured: set KUBERNETES_CONFIG', { parameter: 'KUBERNETES_CONFIG' });
}

/** Whether admission (quota, LimitRange, webhook) refused the request; a retry may succeed. */
export const isByAdmission = (error: TowerError): boolean => error.details['refused_by'] === 'admission';
