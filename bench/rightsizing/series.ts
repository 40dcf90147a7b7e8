import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Resource, Usage } from '#services/rightsizing/usage.ts';
import { directoryOf, filesOf, type Kind } from '../support/data.ts';

/** Real usage by series. `tunedOn`: used for development, so it proves nothing. */
export type Trace = { name: string; usage: Usage; tunedOn: boolean };

const tunedOn = new Set([
  ...[116, 190, 242, 272, 308, 331, 379, 463, 467, 506, 554, 578, 626].map((vm) => `vm${vm}`),
  ...['24ae8d', '5f5533', '825cc2'].map((id) => `ec2_cpu_utilization_${id}`),
  'machine-1-6',
  'machine-2-1',
]);

const table = (kind: Kind, file: string): string[][] =>
  readFileSync(join(directoryOf(kind), file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(','));
const numberOf = (cell: string | undefined): number => (cell === undefined || cell === '' ? Number.NaN : Number(cell));
const trace = (name: string, usage: Usage): Trace => ({ name, usage, tunedOn: tunedOn.has(name) });

/** Bitbrains virtual machines: cores used, every five minutes for a month. */
export function bitbrains(): Trace[] {
  return filesOf('bitbrains', /^(?!meta)[^/]*\.csv$/).flatMap((file) => {
    const [head = [], ...rows] = table('bitbrains', file);
    return head.slice(1).map((name, i) =>
      trace(name, {
        startMs: Number(rows[0]![0]) * 1000,
        stepMs: 300_000,
        values: Float64Array.from(rows, (row) => numberOf(row[i + 1])),
      }),
    );
  });
}

/** AWS servers from NAB: CPU in per cent, taken as a share of one core. */
export function nab(): Trace[] {
  return filesOf('nab', /^data\/.*cpu_utilization.*\.csv$/).map((file) => {
    const rows = table('nab', file).slice(1);
    const at = rows.map(([time = '']) => Date.parse(`${time.replace(' ', 'T')}Z`));
    return trace(
      basename(file, '.csv'),
      gridded(
        at,
        rows.map(([, value]) => numberOf(value) / 100),
        300_000,
      ),
    );
  });
}

/** A column of the Server Machine Dataset, by minute for 33 days, scaled to 0..1 there. */
export function smd(column: 'cpu_r' | 'mem_u', unit: number): Trace[] {
  return filesOf('smd', /\.csv$/).map((file) => {
    const [head = [], ...rows] = table('smd', file);
    const at = head.indexOf(column);
    return trace(file.slice(0, -4), {
      startMs: 0,
      stepMs: 60_000,
      values: Float64Array.from(rows, (row) => numberOf(row[at]) * unit),
    });
  });
}

/** Online Boutique with injected faults, one day. The column named (m) contains per cent of a core. */
export function nezha(resource: Resource = 'cpu'): Trace[] {
  const { column, unit } = {
    cpu: { column: 'CpuUsage(m)', unit: 0.01 },
    memory: { column: 'MemoryUsage(Mi)', unit: 2 ** 20 },
  }[resource];
  return filesOf('nezha-online-boutique', /_metric\.csv$/).map((file) => {
    const [head = [], ...rows] = table('nezha-online-boutique', file);
    const [time, used] = [head.indexOf('TimeStamp'), head.indexOf(column)];
    const at = rows.map((row) => Number(row[time]) * 1000);
    return trace(
      file.split('/').at(-1)!.split('-')[0]!,
      gridded(
        at,
        rows.map((row) => numberOf(row[used]) * unit),
        60_000,
      ),
    );
  });
}

/** Puts rows in any order on a grid. */
function gridded(at: number[], numbers: number[], stepMs: number): Usage {
  const startMs = Math.min(...at);
  const values = new Float64Array(Math.round((Math.max(...at) - startMs) / stepMs) + 1).fill(Number.NaN);
  for (const [i, time] of at.entries()) values[Math.round((time - startMs) / stepMs)] = numbers[i]!;
  return { startMs, stepMs, values };
}
