import { manyRows } from '../../test/support/rows.ts';
import { median, type Report } from '../support/report.ts';
import { deadMlflow, inDirectory, msUntil200, prepareCache, startScript, startTower } from '../support/towers.ts';

const rounds = 9;

/** Time from process start to the first 200 of /models/all, with 10,000 cached versions and MLflow down. */
export async function benchStart(report: Report): Promise<void> {
  await inDirectory(async (directory) => {
    await prepareCache(directory, deadMlflow, manyRows(2000, 5));
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const towerStart = performance.now();
      const tower = await startTower(directory, { MLFLOW_TRACKING_URI: deadMlflow, MLFLOW_MAX_RETRIES: '0' });
      const towerMs = await msUntil200(`${tower.url}/models/all`, towerStart, tower);
      await tower.stop();
      const rivalStart = performance.now();
      const rival = await startScript('bare-fastify.ts');
      const rivalMs = await msUntil200(rival.url, rivalStart, rival);
      await rival.stop();
      // The first round fills the file cache and Node's compile cache.
      if (round > 0) {
        ours.push(towerMs);
        bare.push(rivalMs);
      }
    }
    report.note(
      `start to first 200: ${median(ours).toFixed(0)} ms, an empty Fastify server ${median(bare).toFixed(0)} ms`,
    );
    report.atMost(
      'start to first 200 on /models/all with 10,000 cached versions, × the start of an empty Fastify server',
      median(ours) / median(bare),
      2.5,
    );
  });
}
