import { setTimeout as pause } from 'node:timers/promises';
import type { Report } from '../support/report.ts';
import { inDirectory, msUntil200, rssMiB, startTower } from '../support/towers.ts';

/** Five minutes of mixed load with a heap of 256 MB: memory is flat, every answer is one that is expected. */
export const soak = (report: Report): Promise<void> =>
  inDirectory(async (directory) => {
    const env = {
      NODE_OPTIONS: '--max-old-space-size=256',
      RATE_LIMIT_RECORD_PER_MINUTE: '10000000',
      RATE_LIMIT_POINTS_PER_MINUTE: '1000000000',
    };
    const tower = await startTower(directory, env);
    try {
      await msUntil200(`${tower.url}/readyz`, performance.now(), tower);
      const sizes: number[] = [];
      const unexpected = new Set<string>();
      const until = performance.now() + 300_000;
      const client = async (seed: number) => {
        for (let i = 0; performance.now() < until; i += 1) {
          const [path, init] = requests[(seed + i) % requests.length]!(i);
          const { status } = await fetch(tower.url + path, init);
          if (status >= 400) unexpected.add(`${path.split('?')[0]} ${status}`);
        }
      };
      const clients = Promise.all([0, 1, 2, 3].map(client));
      while (performance.now() < until) {
        await pause(5_000);
        sizes.push(rssMiB(tower.child.pid!).now);
      }
      await clients;
      const minute = (from: number) => Math.max(...sizes.slice(from, from + 12));
      report.note(
        `RSS by minute: ${[0, 12, 24, 36, 48].map(minute).join(', ')} MiB; ${[...unexpected].join(', ') || 'no unexpected answer'}`,
      );
      report.atMost('soak: kinds of unexpected answers', unexpected.size, 0);
      report.atMost('soak: peak RSS of the last minute, relative to the second', minute(48) / minute(12), 1.15);
    } finally {
      await tower.stop();
    }
  });

type Request = (i: number) => [path: string, init?: RequestInit];
const requests: Request[] = [
  () => ['/models?limit=100'],
  () => ['/metrics'],
  () => ['/health'],
  (i) => [
    '/prometheus/api/v1/import/prometheus',
    {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: `load{instance="n${i % 50}"} ${i}\n`.repeat(50),
    },
  ],
  () => ['/prometheus/api/v1/query?query=sum(load)'],
  () => ['/api/v1/analytics/aggregate?metric=load&granularity=minute'],
  () => ['/dashboard/summary'],
  () => ['/openapi.json'],
];
