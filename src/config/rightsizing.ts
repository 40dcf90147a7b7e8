import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of recommendations for Kubernetes workloads. */
export const rightsizingSettings = z.object({
  RIGHTSIZING_MIN_CPU_CORES: number(0.01, 0.001, 1000, false).describe(
    'Minimum recommended CPU of a container, in cores',
  ),
  RIGHTSIZING_MIN_MEMORY_MIB: number(32, 1, 1_000_000).describe('Minimum recommended memory of a container, in MiB'),
  RIGHTSIZING_MAX_CPU_CORES: number(0, 0, 10_000, false).describe(
    'Maximum recommended CPU of a container, in cores; 0: the largest node, if Prometheus has it',
  ),
  RIGHTSIZING_MAX_MEMORY_MIB: number(0, 0, 100_000_000).describe(
    'Maximum recommended memory of a container, in MiB; 0: the largest node, if Prometheus has it',
  ),
  PRICE_CPU_CORE_HOUR: number(0.031611, 0, 1000, false).describe('Price of a CPU core per hour'),
  PRICE_MEMORY_GIB_HOUR: number(0.004237, 0, 1000, false).describe('Price of a GiB of memory per hour'),
  PRICE_CURRENCY: z.string().max(8).default('USD').describe('Currency of these prices'),
});
