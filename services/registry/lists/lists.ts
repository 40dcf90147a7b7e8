import { createHash } from 'node:crypto';
import type { ListAnswer } from '#kernel/answers.ts';
import { createYielder, forEachYielding } from '#kernel/yield-event-loop.ts';
import { Experiment, experiment, ModelInfo, type ModelListQuery, modelInfo } from '../schemas.ts';
import type { ExperimentRow, ModelVersion } from '../snapshot/snapshot.ts';
import { type AliasTable, effectiveStage } from '../snapshot/stages.ts';
import { type ListKind, parseListQuery } from './list-query.ts';

const cachedBytesLimit = 128 * 1024 * 1024;
const cachedAnswersLimit = 64;
const itemsPerChunk = 250;

type CacheEntry = { answer: Promise<ListAnswer>; bytes: number };

/** Answers list queries over immutable arrays; answers are cached as long as their array lives. */
export function createLists(maxLimit: number, aliasTable: AliasTable) {
  const versionKind = versionsAs(aliasTable);
  const keptOf = new WeakMap<object, Map<string, CacheEntry>>();

  const answer = <Item>(items: readonly Item[], query: ModelListQuery, kind: ListKind<Item>): Promise<ListAnswer> => {
    const kept = keptOf.get(items) ?? new Map<string, CacheEntry>();
    keptOf.set(items, kept);
    const key = JSON.stringify(query);
    const same = kept.get(key);
    if (same) return same.answer;
    const fresh: CacheEntry = { answer: makeAnswer(items, query, kind, maxLimit), bytes: 0 };
    kept.set(key, fresh);
    fresh.answer.then(
      ({ json }) => {
        fresh.bytes = json.byteLength;
        forgetOldest(kept);
      },
      () => kept.delete(key),
    );
    return fresh.answer;
  };

  return {
    versions: (items: readonly ModelVersion[], query: ModelListQuery) => answer(items, query, versionKind),
    experiments: (items: readonly ExperimentRow[], query: ModelListQuery) => answer(items, query, experimentKind),
  };
}

/** Bounds the cache of answers; always keeps the newest. */
function forgetOldest(kept: Map<string, CacheEntry>): void {
  let bytes = [...kept.values()].reduce((sum, item) => sum + item.bytes, 0);
  for (const [key, item] of kept) {
    if ((bytes <= cachedBytesLimit && kept.size <= cachedAnswersLimit) || kept.size === 1) return;
    kept.delete(key);
    bytes -= item.bytes;
  }
}

async function makeAnswer<Item>(
  items: readonly Item[],
  query: ModelListQuery,
  kind: ListKind<Item>,
  maxLimit: number,
): Promise<ListAnswer> {
  const { limit, matches, compare, isAfter, tokenAfter, toJson } = parseListQuery(query, kind, maxLimit);
  const matching: Item[] = [];
  await forEachYielding(items, (item) => {
    if (matches(item)) matching.push(item);
  });
  // Arrays of a snapshot are already in the default order.
  if (query.order_by !== undefined) matching.sort(compare);
  const from = isAfter ? matching.findIndex(isAfter) : 0;
  const page = from < 0 ? [] : matching.slice(from, from + limit);
  const last = page.at(-1);
  const more = last !== undefined && from + page.length < matching.length;
  const json = await jsonArray(page, toJson);
  const tag = createHash('sha1').update(json).digest('base64url');
  return { json, tag, total: matching.length, nextPageToken: more ? tokenAfter(last) : null };
}

async function jsonArray<Item>(items: Item[], toJson: (item: Item) => unknown): Promise<Buffer> {
  const yielder = createYielder();
  const chunks: Buffer[] = [];
  for (let from = 0; from < items.length; from += itemsPerChunk) {
    if (yielder.due()) await yielder.yieldNow();
    const text = JSON.stringify(items.slice(from, from + itemsPerChunk).map(toJson));
    chunks.push(Buffer.from(`${from === 0 ? '[' : ','}${text.slice(1, -1)}`));
  }
  return items.length === 0 ? Buffer.from('[]') : Buffer.concat([...chunks, Buffer.from(']')]);
}

const versionsAs = (aliasTable: AliasTable): ListKind<ModelVersion> => ({
  name: (item) => item.name,
  key: (item) => [item.registry === undefined ? item.name : `${item.name}\n${item.registry}`, Number(item.version)],
  defaultOrder: 'name',
  tags: (item) => item.tags,
  metrics: (item) => item.metrics,
  hasMetrics: true,
  aliases: (item) => item.aliases,
  stage: (item, by) => {
    if (by === 'stage') return item.currentStage;
    return by === 'alias' ? effectiveStage('None', item.aliases, aliasTable).stage : item.stage;
  },
  sortKeys: {
    name: (item) => item.name,
    version: (item) => Number(item.version),
    stage: (item) => item.stage,
    creation_timestamp: (item) => item.createdAt,
    last_updated_timestamp: (item) => item.updatedAt,
  },
  fields: Object.keys(ModelInfo.shape),
  toJson: modelInfo,
});

const experimentKind: ListKind<ExperimentRow> = {
  name: (item) => item.name,
  key: (item) => [`${item.experimentId.padStart(20, '0')}${item.registry ?? ''}`, 0],
  defaultOrder: 'experiment_id',
  tags: (item) => item.tags,
  metrics: () => ({}),
  hasMetrics: false,
  aliases: () => [],
  stage: () => null,
  sortKeys: {
    experiment_id: (item) => item.experimentId.padStart(20, '0'),
    name: (item) => item.name,
    creation_time: (item) => item.createdAt,
    last_update_time: (item) => item.updatedAt,
  },
  fields: Object.keys(Experiment.shape),
  toJson: experiment,
};
