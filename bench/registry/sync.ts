import { join } from 'node:path';
import { peerProgram, startMlflow } from '../../test/support/mlflow-server.ts';
import { openFor } from '../../test/support/open.ts';
import { fillMlflow } from '../support/fill-mlflow.ts';
import type { Report } from '../support/report.ts';
import { inDirectory } from '../support/towers.ts';

const models = 1000;
const versionsPerModel = 5;
const never = new AbortController().signal;

/**
 * A full sync of a real MLflow, compared with sequential reads: the model list, then one call per version. Both read
 * the same server in the same run.
 */
export async function benchSync(report: Report): Promise<void> {
  const program = peerProgram('mlflow3', 'mlflow');
  if (!program) throw new Error('this benchmark needs a real MLflow; .ci/run shows how to install it');
  await inDirectory(async (directory) => {
    const path = join(directory, 'mlflow.db');
    const server = await startMlflow(program, directory, `sqlite:///${path}`);
    try {
      fillMlflow(path, models, versionsPerModel);
      let calls = 0;
      const rest = openFor(server.url, {
        onCall: () => {
          calls += 1;
        },
      });
      await rest.readRuns('77', 1, never);
      calls = 0;
      const full = await timed(() => rest.readRegistry(null, never));
      const fullCalls = calls;
      calls = 0;
      const rows = full.value;
      if (rows?.versions.length !== models * versionsPerModel)
        throw new Error(`read ${rows?.versions.length} versions`);
      const nothingNew = await timed(() => rest.readRegistry({ rows, reread: async () => () => false }, never));
      const nothingNewCalls = calls;
      const file = openFor(`sqlite:///${path}`);
      await file.readRuns('77', 1, never);
      const direct = await timed(() => file.readRegistry(null, never));
      if (direct.value?.runs.length !== rows.runs.length) throw new Error('the file gave other runs');
      const oneByOne = await timed(() => readOneByOne(server.url));

      report.note(`one call per version: ${oneByOne.value} calls, ${seconds(oneByOne)}`);
      report.note(
        `full sync by REST: ${fullCalls} calls, ${seconds(full)}; with nothing new: ${nothingNewCalls} calls, ${seconds(nothingNew)}; by SQLite file: ${seconds(direct)}`,
      );
      report.atMost('full sync by REST: time, share of one call per version', full.ms / oneByOne.ms, 1 / 8);
      report.atMost('full sync by REST: calls, share of one call per version', fullCalls / oneByOne.value, 1 / 8);
      report.atMost('full sync by SQLite file: time, share of one call per version', direct.ms / oneByOne.ms, 1 / 100);
      report.atMost('refresh with nothing new: time, share of a full sync', nothingNew.ms / full.ms, 1 / 4);
      await rest.close();
      await file.close();
    } finally {
      await server.program.stop();
    }
  });
}

/** Sequential reads on one connection. @returns the number of calls */
async function readOneByOne(url: string): Promise<number> {
  const api = `${url}/api/2.0/mlflow`;
  const json = async (path: string) => (await (await fetch(`${api}/${path}`)).json()) as Record<string, unknown>;
  let calls = 1;
  await json('registered-models/search?max_results=1000');
  const found = await json('model-versions/search?max_results=10000');
  calls += 1;
  for (const version of found['model_versions'] as { run_id: string }[]) {
    await json(`runs/get?run_id=${version.run_id}`);
    calls += 1;
  }
  return calls;
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}

const seconds = ({ ms }: { ms: number }): string => `${(ms / 1000).toFixed(2)} s`;
