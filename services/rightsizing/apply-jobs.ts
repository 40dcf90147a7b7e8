import { conflict, notFound } from '../../src/kernel/errors.ts';
import { jobFrames } from '../../src/store/job-frames.ts';
import type { Queue, QueuedJob } from '../../src/store/queue.ts';
import { type ApplyDeps, applySizes, undoLeft } from './apply.ts';
import { changesOf } from './apply-changes.ts';
import type { ApplyJob, ApplyPlan, ApplyRequest } from './apply-schemas.ts';
import type { SizeAnswer, SizeRequest } from './schemas.ts';

/** Recommendations that are applied, as jobs: begun, looked at, followed, cancelled, which takes back what was changed. */

type Target = { namespace: string; service: string };
type Deps = ApplyDeps & {
  queue: Queue;
  recommend(target: Target, request: SizeRequest): Promise<SizeAnswer>;
};

const kind = 'apply';
const mostListed = 200;

export function createApplyJobs(deps: Deps) {
  const { queue, cluster, recommend } = deps;
  const prepared = async (target: Target, request: ApplyRequest) => {
    const found = await cluster.find(target);
    const answer = await recommend(target, { ...request, kind: found.kind });
    const prepared = changesOf(answer, found, request, cluster.isSameAmount);
    await cluster.judge(target, found, prepared.sized);
    return { ...prepared, answer };
  };
  queue.handle(kind, async ({ id, attempts, subject, payload }, { signal, progress }) => {
    const request = JSON.parse(payload) as ApplyRequest;
    const target = targetOf(subject);
    const left = await undoLeft(deps, id, target, signal);
    if (left) return left;
    return applySizes(
      deps,
      `${id}/${attempts}`,
      target,
      async () => prepared(target, request),
      request,
      signal,
      (text) => progress({ step: text }),
    );
  });
  const get = async (id: string): Promise<ApplyJob> => {
    const job = await queue.get(kind, id);
    if (!job) throw notFound(`there is no apply job ${id}`, { id });
    return jobOf(job);
  };
  return {
    get,
    /** What would be changed, judged by the API server. @throws TowerError `conflict` for nothing to change, `invalid`, `not_found`, `unavailable` */
    plan: async (target: Target, request: ApplyRequest): Promise<ApplyPlan> => {
      const { answer, changes } = await prepared(target, request);
      return { dry_run: true, ...target, changes, confidence: answer.confidence, notes: answer.notes };
    },
    /** @throws TowerError `conflict` while another job of the service is open, else as `plan` */
    start: async (target: Target, request: ApplyRequest): Promise<ApplyJob> => {
      await prepared(target, request);
      const { job, isNew } = await queue.add({
        kind,
        subject: `${target.namespace}/${target.service}`,
        payload: request,
      });
      if (!isNew) throw conflict(`${target.service} is being changed already, by job ${job.id}`, { job: job.id });
      return jobOf(job);
    },
    /** Newest first. */
    list: async (): Promise<ApplyJob[]> => (await queue.list(kind, mostListed)).map(jobOf),
    cancel: async (id: string): Promise<ApplyJob> => {
      await queue.cancel(kind, id);
      return get(id);
    },
    /** As server-sent events; ends with the job, or when the signal aborts. */
    events: (id: string, over: AbortSignal) => jobFrames(queue, { kind, id }, over, jobOf),
  };
}

function targetOf(subject: string): Target {
  const [namespace = '', service = ''] = subject.split('/');
  return { namespace, service };
}

const jobOf = (job: QueuedJob): ApplyJob => ({
  id: job.id,
  ...targetOf(job.subject),
  status: job.state,
  attempts: job.attempts,
  created_at: job.created_at,
  finished_at: job.finished_at,
  progress: job.progress === null ? null : (JSON.parse(job.progress) as ApplyJob['progress']),
  result: job.result === null ? null : (JSON.parse(job.result) as ApplyJob['result']),
  error: job.error,
});
