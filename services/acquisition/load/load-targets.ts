import { conflict } from '#kernel/errors.ts';
import type { Queue } from '#store/queue.ts';

/** Prevents concurrent load tests on one target. */

/** Job kinds that send load. The subject of a load test is its target. */
export const kinds = { experiments: 'experiments', load: 'load' } as const;
/** Maximum number of open jobs that are checked. */
const maxOpenJobs = 1000;

/**
 * @param targetsOf - targets of an experiment job
 * @throws TowerError `conflict` if another job sends load to one of the targets
 */
export async function refuseBusyTargets(
  queue: Pick<Queue, 'list'>,
  targets: ReadonlySet<string>,
  targetsOf: (payload: string) => ReadonlySet<string>,
): Promise<void> {
  const [experiments, loads] = await Promise.all([
    queue.list(kinds.experiments, maxOpenJobs),
    queue.list(kinds.load, maxOpenJobs),
  ]);
  const isOpen = ({ state }: { state: string }) => state === 'queued' || state === 'running';
  const all = [
    ...experiments.filter(isOpen).map(({ id, payload }) => ({ id, what: 'experiments', at: targetsOf(payload) })),
    ...loads.filter(isOpen).map(({ id, subject }) => ({ id, what: 'a load test', at: new Set([subject]) })),
  ];
  for (const { id, what, at } of all) {
    const shared = [...targets].find((target) => at.has(target));
    if (shared !== undefined)
      throw conflict(`${shared} is already tested by ${what}, job ${id}: each would measure the other’s load`, {
        job: id,
      });
  }
}
