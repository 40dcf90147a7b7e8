import { type Clock, steadyMs } from '#kernel/clock.ts';
import { publicText, type TowerError } from '#kernel/errors.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { RegistrySource } from '../sources/source.ts';

/**
 * The single owner of the mirror's content. Every read is passed to `swap`; subscribers (journal, cache file, sharing)
 * are called after every swap, and change the snapshot only by another swap.
 */

export type Content = {
  snapshot: Snapshot | null;
  /** Source of `snapshot`. */
  source: RegistrySource;
  origin: 'mlflow' | 'sample';
  /** Shared revision that `snapshot` derives from; null: none. */
  revision: number | null;
};

export type Swap = Content & { snapshot: Snapshot } & (
    | {
        /** A full read by this instance, started at `from` (milliseconds since 1970). */
        cause: 'read';
        from: number;
      }
    | {
        /** Some models, read by name by this instance. */
        cause: 'models';
        from: number;
        names: ReadonlySet<string>;
      }
    /**
     * shared: read by another instance. reread: models read again to merge both. cache: the cache file, at the start.
     * sample: sample data in place of the registry.
     */
    | { cause: 'shared' | 'reread' | 'cache' | 'sample' }
  );

type Subscriber = (swap: Swap) => Promise<void> | void;

export type MirrorState = ReturnType<typeof createMirrorState>;

/** @param source - the configured registry, or the sample if none is configured */
export function createMirrorState(
  source: RegistrySource,
  origin: Content['origin'],
  clock: Pick<Clock, 'now' | 'steady'>,
) {
  let content: Content = { snapshot: null, source, origin, revision: null };
  /** Steady time at which the snapshot's age was 0, so that a step of the wall clock does not change the age. */
  let readAtSteady = 0;
  const connection = createConnection();
  let rounds = 0;
  const subscribers: Subscriber[] = [];
  return {
    content: (): Readonly<Content> => content,
    ...connection,
    /** Full reads so far, including those before a restart. */
    rounds: () => rounds,
    ageMs: () => (content.snapshot ? steadyMs(clock) - readAtSteady : null),
    /** Subscribers are called in the order of their subscription; each is awaited. */
    subscribe: (subscriber: Subscriber): void => void subscribers.push(subscriber),
    /**
     * Replaces the content and notifies the subscribers.
     * @param expected - the snapshot that the new one was made from
     * @returns false, without a change, if another snapshot has replaced `expected`
     */
    swap: async (swap: Swap, expected?: Snapshot | null): Promise<boolean> => {
      if (expected !== undefined && content.snapshot !== expected) return false;
      const before = content;
      const { snapshot, source, origin, revision } = swap;
      content = { snapshot, source, origin, revision };
      // Models read by name do not change the time at which the registry was read.
      if (before.snapshot?.readAt !== snapshot.readAt)
        readAtSteady = steadyMs(clock) - Math.max(0, clock.now() - snapshot.readAt);
      if (swap.cause === 'read') {
        connection.answered();
        rounds += 1;
      }
      // A shared snapshot implies that the source is reachable, until this instance has tried.
      if (swap.cause === 'shared' && connection.connected() === null) connection.answered();
      const notified = notifyAll(subscribers, swap);
      // The configured source stays open while sample data is shown in its place.
      if (before.origin === 'sample' && before.source !== source) await before.source.close();
      await notified;
      return true;
    },
    /** Sets the shared revision that the snapshot contains. */
    published: (revision: number): void => {
      content = { ...content, revision };
    },
    /** Continues the count of rounds after a restart. */
    resume: (before: number): void => {
      rounds = before;
    },
  };
}

/** Calls subscribers in order; synchronous up to the first one that returns a promise. */
const notifyAll = (subscribers: readonly Subscriber[], swap: Swap): Promise<void> | null =>
  subscribers.reduce(
    (before: Promise<void> | null, subscriber) =>
      before === null ? (subscriber(swap) ?? null) : before.then(() => subscriber(swap)),
    null,
  );

/** Whether the configured source answers. */
function createConnection() {
  let connected: boolean | null = null;
  let lastError: string | null = null;
  let isDoubted = false;
  return {
    /** Whether the last read was answered, but not believed. */
    isDoubted: () => isDoubted,
    /** Records that the source answered what must not be believed yet. The content is still served, as stale. */
    doubted: (reason: string): void => {
      connected = true;
      isDoubted = true;
      lastError = reason;
    },
    /** Result of the last attempt; null before the first. */
    connected: () => connected,
    lastError: () => lastError,
    /**
     * Records that the source did not answer. The content is still served, as stale.
     * @returns whether the state changed
     */
    failed: (error: TowerError): boolean => {
      const isNews = connected !== false;
      isDoubted = false;
      connected = false;
      lastError = publicText(error);
      return isNews;
    },
    answered: (): void => {
      connected = true;
      isDoubted = false;
      lastError = null;
    },
  };
}
