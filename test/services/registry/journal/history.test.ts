import { describe, expect, it } from 'vitest';
import { createEvents } from '#services/registry/journal/events.ts';
import { historyOf } from '#services/registry/journal/history.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { journalIn, snapshotFrom } from '../../../support/journal.ts';
import { versionRow } from '../../../support/rows.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

const rows = (stages: Record<string, string>, name = 'DNA', aliases: Record<string, string> = {}): RegistryRows => ({
  experiments: [],
  models: [{ name, createdAt: 1, updatedAt: 1, description: '', tags: {}, aliases }],
  versions: Object.entries(stages).map(([version, currentStage]) =>
    versionRow({ name, version, currentStage, createdAt: Number(version), runId: `run${version}` }),
  ),
  runs: [],
  loggedModels: [],
  serverVersion: null,
});

/** Processes these polls, a minute apart from 00:01 on, and returns the history after the last. */
async function historyAfter(looks: RegistryRows[], query = {}, name = 'DNA') {
  const { look, store } = journalIn(temporaryDirectory());
  for (const item of looks) await look(item);
  const last = await snapshotFrom(looks.at(-1) ?? rows({}), 0);
  const model = (wanted: string) => last.models.get(wanted) ?? null;
  return historyOf({ events: createEvents(store), registry: 'default', model }, name, query);
}

const minute = (number: number) => `2026-11-20T00:0${number}:00.000Z`;

describe('the history of a stage', () => {
  it('has periods with the polls around each start and end, and a rollback target', async () => {
    const history = await historyAfter([
      rows({ 1: 'Production' }),
      rows({ 1: 'Production', 2: 'None' }),
      rows({ 1: 'Archived', 2: 'Production' }),
      rows({ 1: 'Archived', 2: 'Production' }),
    ]);
    expect(history).toMatchObject({
      recorded_since: minute(1),
      current: ['2'],
      rollback_target: '1',
      rollback_reason: `version 1 was Production until ${minute(3)} and still exists`,
    });
    expect(history.turns).toEqual([
      {
        version: '2',
        run_id: 'run2',
        stage_source: 'stage',
        from: minute(3),
        from_not_before: minute(2),
        until: null,
        until_not_before: null,
        ended_by: null,
        in_registry: true,
      },
      {
        version: '1',
        run_id: 'run1',
        stage_source: 'stage',
        from: null,
        from_not_before: null,
        until: minute(3),
        until_not_before: minute(2),
        ended_by: 'stage_changed',
        in_registry: true,
      },
    ]);
  });

  it('uses aliases without stages', async () => {
    const history = await historyAfter([
      rows({ 1: 'None', 2: 'None' }, 'DNA', { champion: '1' }),
      rows({ 1: 'None', 2: 'None' }, 'DNA', { champion: '2' }),
    ]);
    expect(history).toMatchObject({ current: ['2'], rollback_target: '1' });
    expect(history.turns.map((turn) => [turn.version, turn.stage_source, turn.from])).toEqual([
      ['2', 'alias', minute(2)],
      ['1', 'alias', null],
    ]);
  });

  it('has no rollback target if the former version was deleted, with the reason', async () => {
    const gone = rows({ 2: 'Production' });
    const history = await historyAfter([rows({ 1: 'Production', 2: 'None' }), gone, gone, gone]);
    expect(history).toMatchObject({
      rollback_target: null,
      rollback_reason: 'the former versions in Production no longer exist in MLflow',
    });
    expect(history.turns.at(-1)).toMatchObject({ version: '1', ended_by: 'version_deleted', in_registry: false });
  });

  it('has no rollback target if no other version was recorded', async () => {
    expect(await historyAfter([rows({ 1: 'Production' })])).toMatchObject({
      rollback_target: null,
      rollback_reason: `no other version is known to have been in Production; recording began at ${minute(1)}`,
    });
  });

  it('continues after a rename', async () => {
    const history = await historyAfter(
      [
        rows({ 1: 'Production', 2: 'None' }),
        rows({ 1: 'Production', 2: 'None' }, 'RNA'),
        rows({ 1: 'None', 2: 'Production' }, 'RNA'),
      ],
      {},
      'RNA',
    );
    expect(history.turns.map((turn) => [turn.version, turn.from, turn.until])).toEqual([
      ['2', minute(3), null],
      ['1', null, minute(3)],
    ]);
  });

  it('of a reused name starts with the new model; the old name leads to the renamed one', async () => {
    const taken: RegistryRows = {
      ...rows({ 1: 'Production' }, 'RNA'),
      models: [
        ...rows({}, 'RNA').models,
        { name: 'DNA', createdAt: 9, updatedAt: 9, description: '', tags: {}, aliases: {} },
      ],
    };
    taken.versions.push(
      versionRow({ name: 'DNA', version: '1', currentStage: 'Production', createdAt: 9, runId: 'new' }),
    );
    const looks = [rows({ 1: 'Production' }), rows({ 1: 'Production' }, 'RNA'), taken];
    expect((await historyAfter(looks)).turns).toMatchObject([{ version: '1', from: minute(3), run_id: 'new' }]);
    await expect(historyAfter(looks.slice(0, 2))).rejects.toThrow('Model "DNA" was renamed to "RNA"');
  });

  it('is kept for a deleted model', async () => {
    const none = rows({}, 'Other');
    const history = await historyAfter([rows({ 1: 'Production' }), none, none]);
    expect(history).toMatchObject({ current: [], rollback_target: null });
    expect(history.turns).toMatchObject([
      { version: '1', ended_by: 'version_deleted', until: minute(3), in_registry: false },
    ]);
  });

  it.each([
    ['before recording began', '2026-11-19', null, []],
    ['while 1 was', minute(2), ['1'], []],
    ['between the two polls', '2026-11-20T00:02:30Z', [], ['1', '2']],
    ['when 2 had been seen', minute(3), ['2'], []],
  ])('at a time: %s', async (_when, at, versions, uncertain) => {
    const looks = [
      rows({ 1: 'Production', 2: 'None' }),
      rows({ 1: 'Production', 2: 'None' }),
      rows({ 1: 'None', 2: 'Production' }),
    ];
    const history = await historyAfter(looks, { at });
    expect(history.at?.versions?.toSorted() ?? null).toEqual(versions);
    expect(history.at?.uncertain.toSorted()).toEqual(uncertain);
  });

  it('can be of another stage', async () => {
    const history = await historyAfter([rows({ 1: 'Staging' }), rows({ 1: 'Production' })], { stage: 'staging' });
    expect(history.turns).toMatchObject([{ version: '1', until: minute(2) }]);
  });
});
