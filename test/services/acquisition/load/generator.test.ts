import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '#kernel/clock.ts';
import { seededRandom } from '#kernel/rng.ts';
import { arrivals, type LoadProgress, type LoadRun, runLoad } from '#services/acquisition/load/generator.ts';
import { readScenario, type Scenario, scenarios } from '#services/acquisition/load/scenario.ts';
import { fakeBoutique } from '../../../fakes/boutique.ts';
import { freePort } from '../../../support/processes.ts';

const quick = (scenario: Scenario): Scenario => ({ ...scenario, think_seconds: [0, 0.005] });

function runAt(port: number, scenario: Scenario, change: Partial<LoadRun> = {}, over = new AbortController()) {
  const run = {
    target: `http://127.0.0.1:${port}`,
    arrivalsPerSecond: 100,
    durationSeconds: 1,
    maxUsers: 100,
    timeoutMs: 5_000,
    ...change,
  };
  const told: LoadProgress[] = [];
  const tools = {
    clock: systemClock,
    random: seededRandom(3),
    fetch,
    signal: over.signal,
    onProgress: (progress: LoadProgress) => void told.push(progress),
  };
  return { done: runLoad(scenario, run, tools), told };
}

describe('arrivals', () => {
  it('follow the rate and the ramp, with Poisson gaps', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 10, max: 50 }), (seed, rate) => {
        const moments = [...arrivals(rate, 200, seededRandom(seed))];
        // Six standard deviations.
        expect(Math.abs(moments.length - 200 * rate)).toBeLessThan(6 * Math.sqrt(200 * rate));
        expect(moments.every((at, i) => at < 200 && at > (moments[i - 1] ?? 0))).toBe(true);
        const gaps = moments.slice(1).map((at, i) => at - moments[i]!);
        const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
        const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
        // For exponential gaps the standard deviation equals the mean.
        expect(Math.sqrt(variance) / mean).toBeGreaterThan(0.7);
        expect(Math.sqrt(variance) / mean).toBeLessThan(1.4);
      }),
    );
  });
});

describe('the load generator', () => {
  it('keeps a session per user, and follows redirects', async () => {
    const shop = await fakeBoutique();
    const { done, told } = runAt(shop.port, quick(scenarios.checkout));
    const result = await done;
    expect(result).toMatchObject({ failed_requests: 0, low_quality: false, turned_away: 0 });
    expect(result.users).toBeGreaterThan(60);
    expect(result.total_requests).toBe(5 * result.users);
    expect(shop.orders).toHaveLength(result.users);
    expect(shop.orders.every(({ items }) => items === 1)).toBe(true);
    expect(told.length).toBeGreaterThan(0);
  });

  it('has users return, so that rounds match the weights', async () => {
    const clock = handMoved();
    const page: typeof fetch = async () => {
      await clock.sleep(10);
      return new Response('a page');
    };
    let isOver = false;
    const done = runLoad(
      quick(scenarios.browsing),
      {
        target: 'http://shop',
        arrivalsPerSecond: 20,
        durationSeconds: 50,
        users: 10,
        maxUsers: 400,
        timeoutMs: 60_000,
      },
      {
        clock,
        random: seededRandom(3),
        fetch: page,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    ).finally(() => {
      isOver = true;
    });
    await clock.passUntil(() => isOver);
    const result = await done;
    expect(result).toMatchObject({ failed_requests: 0, users: 10 });
    expect(result.rounds).toBeGreaterThan(900);
    // Each user started once; rounds: currency 2, product 10, cart 3, home 1 of 16.
    const shareOf = (name: string) => result.requests[name]!.total / (result.total_requests - result.users);
    expect(Math.abs(shareOf('product') - 10 / 16)).toBeLessThan(0.06);
    expect((result.requests['home']!.total - result.users) / result.rounds!).toBeLessThan(0.1);
  });

  it('sends a cookie until it expires or is deleted', async () => {
    const clock = handMoved();
    const sent: string[] = [];
    const answers = [
      ['a=1; Path=/', 'b=2; Max-Age=3600', 'c=3'],
      [
        'a=; Max-Age=0',
        'b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
        'c=4; Max-Age=0; Expires=Fri, 01 Jan 2100 00:00:00 GMT',
      ],
      [],
    ];
    const shop: typeof fetch = async (_, init) => {
      sent.push(new Headers(init?.headers).get('cookie') ?? '');
      const response = new Response('a page');
      for (const line of answers[sent.length - 1] ?? []) response.headers.append('set-cookie', line);
      return response;
    };
    const scenario = await readScenario('name: own\nrounds: [{name: a, steps: [{name: home, path: /}]}]\n');
    let isOver = false;
    const done = runLoad(
      scenario,
      { target: 'http://shop', arrivalsPerSecond: 1, durationSeconds: 8, users: 1, maxUsers: 1, timeoutMs: 60_000 },
      {
        clock,
        random: seededRandom(5),
        fetch: shop,
        signal: new AbortController().signal,
        onProgress: () => undefined,
      },
    ).finally(() => {
      isOver = true;
    });
    await clock.passUntil(() => isOver);
    await done;
    expect(sent.slice(0, 3)).toEqual(['', 'a=1; b=2; c=3', '']);
  });

  it('never leaves the target, whatever the scenario contains', async () => {
    const [shop, other] = [await fakeBoutique(), await fakeBoutique()];
    for (const path of ['//127.0.0.1:{port}/', '/\\127.0.0.1:{port}/']) {
      const yaml = JSON.stringify({ name: 'x', rounds: [{ name: 'a', steps: [{ name: 'b', path }] }] });
      await expect(readScenario(yaml)).rejects.toThrow('must begin with one /');
    }
    const sly = {
      name: 'x',
      variables: { where: [`/127.0.0.1:${other.port}/`] },
      rounds: [{ name: 'a', steps: [{ name: 'b', path: '/{{where}}' }] }],
    };
    const result = await runAt(shop.port, quick(await readScenario(JSON.stringify(sly)))).done;
    expect(result.success_rate).toBe(0);
    expect(Object.keys(result.requests['b']!.failures)).toEqual([
      `redirects to http://127.0.0.1:${other.port}, which is not the load target`,
    ]);
    expect(other.seen).toEqual({});
  });

  it('reports failures with reasons', async () => {
    const shop = await fakeBoutique({ failing: 0.25 });
    const own = await readScenario(
      'name: own\nrounds: [{name: a, steps: [{name: home, path: /}, {name: none, path: /nothing}, {name: text, path: /cart, expect_text: Bread}]}]\n',
    );
    const result = await runAt(shop.port, quick(own)).done;
    expect(result.low_quality).toBe(true);
    expect(result.requests['none']!.failed).toBe(result.requests['none']!.total);
    expect(result.requests['none']!.failures['404 Not Found']).toBeGreaterThan(0);
    expect(result.requests['text']!.failures['the response does not contain "Bread"']).toBeGreaterThan(0);
    const nobody = await runAt(await freePort(), quick(own), { durationSeconds: 0.2 }).done;
    expect(nobody.requests['home']!.failures).toEqual({ ECONNREFUSED: nobody.users });
  });

  it('keeps sending while the service is slow, and counts the wait', async () => {
    const own = await readScenario('name: own\nrounds: [{name: a, steps: [{name: home, path: /}]}]\n');
    // All answers arrive when the gate opens, 0.2 s after the last user.
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let waiting = 0;
    const slow: typeof fetch = async () => {
      waiting += 1;
      await gate;
      return new Response('ok');
    };
    const clock = handMoved();
    const run = { target: 'http://shop', arrivalsPerSecond: 10, durationSeconds: 10, maxUsers: 40, timeoutMs: 60_000 };
    const done = runLoad(own, run, {
      clock,
      random: seededRandom(1),
      fetch: slow,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await clock.passUntil(() => clock.asleep() === 0);
    expect(waiting).toBe(40);
    open();
    const result = await done;
    // About a hundred arrived in ten seconds; forty were accepted, the first of whom waited nearly all the time.
    expect(result.users).toBe(40);
    expect(result.turned_away).toBeGreaterThan(30);
    // All requests succeeded, but far too few were sent.
    expect(result.low_quality).toBe(true);
    expect(result.max_response_time).toBeGreaterThan(8_000);
  });

  it('ends when aborted, with the results so far', async () => {
    const shop = await fakeBoutique();
    const over = new AbortController();
    const { done, told } = runAt(shop.port, quick(scenarios.checkout), { durationSeconds: 3600 }, over);
    await expect.poll(() => told.length, { timeout: 8_000 }).toBeGreaterThan(0);
    over.abort();
    const result = await done;
    expect(result.total_requests).toBeGreaterThan(0);
    expect(result.duration_seconds).toBeLessThan(10);
  });
});

/** A clock whose sleepers wake in order, as soon as nothing else is to be done. */
function handMoved() {
  let now = 1_000_000;
  const sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => now,
    asleep: () => sleepers.length,
    sleep: (ms: number) =>
      new Promise<void>((wake) => {
        sleepers.push({ at: now + ms, wake });
      }),
    passUntil: async (over: () => boolean) => {
      do {
        sleepers.sort((a, b) => a.at - b.at);
        const next = sleepers.shift();
        if (next) {
          now = Math.max(now, next.at);
          next.wake();
        }
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      } while (!over());
    },
  };
}
