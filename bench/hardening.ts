import { Agent, get, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgres } from '../test/support/postgres-server.ts';
import { type Hostile, hostileRequests } from './hardening/requests.ts';
import { soak } from './hardening/soak.ts';
import { percentile, type Report } from './support/report.ts';
import { inDirectory, msUntil200, rssMiB, startTower } from './support/towers.ts';

/**
 * Hostile requests, 200 of each kind, four at a time, while another client asks /healthz: the server neither ends nor blocks,
 * and its memory is released. Clients of slow requests leave after a second. Rate limits are off: they would hide the rest.
 * HOSTILE_REQUESTS sets another number, HOSTILE_KINDS selects kinds by a regular expression.
 */
const perKind = Number(process.env['HOSTILE_REQUESTS'] ?? 200);
const atOnce = 4;
const leaveAfterMs = 1_000;

export async function bench(report: Report, only?: string): Promise<void> {
  if (only === 'soak') return soak(report);
  for (const engine of ['sqlite', 'postgres']) {
    if (only !== undefined && only !== engine) continue;
    const server = engine === 'postgres' ? await startPostgres() : null;
    if (engine === 'postgres' && !server) {
      report.skip('hardening over PostgreSQL', 'there is no PostgreSQL here');
      continue;
    }
    const env = server ? { DATABASE_URL: server.url, TOWER_SECRET_KEY: 'k'.repeat(40) } : {};
    await inDirectory((directory) => attack(report, engine, directory, env));
    await server?.stop();
  }
}

async function attack(report: Report, engine: string, directory: string, env: Record<string, string>): Promise<void> {
  const tower = await startTower(directory, { ...noLimits, ...env });
  const pid = tower.child.pid!;
  try {
    await msUntil200(`${tower.url}/readyz`, performance.now(), tower);
    const hostile = await hostileRequests(tower.url);
    const wanted = new RegExp(process.env['HOSTILE_KINDS'] ?? '');
    for (const each of hostile.filter(({ name }) => wanted.test(name))) {
      const [statuses, delays] = await withProbe(tower.url, () => repeated(tower.url, each));
      report.note(`${engine}, ${each.name}: ${perKind} requests, ${describe(statuses)}; RSS ${rssMiB(pid).now} MiB`);
      report.atMost(`${engine}, ${each.name}: /healthz p99 in ms`, percentile(delays, 0.99), 100);
    }
    await waits(report, engine, tower.url, hostile.find(({ name }) => name === 'heavy forecasts')!);
    report.atMost(`${engine}: unexpected exits`, tower.child.exitCode === null ? 0 : 1, 0);
    report.atMost(`${engine}: peak RSS in MiB`, rssMiB(pid).peak, 2048);
    for (let second = 0; second < 60 && rssMiB(pid).now > 600; second += 1) await pause(1_000);
    report.atMost(`${engine}: RSS in MiB within a minute`, rssMiB(pid).now, 600);
  } finally {
    await tower.stop();
  }
}

const noLimits = { RATE_LIMIT_RECORD_PER_MINUTE: '10000000', RATE_LIMIT_POINTS_PER_MINUTE: '1000000000' };

/** How long a light forecast of another client waits beside 70 heavy ones, relative to one heavy forecast. */
async function waits(report: Report, engine: string, url: string, heavy: Hostile): Promise<void> {
  const alone = await timed(() => send(url, heavy, 120_000));
  const crowd = Array.from({ length: 70 }, () => send(url, heavy, 120_000));
  const light = {
    ...heavy,
    body: JSON.stringify({ values: [1, 2, 3, 4, 5, 6, 7, 8], horizon: 2, members: ['persistence'] }),
  };
  const waited = await timed(() => send(url, light, 120_000, '127.0.0.2'));
  const statuses = await Promise.all(crowd);
  report.note(`${engine}: one heavy forecast ${Math.round(alone)} ms; of 70 at once: ${describe(statuses)}`);
  report.atMost(`${engine}: wait of another client beside 70 heavy forecasts, relative to one`, waited / alone, 2);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work();
  return performance.now() - since;
}

async function repeated(url: string, hostile: Hostile): Promise<string[]> {
  const statuses: string[] = [];
  let left = perKind;
  const client = async () => {
    while (left > 0) {
      left -= 1;
      statuses.push(await send(url, hostile, hostile.isSlow ? leaveAfterMs : 60_000));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return statuses;
}

const agent = new Agent({ keepAlive: true });

/** Status of the answer, `left` if this client left first, or the error's code. */
function send(
  url: string,
  { method, path, headers, body }: Hostile,
  ms: number,
  localAddress?: string,
): Promise<string> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(ms);
    const options = { method, headers, agent, signal, ...(localAddress ? { localAddress } : {}) };
    const call = request(url + path, options, (response) => {
      response
        .on('error', () => resolve('left'))
        .once('end', () => resolve(String(response.statusCode)))
        .resume();
    });
    call.once('error', (error: NodeJS.ErrnoException) => resolve(signal.aborted ? 'left' : (error.code ?? 'error')));
    call.end(body);
  });
}

/** Milliseconds of /healthz, asked every 20 ms while the work runs. */
async function withProbe<T>(url: string, work: () => Promise<T>): Promise<[T, number[]]> {
  const delays: number[] = [];
  let isOver = false;
  const probe = async () => {
    while (!isOver) {
      delays.push(
        await timed(
          () =>
            new Promise((done) =>
              get(`${url}/healthz`, { agent }, (r) => r.once('end', done).resume()).once('error', done),
            ),
        ),
      );
      await pause(20);
    }
  };
  const probing = probe();
  const result = await work();
  isOver = true;
  await probing;
  return [result, delays];
}

const describe = (statuses: string[]): string =>
  [...Map.groupBy(statuses, (status) => status)].map(([status, all]) => `${all.length} × ${status}`).join(', ');
