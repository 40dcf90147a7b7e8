/**
 * The life of one application of a recommendation, as one table.
 *
 *   measuring ▶ pinning ▶ trying ▶ changing ▶ confirming ▶ releasing ▶ applied
 *                            │         │
 *                            └─harmed──┴──▶ undoing ▶ unpinning ▶ undone
 *   any of them ──interrupted──▶ restoring ▶ interrupted
 *
 * measuring: how the service does before. pinning: the autoscaler's targets become amounts. trying: the canary is resized and
 * watched. changing: all pods. confirming: the Lease is still this job's. undoing: sizes and pods are as before. unpinning: the
 * autoscaler has its targets again. restoring: everything is undone at once, after a cancellation or a failure.
 */
export type ApplyState =
  | 'measuring'
  | 'pinning'
  | 'trying'
  | 'changing'
  | 'confirming'
  | 'releasing'
  | 'undoing'
  | 'unpinning'
  | 'restoring'
  | FinalState;
export type FinalState = 'applied' | 'undone' | 'interrupted';
export type Outcome = 'done' | 'harmed' | 'interrupted';

export const transitions: Record<Exclude<ApplyState, FinalState>, Partial<Record<Outcome, ApplyState>>> = {
  measuring: { done: 'pinning', interrupted: 'restoring' },
  pinning: { done: 'trying', interrupted: 'restoring' },
  trying: { done: 'changing', harmed: 'undoing', interrupted: 'restoring' },
  changing: { done: 'confirming', harmed: 'undoing', interrupted: 'restoring' },
  confirming: { done: 'releasing', interrupted: 'restoring' },
  releasing: { done: 'applied', interrupted: 'restoring' },
  undoing: { done: 'unpinning', interrupted: 'restoring' },
  unpinning: { done: 'undone', interrupted: 'restoring' },
  // If restoring fails, the job fails: its Lease stays, and the leader restores later.
  restoring: { done: 'interrupted' },
};

const isFinal = (state: ApplyState): state is FinalState => !(state in transitions);

/** Action of each state. A rejection counts as `interrupted`; a rejection of `restoring` ends the machine. */
export type Actions = Record<Exclude<ApplyState, FinalState>, () => Promise<'done' | 'harmed'>>;

/**
 * Runs the machine from `measuring` to a final state.
 * @param onInterrupted - called with the error before it is restored
 * @throws errors of `restoring`
 */
export async function runStates(actions: Actions, onInterrupted: (error: unknown) => void): Promise<FinalState> {
  let state: ApplyState = 'measuring';
  while (!isFinal(state)) {
    const next: Partial<Record<Outcome, ApplyState>> = transitions[state];
    const outcome: Outcome = await actions[state]().catch((error: unknown) => {
      if (next.interrupted === undefined) throw error;
      onInterrupted(error);
      return 'interrupted' as const;
    });
    const following: ApplyState | undefined = next[outcome];
    if (following === undefined) throw new Error(`${state} cannot end as ${outcome}`);
    state = following;
  }
  return state;
}
