import { describe, expect, it } from 'vitest';
import { createEvents } from '#services/registry/journal/events.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { eventSummary, journalIn } from '../../../support/journal.ts';
import { modelRow, runRow, versionRow } from '../../../support/rows.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

function rowsOf(
  models: RegistryRows['models'],
  versions: RegistryRows['versions'],
  runs: RegistryRows['runs'] = [],
): RegistryRows {
  return { experiments: [], models, versions, runs, loggedModels: [], serverVersion: null };
}

const dna = (more: Partial<RegistryRows['models'][number]> = {}) => modelRow('DNA', more);
const v = (version: string, more: Partial<RegistryRows['versions'][number]> = {}) =>
  versionRow({ name: 'DNA', version, createdAt: 1000 + Number(version), ...more });

describe('changes between two polls', () => {
  const first = rowsOf(
    [dna({ aliases: { champion: '1' } })],
    [v('1', { runId: 'a' }), v('2')],
    [runRow({ runId: 'a', metrics: { acc: 1 } })],
  );

  it('the first poll makes no events and starts the recording', async () => {
    const { look, store } = journalIn(temporaryDirectory());
    expect(await look(first)).toEqual([]);
    expect(await createEvents(store).span('default')).toEqual({
      since: '2026-11-20T00:01:00.000Z',
      until: '2026-11-20T00:01:00.000Z',
    });
  });

  it.each([
    ['nothing', first, []],
    [
      'a new model',
      rowsOf([...first.models, modelRow('New', { createdAt: 5 })], first.versions, first.runs),
      ['registered_model.created New'],
    ],
    ['a new version', rowsOf(first.models, [...first.versions, v('3')], first.runs), ['model_version.created DNA v3']],
    [
      'a stage',
      rowsOf(
        first.models,
        [v('1', { runId: 'a' }), v('2', { currentStage: 'Staging', updatedAt: 77_000 })],
        first.runs,
      ),
      [
        'model_version.stage_changed DNA v2 {"stage":"None","current_stage":"None","stage_source":"none"} -> {"stage":"Staging","current_stage":"Staging","stage_source":"stage"}',
      ],
    ],
    [
      'an alias that moves, and with it who is in production',
      rowsOf([dna({ aliases: { champion: '2' } })], first.versions, first.runs),
      [
        'model_version.stage_changed DNA v1 {"stage":"Production","current_stage":"None","stage_source":"alias"} -> {"stage":"None","current_stage":"None","stage_source":"none"}',
        'model_version.stage_changed DNA v2 {"stage":"None","current_stage":"None","stage_source":"none"} -> {"stage":"Production","current_stage":"None","stage_source":"alias"}',
        'model_version_alias.moved DNA v2 @champion "1" -> "2"',
      ],
    ],
    [
      'descriptions, tags and a status',
      rowsOf(
        [dna({ aliases: { champion: '1' }, description: 'd', tags: { team: 'x' } })],
        [v('1', { runId: 'a', tags: { ok: 'yes' } }), v('2', { description: 'e', status: 'FAILED_REGISTRATION' })],
        first.runs,
      ),
      [
        'registered_model.description_changed DNA "" -> "d"',
        'registered_model.tags_changed DNA {} -> {"team":"x"}',
        'model_version.tags_changed DNA v1 {} -> {"ok":"yes"}',
        'model_version.status_changed DNA v2 "READY" -> "FAILED_REGISTRATION"',
        'model_version.description_changed DNA v2 "" -> "e"',
      ],
    ],
    [
      'metrics',
      rowsOf(first.models, first.versions, [runRow({ runId: 'a', metrics: { acc: null, f1: 2 } })]),
      ['model_version.metrics_changed DNA v1 {"acc":1} -> {"acc":null,"f1":2}'],
    ],
    [
      'a new name',
      rowsOf(
        [modelRow('RNA', { createdAt: first.models[0]?.createdAt ?? 0, aliases: { champion: '1' } })],
        first.versions.map((row) => ({ ...row, name: 'RNA' })),
        first.runs,
      ),
      ['registered_model.renamed RNA "DNA" -> "RNA"'],
    ],
    [
      'another model of the same name, made anew',
      rowsOf([dna({ createdAt: 9 })], [v('1', { createdAt: 9 })]),
      [
        'model_version.deleted DNA v1',
        'model_version.deleted DNA v2',
        'model_version_alias.deleted DNA v1 @champion "1" -> null',
        'registered_model.deleted DNA',
        'registered_model.created DNA',
        'model_version.created DNA v1',
      ],
    ],
  ])('%s', async (_what, rows, expected) => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    expect((await look(rows)).map(eventSummary)).toEqual(expected);
    expect(await look(rows)).toEqual([]);
  });

  it("a change has MLflow's time if recorded, and the two polls around it", async () => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    const updatedAt = Date.UTC(2026, 10, 20, 0, 1, 30);
    const [event] = await look(
      rowsOf(first.models, [v('1', { runId: 'a' }), v('2', { currentStage: 'Staging', updatedAt })], first.runs),
    );
    expect(event).toMatchObject({
      changedAt: '2026-11-20T00:01:30.000Z',
      notBefore: '2026-11-20T00:01:00.000Z',
      observedAt: '2026-11-20T00:02:00.000Z',
    });
  });

  it('a version missing once is kept; missing twice it is deleted', async () => {
    const { look, journal } = journalIn(temporaryDirectory());
    const without = rowsOf(first.models, [v('1', { runId: 'a' })], first.runs);
    await look(first);
    expect(await look(without)).toEqual([]);
    expect(journal.isUncertain()).toBe(true);
    expect(await look(first)).toEqual([]);
    expect(await look(without)).toEqual([]);
    expect((await look(without)).map(eventSummary)).toEqual(['model_version.deleted DNA v2']);
    expect(journal.isUncertain()).toBe(false);
  });

  it('a server that lists versions without their model does not change the model', async () => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    expect(await look(rowsOf([], first.versions, first.runs))).toEqual([]);
    expect(await look(first)).toEqual([]);
  });

  it('a deleted version has an event between its last poll and the next; its alias ends first', async () => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    const moved = rowsOf([dna({ aliases: { champion: '2' } })], [v('2')], first.runs);
    expect((await look(moved)).map((event) => `${event.type} ${event.version}`)).toEqual([
      'model_version.stage_changed 1',
      'model_version.stage_changed 2',
      'model_version_alias.moved 2',
    ]);
    expect(await look(moved)).toMatchObject([
      {
        type: 'model_version.deleted',
        version: '1',
        notBefore: '2026-11-20T00:01:00.000Z',
        observedAt: '2026-11-20T00:03:00.000Z',
      },
    ]);
  });

  it('a model first seen by its version is one model', async () => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    const early = rowsOf(first.models, [...first.versions, v('1', { name: 'New', createdAt: 2001 })], first.runs);
    expect((await look(early)).map(eventSummary)).toEqual([
      'registered_model.created New',
      'model_version.created New v1',
    ]);
    const late = rowsOf([...first.models, modelRow('New', { createdAt: 2000 })], early.versions, first.runs);
    expect(await look(late)).toEqual([]);
  });

  it('versions of a server that lists no models have events', async () => {
    const { look } = journalIn(temporaryDirectory());
    await look(first);
    const promoted = rowsOf([], [v('1', { runId: 'a' }), v('2', { currentStage: 'Production' })], first.runs);
    expect((await look(promoted)).map((event) => `${event.type} ${event.version}`)).toEqual([
      'model_version.stage_changed 2',
    ]);
  });

  it('a poll of one model does not change the others', async () => {
    const { look } = journalIn(temporaryDirectory());
    const other = modelRow('Other', { createdAt: 3 });
    const both = rowsOf([...first.models, other], first.versions, first.runs);
    await look(both);
    const lost = rowsOf(first.models, first.versions, first.runs);
    expect(await look(lost)).toEqual([]);
    const moved = rowsOf([dna({ aliases: { champion: '1', shadow: '2' } })], first.versions, first.runs);
    const only = new Set(['DNA']);
    expect((await look(moved, only)).map(eventSummary)).toEqual([
      'model_version_alias.created DNA v2 @shadow null -> "2"',
    ]);
    expect(await look(moved, only)).toEqual([]);
    expect((await look(moved)).map(eventSummary)).toEqual(['registered_model.deleted Other']);
  });
});

describe('a poll of a renamed model', () => {
  it('leaves the detection of a rename to a full poll', async () => {
    const { look, journal } = journalIn(temporaryDirectory());
    await look(rowsOf([dna()], [v('1')]));
    const renamed = rowsOf([modelRow('RNA', { createdAt: 1003 })], [v('1', { name: 'RNA' })]);
    const both = rowsOf([dna(), ...renamed.models], [v('1'), ...renamed.versions]);
    expect(await look(both, new Set(['RNA']))).toEqual([]);
    expect(journal.isUncertain()).toBe(true);
    expect((await look(renamed)).map(eventSummary)).toEqual(['registered_model.renamed RNA "DNA" -> "RNA"']);
    const fresh = rowsOf([...renamed.models, modelRow('New', { createdAt: 5000 })], renamed.versions);
    expect((await look(fresh, new Set(['New']))).map(eventSummary)).toEqual(['registered_model.created New']);
  });
});

describe('the journal across restarts', () => {
  const one = rowsOf([dna()], [v('1')]);
  const two = rowsOf([dna({ aliases: { a: '1' } })], [v('1')]);
  const three = rowsOf([dna({ aliases: { a: '1', b: '1' } })], [v('1')]);

  it('continues after the last transaction', async () => {
    const directory = temporaryDirectory();
    const before = journalIn(directory);
    await before.look(one);
    expect(await before.look(two)).toHaveLength(1);
    const after = journalIn(directory);
    expect((await after.look(three)).map(eventSummary)).toEqual(['model_version_alias.created DNA v1 @b null -> "1"']);
  });

  it('restarts for another source without events', async () => {
    const directory = temporaryDirectory();
    await journalIn(directory).look(two);
    const other = journalIn(directory, { source: () => 'another' });
    expect(await other.look(three)).toEqual([]);
    expect(await other.look(three)).toEqual([]);
    expect((await other.look(two)).map(eventSummary)).toEqual(['model_version_alias.deleted DNA v1 @b "1" -> null']);
  });

  it('records each change once with two instances on one directory', async () => {
    const directory = temporaryDirectory();
    const [a, b] = [journalIn(directory), journalIn(directory)];
    await a.look(one);
    expect(await b.look(one)).toEqual([]);
    expect(await a.look(two)).toHaveLength(1);
    expect(await b.look(two)).toEqual([]);
    expect(await b.look(three)).toHaveLength(1);
    expect(await a.look(three)).toEqual([]);
  });

  it('restarts an interrupted first recording without events', async () => {
    const directory = temporaryDirectory();
    const cut = journalIn(directory);
    await cut.look(two);
    await (await cut.store.db()).deleteFrom('registry_journals').execute();
    const after = journalIn(directory);
    expect(await after.look(one)).toEqual([]);
    expect((await after.look(two)).map(eventSummary)).toEqual(['model_version_alias.created DNA v1 @a null -> "1"']);
  });

  it('records a change at the next poll if writing failed, without duplicates', async () => {
    const directory = temporaryDirectory();
    let broken = false;
    const { look, journal, store, logText } = journalIn(directory, {
      enqueue: async () => {
        if (broken) throw new Error('disk full');
      },
    });
    await look(one);
    broken = true;
    expect(await look(two)).toEqual([]);
    expect(journal.lastError()).toBe('disk full');
    expect(logText()).toContain('failed to journal changes');
    broken = false;
    expect((await look(three)).map(eventSummary)).toEqual([
      'model_version_alias.created DNA v1 @a null -> "1"',
      'model_version_alias.created DNA v1 @b null -> "1"',
    ]);
    expect(journal.lastError()).toBeNull();
    const kept = (await createEvents(store).list({ order_by: 'id asc' })).events.map((event) => event.id);
    expect(kept).toHaveLength(2);
    expect(kept[0]).toBeLessThan(kept[1] ?? 0);
  });
});
