import { parseCookie } from 'undici';
import type { Clock } from '#kernel/clock.ts';
import type { Random } from '#kernel/rng.ts';
import { createEvaluation, type LoadResult, type Sample } from './results.ts';
import type { Scenario, Step } from './scenario.ts';

/**
 * Load generator with an open model: users arrive at random at a constant rate, independent of the service. In a closed
 * model a slow service would get less load and look better than it is. For the same reason latency counts from the
 * scheduled start (coordinated omission).
 */

export type LoadRun = {
  /** `http(s)://host[:port]`, without a path. */
  target: string;
  /** Rounds started per second, on average. */
  arrivalsPerSecond: number;
  /**
   * Number of users that return: each round is made by the user idle for longest, with its cookies; its first round
   * follows the start scenario. If all are busy, a new user arrives. Without it each round is made by a new user.
   */
  users?: number;
  durationSeconds: number;
  /** Part of the duration in which the rate rises at the start and falls at the end, in seconds. */
  rampUpSeconds?: number;
  rampDownSeconds?: number;
  /** Maximum number of concurrent users; further arrivals are rejected and counted. */
  maxUsers: number;
  timeoutMs: number;
};
export type LoadProgress = { elapsed_seconds: number; requests: number; failed: number; users: number };
export type RunResult = LoadResult & {
  /** Distinct users. */
  users: number;
  /** Null if not counted (JMeter). */
  rounds: number | null;
  /** Rejected rounds: the load was lower than configured. */
  turned_away: number;
};

type Tools = {
  clock: Clock;
  random: Random;
  fetch: typeof fetch;
  signal: AbortSignal;
  onProgress(progress: LoadProgress): void;
};

/** Arrival times in seconds of a Poisson process: exponential gaps. */
export function* arrivals(perSecond: number, seconds: number, random: Random): Generator<number> {
  for (let at = gap(perSecond, random); at < seconds; at += gap(perSecond, random)) yield at;
}

/** Share of the full rate at a moment. */
function shareOf({ durationSeconds, rampUpSeconds = 0, rampDownSeconds = 0 }: LoadRun, at: number): number {
  const up = rampUpSeconds > 0 ? at / rampUpSeconds : 1;
  const down = rampDownSeconds > 0 ? (durationSeconds - at) / rampDownSeconds : 1;
  return Math.min(1, up, down);
}

const gap = (perSecond: number, random: Random): number => -Math.log(1 - random()) / perSecond;

/**
 * Runs until the last user has finished. An abort ends it early; the result has what was measured by then.
 * @throws TowerError `invalid` if no request was made
 */
export async function runLoad(scenario: Scenario, run: LoadRun, tools: Tools): Promise<RunResult> {
  const { clock, random, signal } = tools;
  const startedMs = clock.now();
  const evaluation = createEvaluation();
  const activeVisits = new Set<Promise<void>>();
  const away: Session[] = [];
  let [users, rounds, turnedAway, failed, reportedMs] = [0, 0, 0, 0, startedMs];
  const report = (sample: Sample) => {
    evaluation.add(sample);
    if (!sample.ok) failed += 1;
    if (clock.now() - reportedMs < 500) return;
    reportedMs = clock.now();
    tools.onProgress({
      elapsed_seconds: (reportedMs - startedMs) / 1000,
      requests: evaluation.count(),
      failed,
      users: activeVisits.size,
    });
  };
  const isRamped = (run.rampUpSeconds ?? 0) + (run.rampDownSeconds ?? 0) > 0;
  for (const at of arrivals(run.arrivalsPerSecond, run.durationSeconds, random)) {
    // Thinning a Poisson process keeps it a Poisson process.
    if (isRamped && random() >= shareOf(run, at)) continue;
    const dueMs = startedMs + at * 1000;
    if (dueMs > clock.now()) await clock.sleep(dueMs - clock.now(), signal).catch(() => undefined);
    if (signal.aborted) break;
    if (activeVisits.size >= run.maxUsers) {
      turnedAway += 1;
      continue;
    }
    const known = users >= (run.users ?? Number.POSITIVE_INFINITY) ? away.shift() : undefined;
    if (!known) users += 1;
    rounds += 1;
    const session: Session = known ?? { cookies: new Map(), isNew: true };
    const visit = oneRound(scenario, run, tools, session, dueMs, report).finally(() => {
      activeVisits.delete(visit);
      // Without returning users no session is resumed.
      if (run.users !== undefined) away.push(session);
    });
    activeVisits.add(visit);
  }
  await Promise.all(activeVisits);
  const evaluated = evaluation.result();
  // Rejected users sent no requests: the load was lower than configured.
  const low_quality = evaluated.low_quality || turnedAway > maxRejectedShare * (rounds + turnedAway);
  return { ...evaluated, low_quality, users, rounds, turned_away: turnedAway };
}

/** Share of users. */
const maxRejectedShare = 0.05;

type Session = { cookies: Cookies; isNew: boolean };

/** One round, after the start scenario if it is the user's first. A user continues after a failed request. */
async function oneRound(
  { variables, start, rounds, think_seconds }: Scenario,
  run: LoadRun,
  tools: Tools,
  session: Session,
  dueMs: number,
  report: (sample: Sample) => void,
): Promise<void> {
  const { clock, random, signal } = tools;
  const oneOf = <Item>(list: readonly Item[]): Item => list[Math.floor(random() * list.length)]!;
  const drawn = Object.fromEntries(Object.entries(variables).map(([name, values]) => [name, oneOf(values)]));
  const round = oneOf(rounds.flatMap((each) => Array.from({ length: each.weight }, () => each)));
  const steps = session.isNew ? [...start, ...round.steps] : round.steps;
  session.isNew = false;
  let atMs = dueMs;
  for (const [i, step] of steps.entries()) {
    if (i > 0) {
      const [least, greatest] = think_seconds;
      const pauseMs = 1000 * (least + (greatest - least) * random());
      atMs = clock.now() + pauseMs;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
    if (signal.aborted) return;
    const failure = await request(step, drawn, session.cookies, run, tools);
    // Requests cut off by the abort do not count.
    if (signal.aborted) return;
    report({
      startMs: atMs,
      elapsedMs: clock.now() - atMs,
      label: step.name,
      ok: failure === null,
      error: failure ?? '',
    });
  }
}

/** Null on success, else the reason. Follows redirects and keeps cookies. */
async function request(
  { method, path, form, expect_text }: Step,
  drawn: Record<string, string>,
  cookies: Cookies,
  { target, timeoutMs }: LoadRun,
  tools: Tools,
): Promise<string | null> {
  const filled = (text: string) => text.replaceAll(/\{\{([\w-]+)\}\}/g, (_, name: string) => drawn[name] ?? '');
  const fields = Object.entries(form ?? {}).map(([key, value]): [string, string] => [key, filled(value)]);
  const signal = AbortSignal.any([tools.signal, AbortSignal.timeout(timeoutMs)]);
  let url = new URL(filled(path), target);
  // A variable's value in the path may have changed the origin.
  const { origin } = new URL(target);
  let call: RequestInit = method === 'GET' ? { method } : { method, body: new URLSearchParams(fields) };
  try {
    for (let hops = 0; hops <= maxRedirects; hops += 1) {
      if (url.origin !== origin) return `redirects to ${url.origin}, which is not the load target`;
      const response = await tools.fetch(url, {
        ...call,
        headers: cookieHeader(cookies, tools.clock.now()),
        redirect: 'manual',
        signal,
      });
      takeCookies(response, cookies, tools.clock.now());
      const text = await response.text();
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location !== null) {
        [url, call] = [new URL(location, url), { method: 'GET' }];
        continue;
      }
      if (response.status >= 400) return `${response.status} ${response.statusText}`.trim();
      return expect_text === undefined || text.includes(expect_text)
        ? null
        : `the response does not contain ${JSON.stringify(expect_text)}`;
    }
    return `more than ${maxRedirects} redirects`;
  } catch (error) {
    if (signal.aborted) return `no answer within ${timeoutMs / 1000} s`;
    const { cause } = error as { cause?: { code?: string; message?: string } };
    return cause?.code ?? cause?.message ?? 'connection closed';
  }
}

const maxRedirects = 5;

type Cookies = Map<string, { value: string; expiresMs: number }>;

function cookieHeader(cookies: Cookies, nowMs: number): Record<string, string> {
  for (const [name, { expiresMs }] of cookies) if (expiresMs <= nowMs) cookies.delete(name);
  const text = [...cookies].map(([name, { value }]) => `${name}=${value}`).join('; ');
  return text === '' ? {} : { cookie: text };
}

/** As many as browsers keep of one site; a server can set any number. */
const maxCookies = 180;

/** Domain and path of cookies are ignored: all requests go to one server in a short session. */
function takeCookies(response: Response, cookies: Cookies, nowMs: number): void {
  for (const line of response.headers.getSetCookie()) {
    const cookie = parseCookie(line);
    if (!cookie || cookie.name === '') continue;
    const { name, value, maxAge, expires } = cookie;
    // Max-Age has precedence over Expires (RFC 6265, 5.3); expired cookies are deleted.
    const expiresMs =
      maxAge === undefined ? Number(expires ?? Number.POSITIVE_INFINITY) : maxAge > 0 ? nowMs + maxAge * 1000 : 0;
    if (cookies.has(name) || cookies.size < maxCookies) cookies.set(name, { value, expiresMs });
  }
}
