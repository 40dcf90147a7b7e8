/** What may be announced: that something of it is new in the store. */
export type Topic = 'events' | 'queue' | 'settled' | 'snapshots' | 'outbox' | 'leader' | 'refresh';

/**
 * Tells those who wait that something is new, on this tower and, where several share a store, on the others. A hint: it
 * may be lost, so whoever waits looks by itself too, only later.
 */
export type Notifier = {
  /** `about`: what of it, an id or a name. */
  notify(topic: Topic, about?: string): void;
  /** @returns what ends the listening */
  on(topic: Topic, listener: (about: string) => void): () => void;
};

export function createNotifier(): Notifier {
  const listeners = new Map<Topic, Set<(about: string) => void>>();
  return {
    notify: (topic, about = '') => {
      for (const tell of listeners.get(topic) ?? []) tell(about);
    },
    on: (topic, listener) => {
      const all = listeners.get(topic) ?? new Set();
      listeners.set(topic, all.add(listener));
      return () => void all.delete(listener);
    },
  };
}
