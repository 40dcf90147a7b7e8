import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Actions, type ApplyState, runStates, transitions } from '#services/rightsizing/apply/apply-states.ts';

type Step = 'done' | 'harmed' | 'interrupted';
const states = Object.keys(transitions) as (keyof typeof transitions)[];

/** Actions with scripted outcomes by state; others succeed. */
function scripted(script: Partial<Record<ApplyState, Step>>) {
  const visited: ApplyState[] = [];
  const actions = Object.fromEntries(
    states.map((state) => [
      state,
      async () => {
        visited.push(state);
        const step = script[state] ?? 'done';
        if (step === 'interrupted') throw new Error(`${state} failed`);
        return step;
      },
    ]),
  ) as unknown as Actions;
  const interruptions: unknown[] = [];
  return { visited, interruptions, run: () => runStates(actions, (error) => void interruptions.push(error)) };
}

describe('runStates', () => {
  it('applies without harm, and undoes after harm', async () => {
    const applied = scripted({});
    expect(await applied.run()).toBe('applied');
    expect(applied.visited).toEqual(['measuring', 'pinning', 'trying', 'changing', 'confirming', 'releasing']);
    for (const state of ['trying', 'changing'] as const) {
      const undone = scripted({ [state]: 'harmed' });
      expect(await undone.run()).toBe('undone');
      expect(undone.visited.slice(-3)).toEqual([state, 'undoing', 'unpinning']);
    }
  });

  it('restores once after an interruption, and reports it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...states.filter((state) => state !== 'restoring')),
        fc.constantFrom('trying' as const, 'changing' as const, null),
        async (at, harmedIn) => {
          const machine = scripted({ ...(harmedIn ? { [harmedIn]: 'harmed' } : {}), [at]: 'interrupted' });
          const end = await machine.run();
          const isReached = machine.visited.includes(at);
          expect(end === 'interrupted').toBe(isReached);
          expect(machine.visited.filter((state) => state === 'restoring').length).toBe(isReached ? 1 : 0);
          expect(machine.interruptions.length).toBe(isReached ? 1 : 0);
          // Harmful changes are never kept.
          if (harmedIn && machine.visited.includes(harmedIn)) expect(end).not.toBe('applied');
        },
      ),
    );
  });

  it('passes on a failure to restore, and refuses an invalid outcome', async () => {
    await expect(scripted({ changing: 'interrupted', restoring: 'interrupted' }).run()).rejects.toThrow(
      'restoring failed',
    );
    const machine = scripted({ measuring: 'harmed' });
    await expect(machine.run()).rejects.toThrow('measuring cannot end as harmed');
  });

  it('reaches every state of the table, and ends from each', () => {
    const reached = new Set<ApplyState>(['measuring']);
    for (const state of reached) {
      const next: Partial<Record<string, ApplyState>> =
        state in transitions ? transitions[state as keyof typeof transitions] : {};
      for (const each of Object.values(next)) if (each !== undefined) reached.add(each);
    }
    expect([...reached].sort()).toEqual([...states, 'applied', 'interrupted', 'undone'].sort());
  });
});
