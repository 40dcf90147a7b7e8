import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { TowerError } from '#kernel/errors.ts';
import { fakeMlflow, mlflowError } from '../../../fakes/mlflow.ts';
import { smallRegistry } from '../../../fakes/small-registry.ts';
import { instantClock, noSignal, snapshotOf, sourceFor } from '../../../support/sources.ts';

const failure = async (promise: Promise<unknown>): Promise<TowerError> => {
  const error = await promise.catch((thrown: unknown) => thrown);
  if (!(error instanceof TowerError)) throw new Error(`expected a TowerError, got ${String(error)}`);
  return error;
};

describe('errors of MLflow', () => {
  const cases: [string, { status: number; type?: string; body?: string; headers?: Record<string, string> }, RegExp][] =
    [
      [
        '401 as text',
        { status: 401, type: 'text/plain', body: 'You are not authenticated.' },
        /refused the credentials \(401\).*MLFLOW_TRACKING_USERNAME/,
      ],
      [
        '403 Host header',
        { status: 403, type: 'text/plain', body: 'Invalid Host header - possible DNS rebinding attack detected' },
        /403: Invalid Host header/,
      ],
      ['404 HTML', { status: 404, type: 'text/html', body: '<h1>Not Found</h1>' }, /check the path prefix/],
      ['405 HTML', { status: 405, type: 'text/html', body: '<h1>Not Allowed</h1>' }, /answered 405/],
      ['500 HTML', { status: 500, type: 'text/html', body: '<h1>Oops</h1>' }, /answered 500/],
      ['503 text', { status: 503, type: 'text/plain', body: 'artifacts only' }, /answered 503/],
      [
        'a login page with 200',
        { status: 200, type: 'text/html', body: '<html>Sign in</html>' },
        /did not answer with JSON; is it the address of an MLflow server/,
      ],
      [
        'a redirect',
        { status: 302, headers: { location: 'http://169.254.169.254/' } },
        /redirects \(302\); set it to the final address/,
      ],
      [
        'an MLflow error',
        mlflowError(400, 'INVALID_PARAMETER_VALUE', 'no'),
        /answered 400 \(INVALID_PARAMETER_VALUE\)/,
      ],
    ];
  it.each(cases)('name the cause: %s', async (_name, answer, text) => {
    const fake = await fakeMlflow(smallRegistry());
    fake.instead['registered-models/search'] = answer;
    const error = await failure(sourceFor(fake.url).readRegistry(null, noSignal));
    expect(error.code).toBe('unavailable');
    expect(error.message).toMatch(text);
  });

  it('include an unreachable server', async () => {
    const fake = await fakeMlflow();
    await fake.close();
    const error = await failure(sourceFor(fake.url).readRegistry(null, noSignal));
    expect(error.message).toMatch(/cannot reach MLflow \(ECONNREFUSED\)/);
  });

  it('429 and 503 are retried after Retry-After', async () => {
    const fake = await fakeMlflow(smallRegistry());
    const clock = instantClock();
    let refusals = 2;
    fake.instead['experiments/search'] = () =>
      refusals-- > 0 ? { status: 429, headers: { 'retry-after': '7' } } : null;
    const source = sourceFor(fake.url, { clock, maxRetries: 3 });
    expect((await snapshotOf(source)).experiments).toHaveLength(2);
    expect(clock.slept).toEqual([7000, 7000]);
  });

  it('are retried with backoff up to the maximum', async () => {
    const fake = await fakeMlflow(smallRegistry());
    fake.instead['experiments/search'] = { status: 502, type: 'text/html', body: '<h1>Bad Gateway</h1>' };
    const clock = instantClock();
    const source = sourceFor(fake.url, { clock, maxRetries: 3 });
    expect((await failure(source.readRegistry(null, noSignal))).message).toBe('MLflow answered 502');
    expect(fake.calls.filter((call) => call.endsWith('experiments/search'))).toHaveLength(4);
    expect(clock.slept).toEqual([187.5, 375, 750]);
  });
});

describe('TLS', () => {
  const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/tls/${name}`, import.meta.url));
  const own = {
    key: readFileSync(fixture('localhost-key.pem'), 'utf8'),
    cert: readFileSync(fixture('localhost-cert.pem'), 'utf8'),
  };

  it('refuses a self-signed certificate unless its authority is configured or verification is off', async () => {
    const fake = await fakeMlflow(smallRegistry(), own);
    expect((await failure(sourceFor(fake.url).readRegistry(null, noSignal))).message).toMatch(
      /cannot reach MLflow \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    );
    expect((await snapshotOf(sourceFor(fake.url, { caPath: fixture('localhost-cert.pem') }))).versions).toHaveLength(5);
    expect((await snapshotOf(sourceFor(fake.url, { insecureTls: true }))).versions).toHaveLength(5);
  });

  it('names the setting of an unreadable certificate file', () => {
    expect(() => sourceFor('https://localhost', { caPath: '/nowhere.pem' })).toThrow(
      'MLFLOW_TRACKING_SERVER_CERT_PATH: cannot read /nowhere.pem (ENOENT)',
    );
  });
});

describe('recorded answers of MLflow 3.11', () => {
  type Recording = {
    method: string;
    path: string;
    query: Record<string, unknown> | null;
    body: Record<string, unknown> | null;
    status: number;
    content_type: string;
    json: unknown;
    text: string | null;
  };
  const { recordings } = JSON.parse(
    readFileSync(new URL('../../../fixtures/mlflow-3.11-sql.json', import.meta.url), 'utf8'),
  ) as { recordings: Recording[] };
  const recorded = (path: string, holds: (recording: Recording) => boolean) => {
    const found = recordings.find((item) => item.path.endsWith(path) && item.status === 200 && holds(item));
    return { status: 200, type: 'application/json', body: found?.text ?? JSON.stringify(found?.json) };
  };

  it('odd names, a dangling alias, deleted runs and NaN are kept', async () => {
    const fake = await fakeMlflow();
    fake.instead['experiments/search'] = recorded('experiments/search', (item) => item.query?.['view_type'] === 'ALL');
    fake.instead['registered-models/search'] = recorded(
      'registered-models/search',
      (item) => item.query?.['max_results'] === 1000,
    );
    fake.instead['model-versions/search'] = recorded(
      'model-versions/search',
      (item) => item.query?.['max_results'] === 10000,
    );
    fake.instead['runs/search'] = recorded('runs/search', (item) => item.body?.['run_view_type'] === 'ALL');
    const snapshot = await snapshotOf(sourceFor(fake.url));
    const name = 'DNA Analysis "v" Model';
    expect(snapshot.models.get(name)?.versions.map((item) => [item.version, item.stage, item.aliases])).toEqual([
      ['1', 'Production', ['champion', 'prod-eu']],
      ['2', 'Staging', ['challenger']],
      ['4', 'None', []],
    ]);
    expect(snapshot.danglingAliases).toEqual([{ name, alias: 'dangling', version: '3' }]);
    expect(snapshot.models.get(name)?.versions[2]?.run).toMatchObject({ deleted: true });
    expect(snapshot.models.get(name)?.versions[0]?.run?.metrics['bad']).toBeNull();
    expect([...snapshot.models.keys()]).not.toContain('a_prompt');
    expect(snapshot.models.has('Detox: CAT')).toBe(true);
  });

  it('a bare NaN in the bulk history is read as null', async () => {
    const fake = await fakeMlflow();
    fake.instead['get-history-bulk'] = recorded('get-history-bulk', (item) => item.text !== null);
    const points = await sourceFor(fake.url).readHistory(['x'], ['bad'], noSignal);
    expect(points).toEqual([
      {
        metric: 'bad',
        value: null,
        at: 1_700_000_000_000,
        step: 0,
        runId: 'e31caf15d54440a287cbacccfcbe4a19',
        dataset: null,
      },
    ]);
  });
});
