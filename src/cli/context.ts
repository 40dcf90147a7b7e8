import type { TowerClient } from './client.ts';

/** What a command works with. */
export type CliContext = {
  /** The running tower that --url or TOWER_URL names. */
  tower(): TowerClient;
  /** Prints `value` as JSON with --json, else what `text` makes of it. */
  print<T>(value: T, text: (value: T) => string): void;
  env: Record<string, string | undefined>;
  out(text: string): void;
  /** One line that is overwritten by the next, on a terminal only; empty = wiped away. */
  progress(line: string): void;
  /** The same on a terminal; elsewhere, as in the log of a pipeline, each stays as a line on standard error. */
  step(line: string): void;
};
