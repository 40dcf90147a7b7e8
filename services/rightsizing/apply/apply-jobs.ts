import { conflict, publicText } from '#kernel/errors.ts';
import type { Workload } from '#services/acquisition/prometheus/workload-query.ts';
import { jobResource } from '#store/job-resource.ts';
import type { Queue } from '#store/queue.ts';
import type { QueuedJob, Work } from '#store/queue-job.ts';
import type { SizeAnswer, SizeRequest } from '../schemas.ts';
import { applySizes, prepare, rollBackAbandoned } from './apply.ts';
import type { Prepared } from './apply-changes.ts';
import { scalingNotes, shownScaling } from './apply-scaling.ts';
import type { ApplyJob, ApplyPlan, ApplyRequest, ApplyResult } from './apply-schemas.ts';
import { type ApplyDeps, isInPlace } from './apply-steps.ts';

/** Apply jobs: started, polled, streamed, cancelled. A cancellation rolls the changes back. */

/** Writes the outcome of a job to the audit log. */
export type NoteOutcome = (entry: { action: string; job: string; target: object; details: object }) => Promise<void>;
/** Called with the outcome of each job. */
export type OnApplied = (outcome: ApplyResult['status'] | 'failed', target: Workload, reason: string | null) => void;
type Deps = ApplyDeps & {
  queue: Queue;
  recommend(target: Workload, request: SizeRequest): Promise<SizeAnswer>;
  audit: NoteOutcome;
  onApplied: OnApplied;
};

const kind = 'apply';

export function createApplyJobs(deps: Deps) {
  const { queue, cluster, recommend, audit, onApplied } = deps;
  const prepared = async (target: Workload, request: ApplyRequest) => {
    const found = await cluster.find(target);
    const answer = await recommend(target, { ...request, kind: found.kind });
    return { ...(await prepare(cluster, target, found, answer, request)), answer };
  };
  queue.handle(kind, async (job, run) => {
    const target = targetOf(job.subject);
    const note = async (details: { status: Parameters<OnApplied>[0]; reason: string | null }) => {
      onApplied(details.status, target, details.reason);
      await audit({ action: 'apply a recommendation', job: job.id, target, details });
    };
    try {
      const result = await applied(deps, prepared, job, run);
      const { steps: _, ...outcome } = result;
      await note(outcome);
      return result;
    } catch (error) {
      // A job that will be restarted has no outcome yet.
      if (!run.isStopping()) await note({ status: 'failed', reason: publicText(error) });
      throw error;
    }
  });
  const { begin, ...jobs } = jobResource<ApplyJob>(queue, kind, 'apply job', ({ subject }) => targetOf(subject));
  return {
    ...jobs,
    /**
     * Dry run against the API server.
     * @throws TowerError `conflict` if nothing would change, `invalid`, `not_found`, `unavailable`
     */
    plan: async (target: Workload, request: ApplyRequest): Promise<ApplyPlan> => {
      const { answer, changes, scaler } = await prepared(target, request);
      const open = await jobs.open(subjectOf(target));
      const meanwhile = open ? [`job ${open.id} is changing the workload: these are the remaining changes`] : [];
      const inPlace = isInPlace(request)
        ? [
            'all pods are resized in place, until they are replaced: the template stays unchanged, and new pods use it; limits that pods do not have are not set',
          ]
        : [];
      return {
        dry_run: true,
        ...target,
        changes,
        autoscaler: shownScaling(scaler),
        confidence: answer.confidence,
        notes: [...meanwhile, ...inPlace, ...scalingNotes(scaler), ...answer.notes],
      };
    },
    /** @throws TowerError `conflict` if another job of the service is open, else as `plan` */
    start: async (target: Workload, request: ApplyRequest): Promise<ApplyJob> => {
      await cluster.requireWritable(target.namespace);
      await prepared(target, request);
      return begin(subjectOf(target), request, `${target.service} is already being changed`);
    },
  };
}

const subjectOf = ({ namespace, service }: Workload): string => `${namespace}/${service}`;

function targetOf(subject: string): Workload {
  const [namespace = '', service = ''] = subject.split('/');
  return { namespace, service };
}

/** @throws TowerError `conflict` if its instance died and the leader rolled the changes back, else as `applySizes` */
async function applied(
  deps: ApplyDeps,
  prepared: (target: Workload, request: ApplyRequest) => Promise<Prepared>,
  { id, attempts, abandoned, subject, payload }: QueuedJob,
  { signal, progress, isStopping }: Parameters<Work>[1],
): Promise<ApplyResult> {
  const request = JSON.parse(payload) as ApplyRequest;
  const target = targetOf(subject);
  const left = await rollBackAbandoned(deps, id, target, signal);
  if (left) return left;
  // The leader has rolled it back, or it was finished: harmful changes must not be made again.
  if (abandoned > 0)
    throw conflict(
      `the instance died while ${target.service} was changed, and no changes are left to roll back: check its requests, and apply again`,
    );
  return applySizes(
    deps,
    `${id}/${attempts}`,
    target,
    async () => prepared(target, request),
    request,
    signal,
    (text) => progress({ step: text }),
    isStopping,
  );
}
