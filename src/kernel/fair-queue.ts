import { TowerError, unavailable } from './errors.ts';

/** Limits: `slots` run at once, `waiting` wait, `perClient` of one client are unfinished. */
type Limits = { slots: number; waiting: number; perClient: number };
/** `turn`: number of its latest turn; 0 before its first one. */
type Client = { running: number; waiting: (() => void)[]; turn: number };

export type FairQueue = {
  /**
   * Runs work when a slot is free. Clients take turns, and none takes the last slot of several, so that a client with
   * much work delays others by at most one piece of it.
   * @param client - undefined for work of this service itself, which has no limit per client
   * @throws TowerError `limited` for too much work of one client, `unavailable` if too much waits; the signal's reason
   */
  run<T>(client: string | undefined, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
};

export function createFairQueue({ slots, waiting: maxWaiting, perClient }: Limits): FairQueue {
  const clients = new Map<string | undefined, Client>();
  const share = Math.max(1, slots - 1);
  let [running, waiting, turns] = [0, 0, 0];

  const startNext = (): void => {
    while (running < slots) {
      const ready = [...clients.values()].filter((each) => each.waiting.length > 0 && each.running < share);
      if (ready.length === 0) return;
      const client = ready.reduce((first, each) => (each.turn < first.turn ? each : first));
      turns += 1;
      client.turn = turns;
      client.running += 1;
      running += 1;
      waiting -= 1;
      client.waiting.shift()!();
    }
  };

  const slotOf = (client: Client, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const start = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        client.waiting.splice(client.waiting.indexOf(start), 1);
        waiting -= 1;
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      client.waiting.push(start);
      waiting += 1;
      startNext();
    });

  return {
    run: async (name, work, signal) => {
      signal?.throwIfAborted();
      const client = clients.get(name) ?? { running: 0, waiting: [], turn: 0 };
      if (name !== undefined && client.running + client.waiting.length >= perClient) throw tooMuch(perClient);
      if ((running >= slots || client.running >= share) && waiting >= maxWaiting)
        throw unavailable('the queue of computations is full');
      clients.set(name, client);
      try {
        await slotOf(client, signal);
        try {
          return await work();
        } finally {
          client.running -= 1;
          running -= 1;
        }
      } finally {
        if (client.running + client.waiting.length === 0) clients.delete(name);
        startNext();
      }
    },
  };
}

const tooMuch = (limit: number) =>
  new TowerError('limited', `${limit} computations of this client are unfinished; retry later`, {
    details: { limit },
    retryAfterSeconds: 2,
  });
