import { parseTime } from '#kernel/time-text.ts';
import { labelOf } from '../storage/keys.ts';
import { durationMs, SyntaxFault } from './parse.ts';
import type { Answer, Promql } from './promql.ts';
import type { SeriesQuery } from './schemas.ts';

/** Parses the parameters of Prometheus clients. */

type Range = { query: string; start: string; end: string; step: string };

export type PromqlRequests = ReturnType<typeof createPromqlRequests>;

export function createPromqlRequests(promql: Promql) {
  const selectors = (query: SeriesQuery): string[] => [query['match[]'] ?? []].flat();
  const labelSets = (query: SeriesQuery) => promql.series(selectors(query));
  return {
    /** @throws SyntaxFault, Unsupported, Impossible */
    instant: (now: number, { query, time }: { query: string; time?: string | undefined }): Promise<Answer> =>
      promql.query(query, time === undefined ? now : timeMs('time', time)),
    /** @throws SyntaxFault, Unsupported, Impossible */
    range: async ({ query, start, end, step }: Range): Promise<Answer> => {
      const stepMs = durationMs(step);
      if (!(stepMs > 0))
        throw new SyntaxFault('zero or negative query resolution step widths are not accepted. Try a positive integer');
      return promql.queryRange(query, { start: timeMs('start', start), end: timeMs('end', end) }, stepMs);
    },
    /** @throws SyntaxFault, Unsupported */
    series: async (query: SeriesQuery): Promise<Record<string, string>[]> => {
      if (selectors(query).length === 0) throw new SyntaxFault('no match[] parameter provided');
      return labelSets(query);
    },
    labelNames: async (query: SeriesQuery): Promise<string[]> =>
      [...new Set((await labelSets(query)).flatMap(Object.keys))].sort(),
    labelValues: async (name: string, query: SeriesQuery): Promise<string[]> =>
      [
        ...new Set((await labelSets(query)).map((labels) => labelOf(labels, name)).filter((value) => value !== '')),
      ].sort(),
  };
}

/** Seconds, or RFC 3339; clamped to the range of dates. */
function timeMs(parameter: string, text: string): number {
  const ms = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Math.round(Number(text) * 1000) : parseTime(text);
  if (Number.isNaN(ms))
    throw new SyntaxFault(`invalid parameter "${parameter}": cannot parse "${text}" to a valid timestamp`);
  return Math.max(-8.64e15, Math.min(8.64e15, ms));
}
