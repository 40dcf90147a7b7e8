import { existsSync, readdirSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, inject, it, vi } from 'vitest';
import { run } from '#cli/main.ts';
import { migrations } from '#store/migrate.ts';
import { openMetricStore, openStore } from '#store/open-store.ts';
import { answerOf } from '../support/analytics.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { testNow } from '../support/sources.ts';
import { databaseOf, openRawSql } from '../support/stores.ts';
import { temporaryDirectory, testTower } from '../support/tower.ts';

const key = 'k'.repeat(40);
const watched = (name: string) => ({
  registry: 'default',
  name,
  version: '1',
  model_type: 'classifier' as const,
  registered_by: 'dana',
  registered_at: '2026-01-01T00:00:00.000Z',
  run_id: null,
});

async function command(env: Record<string, string>, ...args: string[]) {
  const [out, err]: [string[], string[]] = [[], []];
  process.exitCode = 0;
  const say = {
    serve: async () => undefined,
    out: (text: string) => out.push(text),
    err: (text: string) => err.push(text),
  };
  await run(args, { ...say, env });
  const code = process.exitCode;
  process.exitCode = 0;
  return { code, out: out.join('\n'), err: err.join('\n') };
}

const freshDatabase = async () => (await databaseOf(temporaryDirectory()))!;

describe('a store in PostgreSQL', () => {
  it('is migrated once by concurrent instances, and refused if it has a newer schema', async () => {
    const directory = temporaryDirectory();
    const databaseUrl = await databaseOf(directory);
    const stores = await Promise.all(Array.from({ length: 5 }, () => openStore({ directory, databaseUrl })));
    await Promise.all(stores.map((store) => store.close()));
    const edit = await openRawSql(directory);
    const current = String(migrations['tower.db'].length);
    expect(await edit('select part, version from schema_versions')).toEqual([{ part: 'tower.db', version: current }]);
    await edit('update schema_versions set version = 99');
    await expect(openStore({ directory, databaseUrl })).rejects.toThrow(
      /^postgres:\/\/127\.0\.0\.1:\d+\/t_\w+ has schema 99, /,
    );
  });

  it('is reported without its password if it is unreachable or unsuitable', async () => {
    const none = openStore({ directory: '', databaseUrl: 'postgres://dana:hunter2@127.0.0.1:1/tower' });
    await expect(none).rejects.toThrow('DATABASE_URL: cannot use postgres://127.0.0.1:1/tower: connect ECONNREFUSED');
    const admin = new Client({ connectionString: inject('postgresUrl')! });
    await admin.connect();
    await admin.query("create database t_latin encoding 'LATIN1' locale 'C' template template0");
    whenTestIsOver(async () => {
      await admin.query('drop database t_latin');
      await admin.end();
    });
    const url = new URL(inject('postgresUrl')!);
    url.pathname = '/t_latin';
    await expect(openStore({ directory: '', databaseUrl: url.href })).rejects.toThrow(
      /has encoding LATIN1; create a database with encoding 'UTF8'/,
    );
  });

  it('rolls back a transaction whose connection is lost, and recovers', async () => {
    const directory = temporaryDirectory();
    const store = await openStore({ directory, databaseUrl: await databaseOf(directory) });
    whenTestIsOver(() => store.close());
    const cut = await openRawSql(directory);
    const db = await store.db();
    const half = db.transaction().execute(async (transaction) => {
      await transaction.insertInto('monitored_models').values(watched('half')).execute();
      await cut("select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'");
      await transaction.insertInto('monitored_models').values(watched('other half')).execute();
    });
    await expect(half).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^postgres:\/\/127\.0\.0\.1:\d+\/t_\w+ is unavailable: /),
    });
    await db.insertInto('monitored_models').values(watched('next')).execute();
    expect(await db.selectFrom('monitored_models').select('name').execute()).toEqual([{ name: 'next' }]);
  });

  it('answers 503 while PostgreSQL is down, and recovers', async () => {
    const tower = await testTower();
    const admin = new Client({ connectionString: inject('postgresUrl')! });
    await admin.connect();
    whenTestIsOver(() => admin.end());
    const url = new URL((await databaseOf(join(tower.directory, 'data')))!);
    const name = url.pathname.slice(1);
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`;
    await admin.query(`alter database ${name} allow_connections false`);
    await admin.query(cut);
    const post = () =>
      tower.app.inject({
        method: 'POST',
        url: '/api/v1/analytics/metrics',
        payload: { metric: 'cpu', resource: 'a', value: 1 },
      });
    const refused = await post();
    expect(refused.statusCode).toBe(503);
    expect(refused.json()).toMatchObject({ error: { type: 'unavailable' } });
    expect((await tower.app.inject('/models?limit=1')).statusCode).toBe(200);
    await admin.query(`alter database ${name} allow_connections true`);
    expect((await post()).json()).toMatchObject({ recorded: 1 });
    expect((await tower.app.inject('/api/v1/analytics/metrics')).json()).toMatchObject({ count: 1 });
  });

  it('replaces connections that stop responding', async () => {
    const url = new URL((await databaseOf(temporaryDirectory()))!);
    const target = Number(url.port);
    const silent = new Set<Socket>();
    const open = new Set<Socket>();
    const proxy = createServer((from) => {
      const to = connect(target, '127.0.0.1');
      open.add(from).add(to);
      const pass = (one: Socket, other: Socket) =>
        one.on('data', (bytes) => silent.has(from) || other.write(bytes)).on('error', () => undefined);
      pass(from, to).on('close', () => to.destroy());
      pass(to, from).on('close', () => from.destroy());
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    whenTestIsOver(() => {
      for (const socket of open) socket.destroy();
      proxy.close();
    });
    url.port = String((proxy.address() as AddressInfo).port);
    const store = await openMetricStore({ directory: '', databaseUrl: url.href, connections: 1 });
    whenTestIsOver(() => store.close());
    await store.now();
    for (const socket of open) silent.add(socket);
    await expect(store.now()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await store.now()).toBeGreaterThan(0);
  });

  it('ignores foreign messages in its notification channel', async () => {
    const directory = temporaryDirectory();
    const place = { directory, databaseUrl: await databaseOf(directory) };
    const [store, other, hand] = [await openStore(place), await openStore(place), await openRawSql(directory)];
    whenTestIsOver(async () => {
      await store.close();
      await other.close();
    });
    const heard: string[] = [];
    store.notifier.on('events', (about) => heard.push(about));
    await vi.waitFor(async () => {
      for (const payload of ['hello', 'null', '{"topic":7}', '[]', ''])
        await hand(`select pg_notify('control_tower', '${payload}')`);
      other.notifier.notify('events', 'ours');
      expect(heard).toContain('ours');
    }, 5_000);
    expect(new Set(heard)).toEqual(new Set(['ours']));
  });

  it('refuses U+0000 as invalid input', async () => {
    const { app } = await testTower();
    const payload = { url: 'https://example.com/hook', description: 'a\u0000b' };
    const answer = await app.inject({ method: 'POST', url: '/api/v1/registry/webhooks', payload });
    expect(answer.statusCode).toBe(400);
    expect(answer.json()).toMatchObject({ error: { message: expect.stringContaining('U+0000') } });
  });

  it('verifies an audit log while it grows', async () => {
    const { services } = await testTower();
    const { audit } = services.access;
    await audit.begin();
    const entry = { phase: 'requested' as const, actor: 'dana', via: 'cli', address: '', action: 'x' };
    const record = () => audit.record({ ...entry, target: {}, details: {}, status: null, requestId: 'r' });
    for (let i = 0; i < 600; i += 1) await record();
    let going = true;
    const writing = (async () => {
      while (going) await record();
    })();
    for (let i = 0; i < 5; i += 1) expect((await audit.verify()).problem).toBeNull();
    going = false;
    await writing;
  });

  it('requires the same key on all instances', async () => {
    const { code, err } = await command({ DATABASE_URL: await freshDatabase() }, 'token', 'list');
    expect({ code, err }).toEqual({ code: 2, err: expect.stringMatching(/TOWER_SECRET_KEY must be set/) });
    const env = { DATABASE_URL: await freshDatabase() };
    expect((await command({ ...env, TOWER_SECRET_KEY: key }, 'token', 'list')).code).toBe(0);
    expect((await command({ ...env, TOWER_SECRET_KEY: key }, 'audit', 'verify')).code).toBe(0);
    expect(await command({ ...env, TOWER_SECRET_KEY: 'z'.repeat(40) }, 'token', 'list')).toMatchObject({
      code: 4,
      err: expect.stringContaining('TOWER_SECRET_KEY is not the key of this store') as unknown,
    });
    expect(await command({ DATABASE_URL: 'mysql://x/y' }, 'token', 'list')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/DATABASE_URL must be /),
    });
  });
});

describe('tower store over PostgreSQL', () => {
  /** An instance with rows in every kind of table, and the expected rows. */
  async function filled() {
    const tower = await testTower();
    const { services } = tower;
    await services.registry.refresh();
    await services.access.audit.begin();
    await services.access.keys.create({ name: 'kept', scopes: ['read'], expires_in_days: 1 }, 'dana');
    for (const action of ['first', 'second'])
      await services.access.audit.record({
        phase: 'requested',
        actor: 'dana',
        via: 'cli',
        address: '',
        action,
        target: {},
        details: {},
        status: null,
        requestId: 'r',
      });
    const metrics = Array.from({ length: 1200 }, (_, i) => ({
      metric: `m ${i % 40} 名前`,
      resource: `r${i % 30}`,
      value: i,
      timestamp: new Date(testNow() - i * 1000).toISOString(),
    }));
    await services.analytics.record({ metrics });
    await services.webhooks.create({ url: 'https://example.com/hook' }, 'dana');
    return { ...tower, databaseUrl: (await databaseOf(join(tower.directory, 'data')))! };
  }

  const told = async ({ services }: Awaited<ReturnType<typeof testTower>>) => ({
    keys: (await services.access.keys.list()).map(({ name }) => name),
    audit: await services.access.audit.verify(),
    points: (await answerOf(services.analytics.query('points', [{ limit: '2000' }]))).points,
    series: (await answerOf(services.analytics.query('series', [{}]))).count,
  });

  it('backs up into files, which restore into a directory and another database, sequences included', async () => {
    const tower = await filled();
    const before = await told(tower);
    expect(before).toMatchObject({ keys: ['kept'], audit: { rows: 2, problem: null }, series: 120 });
    expect(before.points).toHaveLength(1200);
    const copy = join(temporaryDirectory(), 'copy');
    const env = {
      DATABASE_URL: tower.databaseUrl,
      TOWER_SECRET_KEY: key,
      DATA_DIRECTORY: join(tower.directory, 'data'),
    };
    expect((await command(env, 'store', 'backup', copy)).out).toMatch(
      /^FILE +BYTES\ntower\.db +\d+\nmetrics\.db +\d+\n/,
    );
    expect(readdirSync(copy).sort()).toEqual(['backup.json', 'metrics.db', 'tower.db']);

    const [directory, elsewhere] = [join(temporaryDirectory(), 'data'), temporaryDirectory()];
    expect((await command({ DATA_DIRECTORY: directory }, 'store', 'restore', copy)).code).toBe(0);
    expect(existsSync(join(directory, 'tower.db'))).toBe(true);
    const other = { ...env, DATABASE_URL: (await databaseOf(elsewhere))!, DATA_DIRECTORY: elsewhere };
    const { code, out, err } = await command(other, 'store', 'restore', copy);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^restored 2 files of \S+Z to the database; set TOWER_SECRET_KEY/);
    const there = await testTower({ DATA_DIRECTORY: elsewhere });
    expect(await told(there)).toEqual(before);
    expect(await there.services.analytics.record({ metric: 'new', resource: 'a', value: 1 })).toMatchObject({
      recorded: 1,
    });
    const ids = await (await openRawSql(elsewhere))('select max(id)::int as id, count(*)::int as n from series');
    expect(ids).toEqual([{ id: 121, n: 121 }]);

    // An embedded store moves to PostgreSQL by the same two commands.
    const again = join(temporaryDirectory(), 'again');
    await command({ DATA_DIRECTORY: directory }, 'store', 'backup', again);
    const third = temporaryDirectory();
    const into = { ...env, DATABASE_URL: (await databaseOf(third))!, DATA_DIRECTORY: third };
    expect((await command(into, 'store', 'restore', again)).code).toBe(0);
    expect(await told(await testTower({ DATA_DIRECTORY: third }))).toEqual(before);
    expect(await command(into, 'store', 'restore', again)).toMatchObject({
      code: 4,
      err: expect.stringMatching(/already has rows in \w+: use an empty one/),
    });
  });

  it('verifies and migrates', async () => {
    const env = { DATABASE_URL: await freshDatabase(), TOWER_SECRET_KEY: key };
    const { code, out } = await command(env, 'store', 'verify');
    expect(code).toBe(1);
    expect(out).toMatch(/^tower\.db +0 +- +missing; "tower store migrate" or a start creates it$/m);
    expect((await command(env, 'store', 'migrate')).out).toBe(
      'FILE        SCHEMA\ntower.db         6\nmetrics.db       1',
    );
    expect(await command(env, 'store', 'verify')).toMatchObject({ code: 0 });
    await (await openMetricStore({ directory: '', databaseUrl: env.DATABASE_URL })).close();
  });
});
