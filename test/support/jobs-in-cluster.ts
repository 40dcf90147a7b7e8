import { LoadJobRequest } from '#services/acquisition/load/job-schemas.ts';
import { ApplyRequest } from '#services/rightsizing/apply/apply-schemas.ts';
import type { TestTower } from './tower.ts';

/** A running or cancelled job that makes experiments or applies a recommendation. */
export async function jobInCluster(
  { services: { acquisition, rightsizing } }: TestTower,
  world: string,
): Promise<string | null> {
  if (world === 'experimenting' || world === 'experimented') {
    const { id } = await acquisition.jobs.start({ namespace: 'shop', services: ['web'] });
    if (world === 'experimented') await acquisition.jobs.cancel(id);
    return id;
  }
  if (world === 'under load' || world === 'loaded') {
    const request = LoadJobRequest.parse({ target: 'http://127.0.0.1:9', arrivals_per_second: 1 });
    const { id } = await acquisition.loadTests.start(request);
    if (world === 'loaded') await acquisition.loadTests.cancel(id);
    return id;
  }
  if (world !== 'applying' && world !== 'applied') return null;
  const request = ApplyRequest.parse({ dry_run: false, resources: ['memory'], history_days: 2 });
  const { id } = await rightsizing.apply.start({ namespace: 'shop', service: 'web' }, request);
  if (world === 'applied') await rightsizing.apply.cancel(id);
  return id;
}
