import type { Resource } from './usage.ts';

/** Cores, or bytes in binary units. */
export function formatQuantity(value: number, resource: Resource): string {
  if (resource === 'cpu') return value >= 10 ? value.toFixed(0) : `${Number(value.toPrecision(2))}`;
  const power = Math.max(0, Math.min(4, Math.floor(Math.log2(Math.max(1, value)) / 10)));
  return `${Number((value / 1024 ** power).toPrecision(3))} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}
