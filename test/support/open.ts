import { systemClock } from '#kernel/clock.ts';
import { openSource, type SourceOptions } from '#services/registry/sources/open-source.ts';
import type { RegistrySource } from '#services/registry/sources/source.ts';

/** A source opened as the composition does, without retries. Close it when done. */
export const openFor = (uri: string, more: Partial<SourceOptions> = {}): RegistrySource =>
  openSource({
    uri,
    insecureTls: false,
    timeoutMs: 120_000,
    maxRetries: 0,
    clock: systemClock,
    random: () => 0.5,
    ...more,
  });
