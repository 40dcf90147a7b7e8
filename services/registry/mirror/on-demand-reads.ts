import type { Reading } from '#kernel/answers.ts';
import type { Clock } from '#kernel/clock.ts';
import { notFound, TowerError, unavailable } from '#kernel/errors.ts';
import { parseRunLimit } from '../lists/list-query.ts';
import { type Run, runInfo } from '../schemas.ts';
import type { MetricPoint, RegistrySource, RunDetail, Run as RunRead } from '../sources/source.ts';
import type { Mirror } from './mirror.ts';
import { createReadCache } from './read-cache.ts';

type Options = { cacheEnabled: boolean; readCacheMs: number; timeoutMs: number; clock: Clock };

/** Maximum length of a run list: each run has all its metrics, params and tags. */
const maxRuns = 1000;

/** Reads on demand from the source, cached. */
export function createOnDemandReads(options: Options, mirror: Mirror, stopping: AbortSignal) {
  const remember = {
    freshMs: options.cacheEnabled ? options.readCacheMs : 0,
    maxItems: 200_000,
    clock: options.clock,
    isDown: () => mirror.status().connection === 'disconnected',
  };
  /** A kind of read with its own cache; `key` identifies what is read. */
  const remembered = <T>() => {
    const reads = createReadCache<T>(remember);
    return (key: unknown, read: (source: RegistrySource, signal: AbortSignal) => Promise<T[]>) => {
      const source = mirror.source();
      const limit = () => AbortSignal.any([stopping, AbortSignal.timeout(options.timeoutMs)]);
      return reported(mirror, () => reads(JSON.stringify([source.fingerprint, key]), () => read(source, limit())));
    };
  };
  const [runs, points, logged] = [remembered<Run>(), remembered<MetricPoint>(), remembered<MetricPoint>()];
  const [details, tagged] = [remembered<RunDetail>(), remembered<RunRead>()];
  return {
    runs: async (experimentId: string, limitText: string | undefined) => {
      const count = parseRunLimit(limitText);
      checkExperiment(mirror, experimentId);
      // Only two lengths are read and cached, for any limit: a copy per limit would add up.
      const size = count <= 100 ? 100 : maxRuns;
      const reading = await runs([experimentId, size], async (source, signal) =>
        (await source.readRuns(experimentId, size, signal)).map(runInfo),
      );
      return { ...reading, value: reading.value.slice(0, count) };
    },
    history: (runIds: string[], metrics: string[]) =>
      points([runIds, metrics], (source, signal) => source.readHistory(runIds, metrics, signal)),
    loggedModel: (modelId: string) => logged(modelId, (source, signal) => source.readLoggedModel(modelId, signal)),
    runDetails: (runIds: string[]) => details(runIds, (source, signal) => source.readRunsById(runIds, signal)),
    taggedRuns: async (tags: Record<string, string>): Promise<Reading<RunRead[]> | null> => {
      const { readTaggedRuns } = mirror.source();
      return readTaggedRuns ? tagged(tags, (_source, signal) => readTaggedRuns(tags, signal)) : null;
    },
  };
}

/** A failed read marks the source as down; while it is down, no value is fresh. */
async function reported<T>(mirror: Mirror, read: () => Promise<Reading<T>>): Promise<Reading<T>> {
  try {
    const reading = await read();
    // A stale value in place of a failed read counts as a failure too.
    if (reading.stale) mirror.markUnreachable(unavailable('MLflow did not answer an on-demand read'));
    return { ...reading, stale: reading.stale || mirror.status().stale };
  } catch (error) {
    if (error instanceof TowerError && error.code === 'unavailable') mirror.markUnreachable(error);
    throw error;
  }
}

/** @throws `not_found` for an experiment that the mirror does not have */
function checkExperiment(mirror: Mirror, experimentId: string): void {
  const { snapshot } = mirror.status();
  if (!snapshot || snapshot.experiments.some((item) => item.experimentId === experimentId)) return;
  throw notFound(`Experiment ${JSON.stringify(experimentId)} not found in MLflow`, {
    parameter: 'experiment_id',
    value: experimentId,
  });
}
