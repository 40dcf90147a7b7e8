import { z } from 'zod';
import { number } from './kinds.ts';

/** Settings of recommendations for Kubernetes workloads. */
export const rightsizingSettings = z.object({
  RIGHTSIZING_MIN_CPU_CORES: number(0.01, 0.001, 1000, false).describe(
    'Least CPU a container is recommended, in cores',
  ),
  RIGHTSIZING_MIN_MEMORY_MIB: number(32, 1, 1_000_000).describe('Least memory a container is recommended, in MiB'),
  RIGHTSIZING_MAX_CPU_CORES: number(0, 0, 10_000, false).describe(
    'Most CPU a container is recommended; 0: what the largest node has, where Prometheus knows it',
  ),
  RIGHTSIZING_MAX_MEMORY_MIB: number(0, 0, 100_000_000).describe('The same for memory, in MiB'),
  PRICE_CPU_CORE_HOUR: number(0.031611, 0, 1000, false).describe('Price of a CPU core for an hour'),
  PRICE_MEMORY_GIB_HOUR: number(0.004237, 0, 1000, false).describe('Price of a GiB of memory for an hour'),
  PRICE_CURRENCY: z.string().max(8).default('USD').describe('What those prices are in'),
});
