/** Topics of notifications: which kind of data changed in the store. */
export type Topic = 'events' | 'queue' | 'settled' | 'snapshots' | 'outbox' | 'leader' | 'refresh' | 'drift';

/**
 * Notifies listeners that data changed, in this process and, over a shared store, in other instances. A notification
 * may be lost, so listeners also poll at a longer interval.
 */
export type Notifier = {
  /** `about`: id or name of what changed. */
  notify(topic: Topic, about?: string): void;
  /** @returns a function that removes the listener */
  on(topic: Topic, listener: (about: string) => void): () => void;
};

export function createNotifier(): Notifier {
  const listeners = new Map<Topic, Set<(about: string) => void>>();
  return {
    notify: (topic, about = '') => {
      for (const listener of listeners.get(topic) ?? []) listener(about);
    },
    on: (topic, listener) => {
      const all = listeners.get(topic) ?? new Set();
      listeners.set(topic, all.add(listener));
      return () => void all.delete(listener);
    },
  };
}
