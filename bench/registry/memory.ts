import { median, type Report } from '../support/report.ts';
import { inDirectory, msUntil200, startScript, startTower } from '../support/towers.ts';

const models = 20_000;
const swaps = 5;
/** Node measures the time between two samples, so an idle loop shows the sampling interval. */
const samplingMs = 10;

/** Memory with 100,000 versions, and event loop blocks while a new snapshot is read, built, saved and swapped in. */
export async function benchMemory(report: Report): Promise<void> {
  await inDirectory(async (directory) => {
    const rival = await startScript('held-json.ts', [String(models)]);
    await msUntil200(rival.url, 0, rival);
    const { rss: bareRss } = (await (await fetch(rival.url)).json()) as { rss: number };
    await rival.stop();

    const mlflow = await startScript('big-mlflow.ts', [String(models)]);
    await msUntil200(`${mlflow.url}/x/experiments/search`, 0, mlflow);
    const tower = await startTower(directory, { MLFLOW_TRACKING_URI: mlflow.url });
    await msUntil200(`${tower.url}/readyz`, 0, tower);
    const afterSync = await metric(tower.url, 'process_resident_memory_bytes');
    const longest: number[] = [];
    for (let swap = 0; swap < swaps; swap += 1) {
      // Reading the metrics resets the measurement of the event loop.
      await metric(tower.url, 'nodejs_eventloop_lag_max_seconds');
      const answer = await fetch(`${tower.url}/cache/refresh`, { method: 'POST' });
      const { models_synced: synced } = (await answer.json()) as { models_synced: number };
      if (synced !== models * 5) throw new Error(`synced ${synced}: ${answer.status} ${tower.output()}`);
      const lagMs = (await metric(tower.url, 'nodejs_eventloop_lag_max_seconds')) * 1000;
      longest.push(lagMs - samplingMs);
    }
    const rss = await metric(tower.url, 'process_resident_memory_bytes');
    await tower.stop();
    await mlflow.stop();
    report.note(
      `100,000 versions: ${mb(afterSync)} after the first sync, ${mb(rss)} after ${swaps} swaps; bare Node with the same JSON ${mb(bareRss)}`,
    );
    report.atMost(
      'memory with 100,000 versions after five swaps, relative to bare Node holding the same JSON',
      rss / bareRss,
      3,
    );
    report.note(`longest hold of the event loop in each swap: ${longest.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    report.atMost(
      'longest hold of the event loop during a swap of 100,000 versions (median of five), ms',
      median(longest),
      50,
    );
  });
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

const mb = (bytes: number): string => `${Math.round(bytes / 1_000_000)} MB`;
