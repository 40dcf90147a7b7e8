import { invalid } from '#kernel/errors.ts';

/** A workload, its pods, and the queries about it. */

export type WorkloadKind = 'Deployment' | 'StatefulSet' | 'DaemonSet';

/**
 * A workload in a namespace. Names follow Kubernetes' rules, so they are safe in a query. Without a kind its pods are those of
 * any kind of that name, except Jobs.
 */
export type Workload = { namespace: string; service: string; kind?: WorkloadKind | undefined };

export const isName = (text: string): boolean => /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(text);

/** @throws TowerError `invalid` if the name is not valid in Kubernetes */
export function checkWorkload({ namespace, service }: Workload): void {
  const rule = 'must be a valid Kubernetes name: lower-case letters, digits, - and ., at most 253, no - or . at an end';
  for (const [parameter, name] of Object.entries({ namespace, service }))
    if (!isName(name)) throw invalid(`${parameter} ${rule}`, { parameter, constraint: rule });
}

/** Alphabet of Kubernetes' random pod suffixes: no vowels and no similar characters. */
const letters = '[bcdfghjklmnpqrstvwxz2456789]';

/** Owners of pods, in kube_pod_owner. */
const ownerOf: Record<WorkloadKind, string> = {
  Deployment: 'ReplicaSet',
  StatefulSet: 'StatefulSet',
  DaemonSet: 'DaemonSet',
};

/** Kubernetes cuts the name before the random suffix of five letters. */
const maxPrefix = 58;

/** Names of the pods of a workload, as a regular expression. */
function podNames({ service, kind }: Workload): string {
  const escaped = (text: string) => text.replaceAll('.', String.raw`\\.`);
  const name = escaped(service);
  const cut = escaped(service.slice(0, maxPrefix));
  const left = maxPrefix - service.length - 1;
  const names: Record<WorkloadKind, string[]> = {
    Deployment: [
      `${name}-${letters}{5,10}-${letters}{5}`,
      ...(left < 0 ? [`${cut}${letters}{5}`] : left < 11 ? [`${name}-${letters}{${left + 5}}`] : []),
    ],
    StatefulSet: [`${name}-[0-9]+`],
    DaemonSet: [left < 0 ? `${cut}${letters}{5}` : `${name}-${letters}{5}`],
  };
  return [...new Set(kind === undefined ? Object.values(names).flat() : names[kind])].join('|');
}

/** A rate needs four scrapes. */
export const rateWindowMs = (stepMs: number, scrapeMs: number): number => Math.max(stepMs, 4 * scrapeMs);

/**
 * An increase spans from one sample to another: with adjacent windows, changes between the last and the first sample
 * would be in neither.
 */
export const riseWindowMs = (stepMs: number, scrapeMs: number): number => Math.max(stepMs + 2 * scrapeMs, 4 * scrapeMs);

/**
 * A query for a workload. A rate covers at least four scrapes; an increase covers the step and one interval between
 * scrapes.
 * @param scrapeMs - scrape interval
 */
export function queryFor(query: string, workload: Workload, stepMs: number, scrapeMs: number): string {
  const { namespace, service, kind } = workload;
  const seconds = (ms: number) => `${Math.ceil(ms / 1000)}s`;
  const is = (wanted: WorkloadKind) => kind === undefined || kind === wanted;
  const rate = seconds(rateWindowMs(stepMs, scrapeMs));
  return (
    query
      .replaceAll('$pods', podNames(workload))
      .replaceAll('$type', kind === undefined ? '!="job"' : `="${kind.toLowerCase()}"`)
      .replaceAll('$owners', kind === undefined ? Object.values(ownerOf).join('|') : ownerOf[kind])
      // A label that is the name and empty matches nothing.
      .replaceAll('$isDep', is('Deployment') ? '' : ',deployment=""')
      .replaceAll('$isSts', is('StatefulSet') ? '' : ',statefulset=""')
      .replaceAll('$isScaled', kind === undefined ? '' : `,scaletargetref_kind="${kind}"`)
      .replaceAll('$ns', namespace)
      .replaceAll('$svc', service)
      .replaceAll('$w', rate)
      .replaceAll('$r', seconds(riseWindowMs(stepMs, scrapeMs)))
      .replaceAll('$s', seconds(Math.max(stepMs, 2 * scrapeMs)))
  );
}
