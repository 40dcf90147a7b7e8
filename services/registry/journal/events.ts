import { countOr, invalidParameter, moment } from '#kernel/query.ts';
import { createYielder } from '#kernel/yield-event-loop.ts';
import type { Store } from '#store/store.ts';
import type { Selectable, SelectQueryBuilder, Tables } from '#store/tables.ts';
import { type EventType, eventTypes } from './diff.ts';
import type { EventFilterQuery, EventQuery } from './event-schemas.ts';
import type { RegistryEvent } from './journal-events.ts';

/** Filter of events. An empty list of types = all types. */
export type EventFilter = { types: EventType[]; name: string | null; version: string | null; registry: string | null };

export type EventPage = { events: RegistryEvent[]; total: number; nextPageToken: string | null };

/** Reads of the journal: events of all registries of this store. */
export type Events = {
  /** Events of one registry, or of all (null). @throws `invalid` for a query that breaks a rule */
  list(query: EventQuery, registry?: string | null): Promise<EventPage>;
  /** Events with a greater id, oldest first. */
  after(id: number, limit: number): Promise<RegistryEvent[]>;
  /** Events that determine which version had a stage, of a model and its earlier names, oldest first. */
  ofModel(registry: string, name: string): Promise<RegistryEvent[]>;
  /** Current name of a model that once had this name; null if none did. */
  nameNow(registry: string, name: string): Promise<string | null>;
  /** The smallest and the largest id; null while there is none. `last` includes pruned events. */
  bounds(): Promise<{ first: number | null; last: number }>;
  /** When recording of a registry began, and its last recorded poll; null = never recorded. */
  span(registry: string): Promise<{ since: string; until: string } | null>;
  /** Deletes events older than `days`, and the oldest beyond `most` of those that are not about deployment. */
  prune(now: number, days: number, most: number): Promise<number>;
};

const defaultLimit = 100;
const maxEvents = 1000;

export function createEvents(store: Store): Events {
  return {
    list: (query, registry = null) => listEvents(store, query, registry),
    after: async (id, limit) => {
      const db = await store.db();
      const rows = await db
        .selectFrom('registry_events')
        .selectAll()
        .where('id', '>', id)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(eventOf);
    },
    ofModel: (registry, name) => eventsOfModel(store, registry, name),
    nameNow: async (registry, name) =>
      (await renamedAway(store, registry, name, Number.MAX_SAFE_INTEGER))?.name ?? null,
    bounds: async () => {
      const db = await store.db();
      const { first, last } = await db
        .selectFrom('registry_events')
        .select((at) => [at.fn.min('id').as('first'), at.fn.max('id').as('last')])
        .executeTakeFirstOrThrow();
      return { first, last: last ?? 0 };
    },
    span: async (registry) => {
      const db = await store.db();
      const row = await db
        .selectFrom('registry_journals')
        .selectAll()
        .where('registry', '=', registry)
        .executeTakeFirst();
      return row ? { since: row.recorded_since, until: row.read_at } : null;
    },
    prune: (now, days, limit) => prune(store, now, days, limit),
  };
}

async function listEvents(store: Store, query: EventQuery, registry: string | null): Promise<EventPage> {
  const limit = countOr('limit', query.limit, defaultLimit, maxEvents);
  const descending = parseOrder(query.order_by);
  const filter = parseFilter(query);
  const since = parseTime('since', query.since);
  const until = parseTime('until', query.until);
  const beyond = query.page_token === undefined ? null : parseToken(query.page_token);
  const db = await store.db();
  let wanted = db.selectFrom('registry_events');
  if (filter.types.length > 0) wanted = wanted.where('type', 'in', filter.types);
  if (registry !== null) wanted = wanted.where('registry', '=', registry);
  if (filter.name !== null) wanted = wanted.where('name', '=', filter.name);
  if (filter.version !== null) wanted = wanted.where('version', '=', filter.version);
  if (since !== null) wanted = wanted.where('observed_at', '>=', since);
  if (until !== null) wanted = wanted.where('observed_at', '<', until);
  const { total } = await wanted.select((at) => at.fn.countAll<number>().as('total')).executeTakeFirstOrThrow();
  let page = wanted
    .selectAll()
    .orderBy('id', descending ? 'desc' : 'asc')
    .limit(limit + 1);
  if (beyond !== null) page = page.where('id', descending ? '<' : '>', beyond);
  const rows = await page.execute();
  const events = rows.slice(0, limit).map(eventOf);
  const last = rows.length > limit ? events.at(-1) : undefined;
  return { events, total, nextPageToken: last ? Buffer.from(String(last.id)).toString('base64url') : null };
}

const turningTypes: EventType[] = [
  'registered_model.renamed',
  'model_version.created',
  'model_version.deleted',
  'model_version.stage_changed',
];

/** The last time before `until` that a model of this name was renamed. */
async function renamedAway(store: Store, registry: string, name: string, until: number) {
  const db = await store.db();
  return db
    .selectFrom('registry_events')
    .select(['id', 'name'])
    .where('registry', '=', registry)
    .where('type', '=', 'registered_model.renamed')
    .where('before', '=', JSON.stringify(name))
    .where('id', '<', until)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Follows renames back: events under an earlier name belong to this model. */
async function eventsOfModel(store: Store, registry: string, name: string): Promise<RegistryEvent[]> {
  const db = await store.db();
  const found: RegistryEvent[] = [];
  let until = Number.MAX_SAFE_INTEGER;
  for (let known: string | null = name; known !== null; ) {
    // An earlier holder of the name is another model.
    const since = await renamedAway(store, registry, known, until);
    const rows = await db
      .selectFrom('registry_events')
      .selectAll()
      .where('registry', '=', registry)
      .where('name', '=', known)
      .where('type', 'in', [...turningTypes])
      .where('id', '<', until)
      .where('id', '>', since?.id ?? 0)
      .orderBy('id', 'desc')
      .execute();
    known = null;
    for (const event of rows.map(eventOf)) {
      found.push(event);
      until = event.id;
      if (event.type !== 'registered_model.renamed') continue;
      known = String(event.before);
      break;
    }
  }
  return found.toReversed();
}

async function prune(store: Store, now: number, days: number, limit: number): Promise<number> {
  const db = await store.db();
  const before = new Date(now - days * 86_400_000).toISOString();
  const events = db.selectFrom('registry_events').select('id').orderBy('id');
  const old = await deleteInBatches(store, events.where('observed_at', '<', before));
  await db
    .updateTable('registry_journals')
    .set({ recorded_since: before })
    .where('recorded_since', '<', before)
    .execute();
  // Metrics of a busy registry change all day; the history of deployments must outlive them.
  const noise = db
    .selectFrom('registry_events')
    .select('id')
    .where('type', 'in', [...minorTypes]);
  const kept = await noise.orderBy('id', 'desc').offset(limit).limit(1).executeTakeFirst();
  return old + (kept ? await deleteInBatches(store, noise.where('id', '<=', kept.id)) : 0);
}

const deleteBatchSize = 2000;

/** Deletes in batches: one long statement would block all others. */
async function deleteInBatches(
  store: Store,
  ids: SelectQueryBuilder<Tables, 'registry_events', { id: number }>,
): Promise<number> {
  const db = await store.db();
  for (let total = 0; ; ) {
    const { numDeletedRows } = await db
      .deleteFrom('registry_events')
      .where('id', 'in', ids.limit(deleteBatchSize))
      .executeTakeFirst();
    total += Number(numDeletedRows);
    if (numDeletedRows < deleteBatchSize) return total;
    await createYielder().yieldNow();
  }
}

/** Changes that do not affect deployment. */
const minorTypes: EventType[] = [
  'registered_model.description_changed',
  'registered_model.tags_changed',
  'model_version.description_changed',
  'model_version.tags_changed',
  'model_version.metrics_changed',
];

/** @throws `invalid` with the parameter and its rule */
export function parseFilter({ type, name, version }: EventFilterQuery): EventFilter {
  const wanted = type === undefined ? [] : Array.isArray(type) ? type : [type];
  return {
    types: parseTypes(wanted, eventTypes, 'type'),
    name: name ?? null,
    version: version ?? null,
    registry: null,
  };
}

/** Expands first parts such as `model_version_alias`. @throws `invalid` with the parameter */
export const parseTypes = <Type extends string>(words: string[], known: readonly Type[], parameter: string): Type[] =>
  words.flatMap((word) => {
    const meant = known.filter((type) => type === word || type.startsWith(`${word}.`));
    if (meant.length === 0)
      throw invalidParameter(parameter, `must be one of ${known.join(', ')}, or the part before the dot`, word);
    return meant;
  });

export const passes = ({ types, name, version, registry }: EventFilter, event: RegistryEvent): boolean =>
  (registry === null || event.registry === registry) &&
  (types.length === 0 || types.includes(event.type)) &&
  (name === null || event.name === name) &&
  (version === null || event.version === version);

function parseOrder(text: string | undefined): boolean {
  const order = (text ?? 'id desc').trim().toLowerCase();
  if (order !== 'id desc' && order !== 'id asc' && order !== 'id')
    throw invalidParameter('order_by', 'must be id desc or id asc', order);
  return order === 'id desc';
}

/** A time in the journal's format. */
export const parseTime = (parameter: string, text: string | undefined): string | null =>
  text === undefined ? null : new Date(moment(parameter, text)).toISOString();

function parseToken(token: string): number {
  const text = Buffer.from(token, 'base64url').toString();
  if (!/^\d{1,15}$/.test(text)) throw invalidParameter('page_token', 'must be a token from a Link header', token);
  return Number(text);
}

const eventOf = (row: Selectable<Tables['registry_events']>): RegistryEvent => ({
  id: row.id,
  registry: row.registry,
  type: row.type as EventType,
  name: row.name,
  version: row.version,
  alias: row.alias,
  before: row.before === null ? null : JSON.parse(row.before),
  after: row.after === null ? null : JSON.parse(row.after),
  changedAt: row.changed_at,
  notBefore: row.not_before,
  observedAt: row.observed_at,
});
