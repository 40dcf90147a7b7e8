import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Config, Secrets } from '#config/config.ts';
import type { Clock } from '#kernel/clock.ts';
import type { Job } from '#kernel/jobs.ts';
import type { Releaser } from '#kernel/lifecycle.ts';
import type { RootLog } from '#kernel/log.ts';
import type { GaugeReading, Metrics } from '#kernel/metrics.ts';
import type { Outbound } from '#kernel/outbound.ts';
import type { Random } from '#kernel/rng.ts';
import type { DeriveKey } from '#store/master-key.ts';
import type { Topic } from '#store/notifier.ts';
import type { Outbox, Sender } from '#store/outbox.ts';
import type { Queue } from '#store/queue.ts';
import type { Store } from '#store/store.ts';

/** Shared dependencies of all areas. */
export type Frame = {
  config: Config;
  secrets: Secrets;
  version: string;
  /** Name of this instance among those that share the store; never used twice. */
  instance: string;
  store: Store;
  queue: Queue;
  outbox: Outbox;
  outbound: Outbound;
  deriveKey: DeriveKey;
  clock: Clock;
  random: Random;
  log: RootLog;
  metrics: Metrics;
  /** Registers a shutdown step right after a resource is acquired; later steps run first. */
  defer: Releaser['defer'];
};

/** Routes, jobs and gauges of one area. */
export type Area = {
  name: string;
  routes?: (app: FastifyInstance) => Promise<void>;
  /** Changes the path of a request before it is routed; at most one area sets it. */
  rewriteUrl?: (request: IncomingMessage) => string;
  /** Every instance runs them. */
  jobs?: AreaJob[];
  /** Only the leader runs them; called when this instance acquires leadership. */
  leaderJobs?: () => AreaJob[];
  /** Once per occurrence, on any instance. */
  scheduledJobs?: ScheduledJob[];
  /** By kind of message. */
  outboxSenders?: Record<string, { send: Sender; maxAttempts: number }>;
  /** Read at each scrape. */
  gauges?: GaugeReading[];
  health?: AreaHealth;
  /** Whether it can answer; the instance is ready when all areas are. */
  isReady?: () => boolean;
  /** Called once, when the instance listens. */
  start?: () => void;
  /** Aborts running reads, so that shutdown does not wait for a slow server. */
  abort?: () => void;
};

/** `wakeOn`: a notification that runs the job at once; `nudgeOn`: one that runs it within its first retry. */
export type AreaJob = Job & {
  wakeOn?: Notification;
  nudgeOn?: Notification;
  /** false: runs every few seconds, and its runs are not recorded in the store. */
  isRecorded?: false;
};
/** `about`: only notifications about this subject count. */
type Notification = { topic: Topic; about?: string };

export type ScheduledJob = { kind: string; everyMs: number; run: (signal: AbortSignal) => Promise<void> };

/** Fields that an area adds to the body of /health; the worst status of all areas is the instance's. */
export type AreaHealth = { schema: z.ZodObject; read: () => { status: HealthStatus } & Record<string, unknown> };
export type HealthStatus = 'healthy' | 'degraded' | 'starting';
