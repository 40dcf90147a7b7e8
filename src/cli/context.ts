import type { TowerClient } from './client.ts';

/** Dependencies of a command. */
export type CliContext = {
  /** Client of the server that --url or TOWER_URL names. */
  tower(): TowerClient;
  /** Prints `value` as JSON with --json, else the result of `text`. */
  print<T>(value: T, text: (value: T) => string): void;
  env: Record<string, string | undefined>;
  out(text: string): void;
  /** A line on standard error. */
  warn(text: string): void;
  /** A status line that the next one overwrites, on a terminal only; empty = cleared. */
  progress(line: string): void;
  /** On a terminal the same; elsewhere, as in a pipeline's log, each is a line on standard error. */
  step(line: string): void;
};
