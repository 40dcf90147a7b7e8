import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manyRows } from '../../test/support/rows.ts';
import { type Load, load } from '../support/load.ts';
import { median, type Report } from '../support/report.ts';
import { deadMlflow, inDirectory, msUntil200, prepareCache, startScript, startTower } from '../support/towers.ts';

const rounds = 5;
const secondsPerRound = 2;
const connections = 8;

/** Requests per second and p99 of lists, compared with a bare route that sends the same bytes, interleaved. */
export async function benchThroughput(report: Report): Promise<void> {
  for (const [models, target] of [
    [200, 0.7],
    [2000, 0.9],
  ] as const) {
    const versions = models * 5;
    await inDirectory(async (directory) => {
      await prepareCache(directory, deadMlflow, manyRows(models, 5));
      const tower = await startTower(directory, { MLFLOW_TRACKING_URI: deadMlflow, MLFLOW_MAX_RETRIES: '0' });
      await msUntil200(`${tower.url}/models/all`, 0, tower);
      for (const path of ['/models', '/models/all']) {
        for (const encoding of ['', 'gzip']) {
          const headers = { 'accept-encoding': encoding === '' ? 'identity' : encoding };
          const file = join(directory, 'body');
          writeFileSync(file, await rawBody(`${tower.url}${path}`, headers));
          const rival = await startScript('bare-fastify.ts', encoding === '' ? [file] : [file, encoding]);
          await msUntil200(rival.url, 0, rival);
          const { ours, bare } = await inTurns(`${tower.url}${path}`, rival.url, headers);
          await rival.stop();
          const what = `${path} at ${versions} versions${encoding === '' ? '' : ', gzip'}`;
          const share = (ours.perSecond / bare.perSecond).toFixed(2);
          report.note(
            `${what} (${share}): ${Math.round(ours.perSecond)} requests/s, p99 ${ours.p99Ms.toFixed(2)} ms; bare ${Math.round(bare.perSecond)}, ${bare.p99Ms.toFixed(2)} ms`,
          );
          // Compressed bodies are a tenth of the size, so headers and limits dominate.
          if (encoding !== '') continue;
          report.atLeast(`${what}: requests/s, share of bare Fastify`, ours.perSecond / bare.perSecond, target);
          report.atLeast(`${what}: p99, bare Fastify's share of ours`, bare.p99Ms / ours.p99Ms, target);
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
      const measured = await load(who === 'ours' ? oursUrl : bareUrl, headers, connections, secondsPerRound);
      // The first round warms up both.
      if (round > 0) loads[who].push(measured);
    }
  }
  const middle = (list: Load[]): Load => ({
    perSecond: median(list.map((one) => one.perSecond)),
    p99Ms: median(list.map((one) => one.p99Ms)),
  });
  return { ours: middle(loads.ours), bare: middle(loads.bare) };
}

/** The bytes as transferred, still compressed. */
async function rawBody(url: string, headers: Record<string, string>): Promise<Buffer> {
  const { request } = await import('undici');
  const { body } = await request(url, { headers });
  return Buffer.from(await body.arrayBuffer());
}
