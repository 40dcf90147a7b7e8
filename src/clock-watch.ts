import type { AreaJob, Frame } from '#areas/area.ts';
import { steadyMs } from '#kernel/clock.ts';

/** Steps of the system clock that are reported; smaller ones are corrections of its rate. */
const minStepMs = 2_000;

/** A job that compares the system clock with the monotonic one, and logs and counts its steps. */
export function clockWatch({ clock, log, metrics }: Pick<Frame, 'clock' | 'log' | 'metrics'>): AreaJob {
  const steps = metrics.counter({ name: 'tower_clock_steps_total', help: 'Steps of the system clock of at least 2 s' });
  const offset = () => clock.now() - steadyMs(clock);
  let last = offset();
  return {
    name: 'clock',
    intervalMs: 10_000,
    timeoutMs: 10_000,
    firstAfterMs: 10_000,
    isRecorded: false,
    step: async () => {
      const stepMs = offset() - last;
      last += stepMs;
      if (Math.abs(stepMs) < minStepMs) return;
      steps.inc();
      log.warn(
        { step_seconds: Math.round(stepMs / 1000) },
        'the system clock was set; durations and limits are not affected',
      );
    },
  };
}
