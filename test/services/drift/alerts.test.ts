import { describe, expect, it } from 'vitest';
import { daily, driftOver } from '../../support/drift.ts';
import { noSignal } from '../../support/sources.ts';

const fall = daily(39, (i) => (i < 25 ? 0.94 : 0.9));
const steady = daily(39, () => 0.94);

describe('drift alerts', () => {
  it('are sent once when the verdict becomes drift, and once when it no longer is', async () => {
    const { drift, events, given } = driftOver({ late: steady });
    await drift.sweep(noSignal);
    expect(events).toEqual([]);
    given.late = fall;
    await drift.sweep(noSignal);
    await drift.sweep(noSignal);
    expect(events).toMatchObject([
      { type: 'drift.detected', registry: 'default', name: 'model', version: '1', status: 'drift' },
    ]);
    expect(events[0]?.reason).toMatch(/^accuracy fell from /);
    given.late = steady;
    await drift.sweep(noSignal);
    await drift.sweep(noSignal);
    expect(events.map(({ type, status }) => [type, status])).toEqual([
      ['drift.detected', 'drift'],
      ['drift.cleared', 'stable'],
    ]);
  });

  it('are neither sent nor cleared for missing or partial data', async () => {
    const { drift, events, given } = driftOver({ late: fall });
    await drift.sweep(noSignal);
    given.late = [];
    await drift.sweep(noSignal);
    given.late = steady;
    given.noRuns = true;
    await drift.sweep(noSignal);
    expect(events.map(({ type }) => type)).toEqual(['drift.detected']);
    const partial = driftOver({ late: fall, noRuns: true });
    await partial.drift.sweep(noSignal);
    expect(partial.events).toEqual([]);
  });

  it('are cleared when monitoring ends', async () => {
    const monitored = new Set(['model\n1']);
    const { drift, events } = driftOver({ late: fall, monitored });
    await drift.sweep(noSignal);
    monitored.clear();
    await drift.sweep(noSignal);
    expect(events[1]).toMatchObject({ type: 'drift.cleared', status: null, reason: 'no longer monitored' });
  });
});
