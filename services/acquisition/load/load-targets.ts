import { conflict } from '#kernel/errors.ts';
import type { Queue } from '#store/queue.ts';

/** Who sends load where: what one sends, another would measure. */

/** Jobs that send load. The subject of a load test is where it is sent. */
export const kinds = { experiments: 'experiments', load: 'load' } as const;
/** More are not open at once. */
const mostOpen = 1000;

/**
 * @param targetsOf - where a job of experiments sends users
 * @throws TowerError `conflict` where another job sends load to one of them
 */
export async function refuseBusyTargets(
  queue: Pick<Queue, 'list'>,
  targets: ReadonlySet<string>,
  targetsOf: (payload: string) => ReadonlySet<string>,
): Promise<void> {
  const [experiments, loads] = await Promise.all([
    queue.list(kinds.experiments, mostOpen),
    queue.list(kinds.load, mostOpen),
  ]);
  const isOpen = ({ state }: { state: string }) => state === 'queued' || state === 'running';
  const all = [
    ...experiments.filter(isOpen).map(({ id, payload }) => ({ id, what: 'experiments', at: targetsOf(payload) })),
    ...loads.filter(isOpen).map(({ id, subject }) => ({ id, what: 'a load test', at: new Set([subject]) })),
  ];
  for (const { id, what, at } of all) {
    const shared = [...targets].find((target) => at.has(target));
    if (shared !== undefined)
      throw conflict(`${shared} is under load by ${what}, job ${id}: each would measure the other’s`, { job: id });
  }
}
