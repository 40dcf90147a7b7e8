import { describe, expect, it, vi } from 'vitest';
import { createEvents } from '#services/registry/journal/events.ts';
import { createEventStream } from '#services/registry/journal/stream.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { journalIn } from '../../../support/journal.ts';
import { versionRow } from '../../../support/rows.ts';
import { noSignal, settle } from '../../../support/sources.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

/** A registry with one model of `count` aliases. */
const withAliases = (count: number): RegistryRows => ({
  experiments: [],
  models: [
    {
      name: 'DNA',
      createdAt: 1,
      updatedAt: 1,
      description: '',
      tags: {},
      aliases: Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${String(i + 1).padStart(4, '0')}`, '1'])),
    },
  ],
  versions: [versionRow({ name: 'DNA' })],
  runs: [],
  loggedModels: [],
  serverVersion: null,
});

async function streaming(maxClients = 10) {
  const directory = temporaryDirectory();
  let publish: (events: never[]) => void = () => undefined;
  const journal = journalIn(directory, { onEvents: (events) => publish(events as never[]) });
  const events = createEvents(journal.store);
  const stream = createEventStream({ events, maxClients });
  publish = stream.publish;
  await journal.look(withAliases(0));
  return { ...journal, stream, events };
}

const idsIn = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));

/** Reads frames until the events with these ids have arrived. */
async function readIds(frames: AsyncGenerator<string>, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) ids.push(...idsIn(String((await frames.next()).value)));
  return ids;
}

describe('the event stream', () => {
  it('sends frames with id, type and data for new events', async () => {
    const { look, stream } = await streaming();
    await look(withAliases(1));
    const frames = await stream.open({}, null, undefined, noSignal);
    expect((await frames.next()).value).toBe('retry: 3000\n\n');
    const next = frames.next();
    await look(withAliases(2));
    expect((await next).value).toMatch(
      /^id: 2\nevent: model_version_alias\.created\ndata: \{"id":2,"type":"model_version_alias.created","registry":"default","name":"DNA","version":"1","alias":"a0002",.*\}\n\n$/,
    );
  });

  it('resumes after Last-Event-ID without loss or duplicates', async () => {
    const { look, stream } = await streaming();
    for (let count = 1; count <= 5; count += 1) await look(withAliases(count));
    const frames = await stream.open({}, null, '2', noSignal);
    await frames.next();
    expect(await readIds(frames, 3)).toEqual([3, 4, 5]);
    const next = readIds(frames, 1);
    await look(withAliases(6));
    expect(await next).toEqual([6]);
  });

  it('serves slow clients from the journal', async () => {
    const { look, stream } = await streaming();
    const frames = await stream.open({}, null, '0', noSignal);
    await frames.next();
    await look(withAliases(2500));
    expect(await readIds(frames, 2500)).toEqual(Array.from({ length: 2500 }, (_, i) => i + 1));
  });

  it('filters events', async () => {
    const { look, stream } = await streaming();
    const frames = await stream.open({ type: 'model_version_alias.deleted' }, null, '0', noSignal);
    await frames.next();
    const next = frames.next();
    await look(withAliases(1));
    await look(withAliases(0));
    expect(String((await next).value)).toMatch(/^id: 2\nevent: model_version_alias\.deleted\n/);
  });

  it('reports expired events as a gap', async () => {
    const { look, stream, events } = await streaming();
    for (let count = 1; count <= 3; count += 1) await look(withAliases(count));
    await events.prune(Date.UTC(2026, 10, 20, 0, 3) + 86_400_000, 1, 100);
    const frames = await stream.open({}, null, '1', noSignal);
    expect((await frames.next()).value).toBe('retry: 3000\n\n');
    expect((await events.bounds()).first).toBe(2);
    expect(await readIds(frames, 2)).toEqual([2, 3]);
    const late = await (async () => {
      await events.prune(Date.UTC(2027, 10, 20), 1, 100);
      await look(withAliases(4));
      const again = await stream.open({}, null, '1', noSignal);
      return String((await again.next()).value);
    })();
    expect(late).toBe(
      'retry: 3000\n\nevent: gap\ndata: {"after_id":1,"before_id":4,"reason":"the missed events have expired"}\n\n',
    );
  });

  it('reports an unknown id, and continues with new events', async () => {
    const { look, stream } = await streaming();
    await look(withAliases(1));
    const frames = await stream.open({}, null, '500', noSignal);
    expect((await frames.next()).value).toContain('event: gap\ndata: {"after_id":500,"before_id":2');
    const next = readIds(frames, 1);
    await look(withAliases(2));
    expect(await next).toEqual([2]);
  });

  it('counts concurrent clients at once', async () => {
    const { stream } = await streaming(3);
    const opened = await Promise.allSettled(
      Array.from({ length: 10 }, () => stream.open({}, null, undefined, noSignal)),
    );
    expect(opened.filter((item) => item.status === 'fulfilled')).toHaveLength(3);
  });

  it('sends events of another instance once and in order, despite rollbacks', async () => {
    const { stream, events, look, store } = await streaming();
    await look(withAliases(1));
    const frames = await stream.open({}, null, undefined, noSignal);
    await frames.next();
    const first = frames.next();
    await look(withAliases(2));
    expect(idsIn(String((await first).value))).toHaveLength(1);
    const [{ id: last } = { id: 0 }] = (await events.list({ limit: '1' })).events;
    /** Events a waiting client gets when the stream polls twice at once. */
    const caughtUp = async (frame: Promise<IteratorResult<string>>) => {
      let ids: number[] = [];
      void frame.then(({ value }) => {
        ids = idsIn(String(value));
      });
      await vi.waitFor(async () => {
        await Promise.all([stream.catchUp(), stream.catchUp()]);
        expect(ids).not.toEqual([]);
      });
      return ids;
    };
    const waiting = frames.next();
    const row = { registry: 'default', type: 'registered_model.created', name: 'other', version: null, alias: null };
    const rest = { before: null, after: null, changed_at: null, not_before: '2026', observed_at: '2026' };
    const db = await store.db();
    const write = (id: number) =>
      db
        .insertInto('registry_events')
        .values({ id, ...row, ...rest })
        .execute();
    await write(last + 1);
    expect(await caughtUp(waiting)).toEqual([last + 1]);
    const next = frames.next();
    await write(last + 3);
    expect(await caughtUp(next)).toEqual([last + 3]);
    const late = await stream.open({}, null, String(last), noSignal);
    await late.next();
    expect(await readIds(late, 2)).toEqual([last + 1, last + 3]);
  });

  it('ends with its client and at shutdown, and frees the place', async () => {
    const { stream } = await streaming(1);
    const client = new AbortController();
    const frames = await stream.open({}, null, undefined, client.signal);
    await frames.next();
    await expect(stream.open({}, null, undefined, noSignal)).rejects.toThrow('the maximum of 1 stream clients');
    const last = frames.next();
    await settle();
    client.abort();
    expect((await last).done).toBe(true);
    expect(stream.clients()).toBe(0);
    const another = await stream.open({}, null, undefined, noSignal);
    await another.next();
    const end = another.next();
    await settle();
    stream.stop();
    expect((await end).done).toBe(true);
  });
});
