import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readCsv } from '#kernel/csv.ts';
import { fakeBoutique } from '../fakes/boutique.ts';
import { whenTestIsOver } from '../support/cleanup.ts';
import { cliOver } from '../support/cli.ts';
import { clusteredEnv, prometheusOver } from '../support/cluster-series.ts';
import { testNow } from '../support/sources.ts';

describe('tower rightsizing', () => {
  it('prints a recommendation as a table, and as outputs to apply', { timeout: 30_000 }, async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const one = ['rightsizing', 'recommend', '--namespace', 'shop', '--service', 'web', '--days', '2'];
    const asTable = await tower(...one, '--compare');
    expect(asTable.code).toBe(0);
    expect(asTable.out).toMatch(/^shop\/web\n\nCONTAINER +RESOURCE +CURRENT +RECOMMENDED +CONFIDENCE +BOUND BY\n/);
    expect(asTable.out).toMatch(/\nweb +CPU +500m +\d+m +\d+ % +usage\n/);
    expect(asTable.out).toMatch(/\nreplicas +2 → \?: the autoscaler web decides/);
    expect(asTable.out).toMatch(/\nautoscaler +web 60 % → \d+ %: scales at 0\.36 cores per pod/);
    expect(asTable.out).toMatch(/\ncost +\d+\.\d\d USD → \d+\.\d\d USD per month, saves \d+\.\d\d USD/);
    expect(asTable.out).toMatch(/\nweb CPU by strategy +tower \d+m, krr_simple \d+m/);
    const kubectl = await tower(...one, '--output', 'kubectl');
    expect(kubectl.out).toMatch(
      /^# set the target of the autoscaler web to \d+ % of cpu together with the requests: its metrics are not fully known/m,
    );
    expect(kubectl.out).toMatch(/^kubectl patch deployment web -n shop --type strategic -p '[^\n]*'$/m);
    const helm = parse((await tower(...one, '--output', 'helm')).out) as { resources: object };
    expect(helm.resources).toMatchObject({
      requests: { cpu: expect.stringMatching(/^\d+m$/) as string },
    });
    const limited = await tower(...one, '--violation', '0.2', '--cpu-limit', '--output', 'kubectl');
    expect(limited.out).toMatch(/"limits":\{"cpu":"\d+m","memory"/);
    expect((await tower(...one, '--violation', '2')).err).toBe(
      'tower: violation must be a number between 0.005 and 0.5 (got 2)',
    );
    const all = await tower('rightsizing', 'recommend', '--namespace', 'shop', '--days', '2');
    expect(all.out).toMatch(/^shop\/idle\n[\s\S]*\nshop\/web\n[\s\S]*\ntotal: .* saves /);
    const nobody = ['rightsizing', 'recommend', '--namespace', 'shop', '--service', 'nobody'];
    const none = 'shop/nobody: no recommendation: Prometheus has no container of the workload in the last 14 days';
    expect(await tower(...nobody)).toMatchObject({ code: 1, out: none });
    // A recommendation that cannot be applied is printed as a comment, with an exit code of its own.
    expect(await tower(...nobody, '--output', 'kubectl')).toMatchObject({ code: 1, out: `# ${none}` });
    const some = await tower('rightsizing', 'recommend', '--namespace', 'shop', '--services', 'web', '--days', '2');
    expect(some.out).toMatch(/^shop\/web\n/);
    const bounded = await tower(...one, '--min-cpu', '0.7', '--max-memory', '64', '--basis', 'usage');
    expect(bounded.out).toMatch(/\nweb +CPU +500m +700m .* floor\nweb +memory +256Mi +64Mi +- +cap\n/);
  });

  it('prints CSV, and the largest saving first', { timeout: 30_000 }, async () => {
    const { tower } = await cliOver(await clusteredEnv());
    const all = ['rightsizing', 'recommend', '--namespace', 'shop', '--days', '2'];
    const { out } = await tower(...all, '--output', 'csv');
    const { rows } = readCsv(out);
    expect(rows.length).toBeGreaterThan(1);
    expect(rows[0]).toMatchObject({
      namespace: 'shop',
      kind: expect.any(String),
      cpu_request_cores_now: expect.stringMatching(/^[\d.]+$/),
    });
    const savings = rows.filter((row) => row['monthly_saving'] !== '').map((row) => Number(row['monthly_saving']));
    expect(savings).toEqual(savings.toSorted((a, b) => b - a));
    expect(
      rows
        .filter((row) => row['cpu_request_cores'] === '' && row['container'] === '')
        .every((row) => row['reason'] !== ''),
    ).toBe(true);
    const titles = [...(await tower(...all)).out.matchAll(/^shop\/(\S+)$/gm)].map(([, name]) => name);
    expect(titles).toEqual([...new Set(rows.filter((row) => row['container'] !== '').map((row) => row['service']))]);
  });

  it('recommends for all workloads of a namespace, with paging', async () => {
    const now = testNow();
    const names = Array.from({ length: 60 }, (_, i) => `service-${String(i).padStart(2, '0')}`);
    const labelled = (deployment: string) => ({ job: 'kube-state-metrics', namespace: 'shop', deployment });
    const series = names.map((name) => ({
      name: 'kube_deployment_spec_replicas',
      labels: labelled(name),
      samples: [[now - 1000, 1]] as [number, number][],
    }));
    const { tower } = await cliOver({ PROMETHEUS_URL: await prometheusOver(series, now), PROMETHEUS_PRESET: 'plain' });
    const all = await tower('rightsizing', 'recommend', '--namespace', 'shop', '--days', '2', '--json');
    const { recommendations, left_off, next } = JSON.parse(all.out) as Record<string, { service: string }[]>;
    expect([recommendations!.map(({ service }) => service), left_off, next]).toEqual([names, 0, null]);
    expect(all.code).toBe(1);
  }, 60_000);

  it('prints partial results if the server becomes unavailable', async () => {
    const { towerWith } = await cliOver();
    const cost = { currency: 'USD', monthly_now: 3, monthly_recommended: 2, monthly_saving: 1 };
    const page = { recommendations: [], failures: [], cost, left_off: 9, next: 'web Deployment' };
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      response.writeHead(asked === 1 ? 200 : 503, { 'content-type': 'application/json' });
      response.end(JSON.stringify(asked === 1 ? page : { detail: 'Prometheus is away' }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    whenTestIsOver(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, out } = await towerWith({ TOWER_URL: url }, 'rightsizing', 'recommend', '--namespace', 'shop');
    expect(code).toBe(1);
    expect(out).toMatch(/^all after web Deployment: .*Prometheus is away\n\ntotal: .* saves 1\.00 USD/);
  });

  it('backtests all strategies on a CSV file, and plots them', { timeout: 30_000 }, async () => {
    const { tower, directory } = await cliOver();
    const [csv, picture] = [join(directory, 'usage.csv'), join(directory, 'usage.svg')];
    const start = Date.UTC(2026, 10, 1);
    const rows = Array.from(
      { length: 24 * 10 },
      (_, i) => `${new Date(start + i * 3_600_000).toISOString()},${i === 7 ? '' : 0.1 + (i % 24) / 100}`,
    );
    writeFileSync(csv, `time,cores\n${rows.join('\n')}\n`);
    const asked = ['rightsizing', 'backtest', '--csv', csv, '--column', 'cores', '--time', 'time'];
    const tested = await tower(...asked, '--picture', picture);
    expect(tested.err).toBe('');
    expect(tested.out).toMatch(/^STRATEGY +REGRET +SLACK +ABOVE +WINDOWS +RESIZED +ECE\ntower +1(\.\d+)? /);
    expect(tested.out).toMatch(/\noracle +1 /);
    expect(tested.out).toContain('3 windows of 24 h');
    expect(readFileSync(picture, 'utf8')).toContain('11-08');
    const few = await tower(...asked, '--strategies', 'tower, vpa', '--own-floors');
    expect(few.out).toMatch(
      /^STRATEGY .*\ntower .*\nvpa .*\n\nRequest for the next 24 h: \d+m \(.* \d+ %\)\n\n3 windows/,
    );
    writeFileSync(csv, `time,cores\n${rows.filter((_, i) => i !== 5).join('\n')}\n`);
    // A missing row is a gap.
    const gap = await tower('--json', ...asked);
    expect(JSON.parse(gap.out)).toMatchObject({ samples: 238, windows: 3, step_seconds: 3600 });
    const unix = rows.map((row, i) => `${start / 1000 + i * 3600},${row.split(',')[1]}`);
    writeFileSync(csv, `time,cores\n${unix.join('\n')}\n`);
    expect((await tower(...asked)).out).toBe(tested.out);
    writeFileSync(csv, `time,cores\n${unix.toReversed().join('\n')}\n`);
    expect((await tower(...asked)).out).toBe(tested.out);
    for (const [body, error] of [
      [[rows[1], rows[0], rows[1]], 'two rows have the time 2026-11-01T01:00:00.000Z'],
      [
        [rows[0], rows[1], '2026-11-01T01:25:00Z,1', rows[2]],
        'the row of 2026-11-01T01:00:00.000Z is not at a multiple of 1500 s after the first row; set --step to the time between rows, or omit --time',
      ],
      [
        ['a,b,c'],
        'row 1 has 3 cells, the header has 2 (delimiter: comma); cells that contain the delimiter must be quoted',
      ],
      [['a,"b'], 'line 2: unterminated quote'],
    ] as const) {
      writeFileSync(csv, `time,cores\n${body.join('\n')}\n`);
      expect((await tower(...asked)).err).toBe(`tower: ${error}`);
    }
    writeFileSync(csv, 'cores\n1\n2\n3\nmany\n5\n');
    const last = ['forecast', '--csv', csv, '--column', 'cores', '--last', '3'];
    expect((await tower(...last)).err).toBe('tower: cores in row 4 must be a number (got "many"); decimal mark: point');
    expect((await tower(...asked, '--prometheus', 'shop/web')).err).toBe('tower: set either --prometheus or --csv');
    expect(await tower('rightsizing', 'backtest')).toMatchObject({
      code: 2,
      err: 'tower: set --prometheus, or --csv and --column',
    });
    expect(await tower('rightsizing', 'backtest', '--prometheus', 'web')).toMatchObject({
      code: 2,
      err: 'tower: --prometheus must be namespace/service',
    });
    expect((await tower('rightsizing', 'strategies')).out).toMatch(/\nvpa +90th percentile/);
  });
});

describe('tower experiments', () => {
  it('lists quality grades, and deletes after confirmation', async () => {
    const { tower, directory } = await cliOver();
    const files = join(directory, 'data', 'experiments');
    cpSync(new URL('../fixtures/mora-experiments', import.meta.url), files, { recursive: true });
    const listed = await tower('experiments', 'list');
    expect(listed.out).toMatch(
      /\nfrontend_browsing_replicas_1_users_10 +low +168 +0 % +load_success, load_duration, rows, completeness/,
    );
    expect(listed.out).toMatch(/\nexperiments +3: 0 high, 0 medium, 3 low quality\n/);
    expect((await tower('experiments', 'show', 'frontend_browsing_replicas_1_users_10')).out).toMatch(
      /\nload_success +NO +0 of 40 requests succeeded, 0 %; at least 95 % required\n/,
    );
    expect((await tower('experiments', 'show', 'frontend_browsing_replicas_9_users_10')).code).toBe(3);
    expect(await tower('clean', 'experiments')).toMatchObject({
      code: 2,
      err: 'tower: set --confirm to delete the files',
    });
    expect((await tower('clean', 'experiments', '--service', 'frontend', '--confirm')).out).toBe(
      'deleted 1 experiments',
    );
    expect(existsSync(join(files, 'frontend_browsing_replicas_1_users_10.json'))).toBe(false);
    expect(readdirSync(files).filter((file) => file.endsWith('.csv'))).toHaveLength(2);
  });
});

describe('tower load', () => {
  it('generates plans and evaluates results without a server', async () => {
    const { towerWith, directory } = await cliOver();
    const tower = async (...args: string[]) => towerWith({ TOWER_URL: 'http://127.0.0.1:9' }, ...args);
    const [plan, own, jtl] = ['plan.jmx', 'own.yaml', 'run.jtl'].map((file) => join(directory, file)) as [
      string,
      string,
      string,
    ];
    expect((await tower('load', 'scenarios')).out).toMatch(/\nbrowsing +currency 2, product 10, cart 3, home 1\n/);
    writeFileSync(own, (await tower('load', 'scenarios', 'checkout')).out);
    const target = ['--target', 'http://shop:8080'];
    const written = await tower('load', 'script', '--scenario', own, ...target, '--users', '5', '--out', plan);
    expect(written.out).toMatch(
      /plan\.jmx; run it with: tower load run --plan .*plan\.jmx, or jmeter -n -t .*plan\.jmx -l .*plan\.jtl -Jjmeter.save.saveservice.subresults=false$/,
    );
    expect(readFileSync(plan, 'utf8')).toContain('__P(users,5)');
    expect((await tower('load', 'script', '--scenario', 'browsing', ...target, '--tool', 'k6')).out).toContain(
      '"http://shop:8080"',
    );
    expect(await tower('load', 'script', '--scenario', 'browsing', '--target', 'shop')).toMatchObject({
      code: 2,
      err: 'tower: --target must be http(s)://host[:port], without a path',
    });
    expect(await tower('load', 'script', '--scenario', 'browsing', ...target, '--users', '0')).toMatchObject({
      code: 2,
      err: 'tower: --users must be an integer between 1 and 10000 (got 0)',
    });
    const shop = await fakeBoutique();
    writeFileSync(own, 'name: own\nrounds: [{name: look, steps: [{name: home, path: /}]}]\n');
    const at = ['--target', `http://127.0.0.1:${shop.port}`, '--rate', '50', '--seconds', '1'];
    const ran = await tower('load', 'run', '--scenario', own, ...at);
    expect(ran.code).toBe(0);
    expect(ran.out).toMatch(/^requests +\d+\nsucceeded +\d+, 100 %\n/);
    expect(ran.out).toMatch(/\nhome +\d+ +0 /);
    writeFileSync(
      jtl,
      'timeStamp,elapsed,label,responseCode,responseMessage,success,failureMessage\n1760000000000,12,home,500,Internal,false,\n',
    );
    const judged = await tower('load', 'evaluate', jtl);
    expect(judged).toMatchObject({
      code: 1,
      err: 'tower: only 0 % of the requests succeeded: the results are not usable',
    });
    expect(judged.out).toMatch(/\nhome +1 +1 +12 +1 × 500 Internal$/);
  });
});
