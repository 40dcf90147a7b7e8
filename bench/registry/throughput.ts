import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { manyRows } from '../../test/support/rows.ts';
import { median, type Report } from '../support/report.ts';
import { deadMlflow, inFolder, msUntil200, prepareCache, startScript, startTower } from '../support/towers.ts';

const rounds = 5;
const secondsPerRound = 2;
const connections = 8;

type Load = { perSecond: number; p99: number };

/** Requests per second and p99 of lists against a bare route that sends the same bytes, taken in turns. */
export async function benchThroughput(report: Report): Promise<void> {
  for (const [models, target] of [
    [200, 0.7],
    [2000, 0.9],
  ] as const) {
    const versions = models * 5;
    await inFolder(async (folder) => {
      await prepareCache(folder, deadMlflow, manyRows(models, 5));
      const tower = await startTower(folder, { MLFLOW_TRACKING_URI: deadMlflow, MLFLOW_MAX_RETRIES: '0' });
      await msUntil200(`${tower.url}/models/all`, 0, tower);
      for (const path of ['/models', '/models/all']) {
        for (const encoding of ['', 'gzip']) {
          const headers = { 'accept-encoding': encoding === '' ? 'identity' : encoding };
          const file = join(folder, 'body');
          writeFileSync(file, await rawBody(`${tower.url}${path}`, headers));
          const rival = await startScript('bare-fastify.ts', encoding === '' ? [file] : [file, encoding]);
          await msUntil200(rival.url, 0, rival);
          const { ours, bare } = await inTurns(`${tower.url}${path}`, rival.url, headers);
          await rival.stop();
          const what = `${path} at ${versions} versions${encoding === '' ? '' : ', gzip'}`;
          report.note(
            `${what}: ${Math.round(ours.perSecond)} requests/s, p99 ${ours.p99} ms; bare ${Math.round(bare.perSecond)}, ${bare.p99} ms`,
          );
          report.atLeast(`${what}: requests/s, share of bare Fastify`, ours.perSecond / bare.perSecond, target);
          report.atLeast(`${what}: p99, bare Fastify's share of ours`, bare.p99 / ours.p99, target);
        }
      }
      await tower.stop();
    });
  }
}

async function inTurns(
  oursUrl: string,
  bareUrl: string,
  headers: Record<string, string>,
): Promise<{ ours: Load; bare: Load }> {
  const loads: { ours: Load[]; bare: Load[] } = { ours: [], bare: [] };
  for (let round = 0; round <= rounds; round += 1) {
    const order = round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const);
    for (const who of order) {
      const load = await loadOn(who === 'ours' ? oursUrl : bareUrl, headers);
      // The first round warms both up.
      if (round > 0) loads[who].push(load);
    }
  }
  const middle = (list: Load[]): Load => ({
    perSecond: median(list.map((load) => load.perSecond)),
    p99: median(list.map((load) => load.p99)),
  });
  return { ours: middle(loads.ours), bare: middle(loads.bare) };
}

async function loadOn(url: string, headers: Record<string, string>): Promise<Load> {
  const result = await autocannon({ url, headers, connections, duration: secondsPerRound });
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} refusals, ${result.errors} errors`);
  return { perSecond: result.requests.total / result.duration, p99: result.latency.p99 };
}

/** The bytes as they go over the wire, still compressed. */
async function rawBody(url: string, headers: Record<string, string>): Promise<Buffer> {
  const { request } = await import('undici');
  const { body } = await request(url, { headers });
  return Buffer.from(await body.arrayBuffer());
}
