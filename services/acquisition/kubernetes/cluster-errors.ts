import { misconfigured, type TowerError } from '#kernel/errors.ts';
import type { KubernetesClient } from './client.ts';

/** @throws TowerError `unavailable` where no cluster is configured */
export function requiredCluster(client: KubernetesClient | null): KubernetesClient {
  if (client) return client;
  throw misconfigured('there is no cluster: set KUBERNETES_CONFIG', { parameter: 'KUBERNETES_CONFIG' });
}

/** Whether a quota, a limit of the namespace or a webhook refused it, which may do otherwise the next time. */
export const isByAdmission = (error: TowerError): boolean => error.details['refused_by'] === 'admission';
