import { stringify } from 'csv-stringify/sync';
import type { SizeAnswer } from '#services/rightsizing/schemas.ts';

/** CSV of recommendations: one row per container. CPU in cores, memory in bytes; money per month of the workload. */

const columns = [
  'namespace',
  'service',
  'kind',
  'container',
  'cpu_request_cores_now',
  'cpu_request_cores',
  'cpu_limit_cores',
  'cpu_confidence',
  'memory_request_bytes_now',
  'memory_request_bytes',
  'memory_limit_bytes',
  'memory_confidence',
  'replicas_now',
  'replicas',
  'monthly_saving',
  'currency',
  'reason',
];

/** A workload without a recommendation has one row, with the reason. */
export const csvText = (answers: readonly SizeAnswer[]): string =>
  stringify([columns, ...answers.flatMap(rowsOf)]).trimEnd();

function rowsOf({ namespace, service, kind, containers, replicas, cost, outputs, reason }: SizeAnswer) {
  if (outputs === null) return [[namespace, service, kind, ...Array<null>(13).fill(null), reason]];
  return containers.map(({ container, cpu, memory }) => [
    namespace,
    service,
    kind,
    container,
    cpu.current_request,
    cpu.request,
    cpu.limit,
    cpu.confidence,
    memory.current_request,
    memory.request,
    memory.limit,
    memory.confidence,
    replicas?.current ?? null,
    replicas?.recommended ?? null,
    cost.monthly_saving,
    cost.currency,
    null,
  ]);
}

/** The largest saving first; workloads whose saving is unknown last. */
export const bySaving = (answers: readonly SizeAnswer[]): SizeAnswer[] => {
  const saving = ({ cost }: SizeAnswer) => cost.monthly_saving ?? Number.NEGATIVE_INFINITY;
  return answers.toSorted((a, b) => (saving(a) === saving(b) ? 0 : saving(b) - saving(a)));
};
