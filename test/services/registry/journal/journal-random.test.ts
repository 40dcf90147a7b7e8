import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEvents } from '#services/registry/journal/events.ts';
import type { RegistryRows } from '#services/registry/snapshot/snapshot.ts';
import { eventSummary, journalIn } from '../../../support/journal.ts';
import { rowsOf, runRow, versionRow } from '../../../support/rows.ts';
import { onPostgres } from '../../../support/stores.ts';
import { temporaryDirectory } from '../../../support/tower.ts';

/** Highest version number a model ever had. */
const numbers = new Map<string, number[]>();

/** A simple registry with random edits, and the expected events of each edit. */
type Edit =
  | { do: 'add model' | 'drop model' | 'rename'; model: number }
  | { do: 'add version' | 'drop version' | 'stage' | 'tag' | 'describe' | 'measure'; model: number; value: number }
  | { do: 'alias'; model: number; alias: number; value: number };

const edits = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('add model' as const, 'drop model' as const, 'rename' as const),
      model: fc.nat(3),
    }),
    fc.record({
      do: fc.constantFrom(
        'add version' as const,
        'drop version' as const,
        'stage' as const,
        'tag' as const,
        'describe' as const,
        'measure' as const,
      ),
      model: fc.nat(3),
      value: fc.nat(3),
    }),
    fc.record({ do: fc.constant('alias' as const), model: fc.nat(3), alias: fc.nat(1), value: fc.nat(4) }),
  ),
  { maxLength: 40 },
);

const stageNames = ['None', 'Staging', 'Production', 'Archived'];

/** Applies an edit to the rows. @returns the expected events, unordered */
function apply(rows: RegistryRows, edit: Edit, time: number): { told: string[]; lost: boolean } {
  const name = `m${edit.model}`;
  const found = rows.models.find((row) => row.name === name);
  const versions = rows.versions.filter((row) => row.name === name);
  const nothing = { told: [], lost: false };
  if (edit.do === 'add model') {
    if (found) return nothing;
    rows.models.push({ name, createdAt: time, updatedAt: 1, description: '', tags: {}, aliases: {} });
    return { told: [`registered_model.created ${name}`], lost: false };
  }
  if (!found) return nothing;
  if (edit.do === 'drop model') {
    rows.models = rows.models.filter((row) => row !== found);
    rows.versions = rows.versions.filter((row) => row.name !== name);
    const aliases = Object.entries(found.aliases);
    return {
      told: [
        ...versions.map((row) => `model_version.deleted ${name} v${row.version}`),
        ...aliases.map(
          ([alias, version]) => `model_version_alias.deleted ${name} v${version} @${alias} "${version}" -> null`,
        ),
        `registered_model.deleted ${name}`,
      ],
      lost: true,
    };
  }
  if (edit.do === 'rename') {
    const to = rows.models.some((row) => row.name === `${name}x`) ? name : `${name}x`;
    if (to === name) return nothing;
    rows.models = rows.models.map((row) => (row === found ? { ...row, name: to } : row));
    rows.versions = rows.versions.map((row) => (row.name === name ? { ...row, name: to } : row));
    return { told: [`registered_model.renamed ${to} "${name}" -> "${to}"`], lost: false };
  }
  if (edit.do === 'add version') {
    const next = String(1 + Math.max(0, ...(numbers.get(`${name} ${found.createdAt}`) ?? [0])));
    numbers.set(`${name} ${found.createdAt}`, [Number(next)]);
    rows.versions.push(versionRow({ name, version: next, createdAt: time, runId: `${name}-${time}` }));
    rows.runs.push(runRow({ runId: `${name}-${time}`, metrics: { acc: 0 } }));
    return { told: [`model_version.created ${name} v${next}`], lost: false };
  }
  if (!('value' in edit)) return nothing;
  const target = versions[edit.value % Math.max(1, versions.length)];
  if (!target) return nothing;
  const replace = (more: object) => {
    rows.versions = rows.versions.map((row) => (row === target ? { ...row, ...more } : row));
  };
  const at = `${name} v${target.version}`;
  switch (edit.do) {
    case 'drop version':
      if (Object.values(found.aliases).includes(target.version)) return nothing;
      rows.versions = rows.versions.filter((row) => row !== target);
      return { told: [`model_version.deleted ${at}`], lost: true };
    case 'stage': {
      const stage = stageNames[edit.value] ?? 'None';
      if (stage === target.currentStage) return nothing;
      replace({ currentStage: stage });
      const facts = (word: string) =>
        JSON.stringify({ stage: word, current_stage: word, stage_source: word === 'None' ? 'none' : 'stage' });
      return {
        told: [`model_version.stage_changed ${at} ${facts(target.currentStage)} -> ${facts(stage)}`],
        lost: false,
      };
    }
    case 'tag': {
      if (target.tags['t'] === String(edit.value)) return nothing;
      replace({ tags: { t: String(edit.value) } });
      return {
        told: [`model_version.tags_changed ${at} ${JSON.stringify(target.tags)} -> {"t":"${edit.value}"}`],
        lost: false,
      };
    }
    case 'describe':
      if (target.description === `d${edit.value}`) return nothing;
      replace({ description: `d${edit.value}` });
      return {
        told: [`model_version.description_changed ${at} "${target.description}" -> "d${edit.value}"`],
        lost: false,
      };
    case 'measure': {
      const run = rows.runs.find((item) => item.runId === target.runId);
      if (!run || run.metrics['acc'] === edit.value) return nothing;
      rows.runs = rows.runs.map((item) => (item === run ? { ...item, metrics: { acc: edit.value } } : item));
      return {
        told: [`model_version.metrics_changed ${at} ${JSON.stringify(run.metrics)} -> {"acc":${edit.value}}`],
        lost: false,
      };
    }
    default: {
      if (!('alias' in edit)) return nothing;
      const alias = `a${edit.alias}`;
      const old = found.aliases[alias];
      if (old === target.version) return nothing;
      rows.models = rows.models.map((row) =>
        row === found ? { ...row, aliases: { ...row.aliases, [alias]: target.version } } : row,
      );
      const [type, was] = old === undefined ? ['created', 'null'] : ['moved', `"${old}"`];
      return {
        told: [`model_version_alias.${type} ${name} v${target.version} @${alias} ${was} -> "${target.version}"`],
        lost: false,
      };
    }
  }
}
describe('the journal with random edits', () => {
  // Creating a database for each takes time.
  const most = onPostgres ? 200 : 1000;
  const numRuns = process.env['SOAK'] ? most : most / 10;

  it('has exactly the events of the edits, also across restarts', {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(edits, fc.boolean(), async (sequence, restarts) => {
        const directory = temporaryDirectory();
        let current = journalIn(directory);
        const rows = rowsOf();
        let time = 1000;
        await current.look(rows);
        for (const edit of sequence) {
          time += 1;
          const { told: expected, lost } = apply(rows, edit, time);
          const events = await current.look(rows);
          // A deletion is reported at the second poll.
          if (lost) events.push(...(await current.look(rows)));
          expect(events.map(eventSummary).sort()).toEqual(expected.sort());
          if (restarts) {
            await current.store.close();
            current = journalIn(directory);
          }
        }
        const { events } = await createEvents(current.store).list({ order_by: 'id asc', limit: '1000' });
        expect(events.map((event) => event.id)).toEqual(events.map((_, index) => index + 1));
        await current.store.close();
      }),
      { numRuns },
    );
  });
});
