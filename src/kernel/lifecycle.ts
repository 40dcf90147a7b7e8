import type { Log } from './log.ts';

/** Shutdown steps, run in reverse order of registration. */
export type Releaser = {
  /** Registers a shutdown step; steps registered later run first. */
  defer(name: string, release: () => unknown): void;
  /** Runs every step once, even if some fail; idempotent. */
  stop(): Promise<void>;
};

export function createReleaser(log: Log): Releaser {
  const steps: { name: string; release: () => unknown }[] = [];
  return {
    defer: (name, release) => {
      steps.push({ name, release });
    },
    stop: async () => {
      for (let step = steps.pop(); step; step = steps.pop()) {
        try {
          await step.release();
        } catch (error) {
          log.error({ err: error, step: step.name }, 'failed to stop a component cleanly');
        }
      }
    },
  };
}
