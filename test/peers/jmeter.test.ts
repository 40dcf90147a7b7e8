import { execFile } from 'node:child_process';
import { createReadStream, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { LoadProgress } from '#services/acquisition/load/generator.ts';
import { jmeterPlan } from '#services/acquisition/load/jmeter.ts';
import { loadByJmeter, runJmeter, summaryOf } from '#services/acquisition/load/jmeter-run.ts';
import { evaluateJtl } from '#services/acquisition/load/jtl.ts';
import { readScenario, type Scenario, scenarios } from '#services/acquisition/load/scenario.ts';
import { fakeBoutique } from '../fakes/boutique.ts';
import { fakeKubernetes } from '../fakes/kubernetes.ts';
import { begin, experimentDirectory, replicasThere } from '../support/experiments-by-command.ts';
import { peerProgram } from '../support/mlflow-server.ts';
import { receiver } from '../support/receiver.ts';
import { temporaryDirectory } from '../support/tower.ts';
import { servingTower, towerCommand } from '../support/tower-process.ts';

/** Runs our test plan by Apache JMeter as the server does. */
async function load(jar: string, scenario: Scenario, port: number) {
  const seen: LoadProgress[] = [];
  const result = await loadByJmeter(
    { home: dirname(dirname(jar)), java: '/usr/bin/java' },
    {
      name: 'x',
      generator: 'jmeter',
      scenario: { ...scenario, think_seconds: [0, 0.02] },
      run: {
        target: `http://127.0.0.1:${port}`,
        arrivalsPerSecond: 1,
        users: 4,
        durationSeconds: 7,
        rampUpSeconds: 1,
        maxUsers: 4,
        timeoutMs: 1000,
      },
      memoryMiB: 512,
    },
    new AbortController().signal,
    (now) => seen.push(now),
  );
  // Progress is reported during the run, and never exceeds the result.
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.at(-1)!.requests).toBeLessThanOrEqual(result.total_requests);
  return result;
}

/** Two users, five times: a page, a redirect, and a transaction of a page and a request that fails. */
function planWithTransactions(port: number): string {
  const text = (name: string, value: string | number) => `<stringProp name="${name}">${value}</stringProp>`;
  const currency = `<elementProp name="currency_code" elementType="HTTPArgument">${text('Argument.name', 'currency_code')}${text('Argument.value', 'EUR')}${text('Argument.metadata', '=')}</elementProp>`;
  const sampler = (name: string, path: string, method = 'GET') =>
    `<HTTPSamplerProxy guiclass="HttpTestSampleGui" testclass="HTTPSamplerProxy" testname="${name}"><elementProp name="HTTPsampler.Arguments" elementType="Arguments"><collectionProp name="Arguments.arguments">${method === 'POST' ? currency : ''}</collectionProp></elementProp>${text('HTTPSampler.domain', '127.0.0.1')}${text('HTTPSampler.port', port)}${text('HTTPSampler.protocol', 'http')}${text('HTTPSampler.path', path)}${text('HTTPSampler.method', method)}<boolProp name="HTTPSampler.follow_redirects">true</boolProp></HTTPSamplerProxy><hashTree/>`;
  return `<?xml version="1.0" encoding="UTF-8"?><jmeterTestPlan version="1.2" properties="5.0" jmeter="5.6.3"><hashTree>
<TestPlan guiclass="TestPlanGui" testclass="TestPlan" testname="t"><elementProp name="TestPlan.user_defined_variables" elementType="Arguments"><collectionProp name="Arguments.arguments"/></elementProp></TestPlan><hashTree>
<ThreadGroup guiclass="ThreadGroupGui" testclass="ThreadGroup" testname="users">${text('ThreadGroup.on_sample_error', 'continue')}<elementProp name="ThreadGroup.main_controller" elementType="LoopController"><boolProp name="LoopController.continue_forever">false</boolProp><intProp name="LoopController.loops">5</intProp></elementProp>${text('ThreadGroup.num_threads', 2)}${text('ThreadGroup.ramp_time', 0)}</ThreadGroup><hashTree>
${sampler('home', '/')}${sampler('currency', '/setCurrency', 'POST')}
<TransactionController guiclass="TransactionControllerGui" testclass="TransactionController" testname="Buy"><boolProp name="TransactionController.parent">false</boolProp></TransactionController><hashTree>${sampler('cart', '/cart')}${sampler('nowhere', '/nowhere')}</hashTree>
</hashTree></hashTree></hashTree></jmeterTestPlan>`;
}

describe('Apache JMeter 5.6.3', () => {
  const jar = peerProgram('jmeter', 'ApacheJMeter.jar');

  it.skipIf(!jar)('visits pages by weight, each user with a session', async () => {
    const shop = await fakeBoutique();
    const result = await load(jar!, scenarios.browsing, shop.port);
    expect(result).toMatchObject({ failed_requests: 0, success_rate: 1, low_quality: false });
    expect(result.total_requests).toBeGreaterThan(200);
    const share = (name: string) => (result.requests[name]?.total ?? 0) / result.total_requests;
    expect(share('product')).toBeCloseTo(10 / 16, 1);
    expect(share('cart')).toBeCloseTo(3 / 16, 1);
    expect(share('currency')).toBeCloseTo(2 / 16, 1);
    expect(shop.currenciesSet.size).toBe(6);
    expect(Object.keys(shop.seen).sort()).toEqual(['GET /', 'GET /cart', 'GET /product/{id}', 'POST /setCurrency']);
  });

  it.skipIf(!jar)('orders what it added to the cart', async () => {
    const shop = await fakeBoutique();
    const result = await load(jar!, scenarios.checkout, shop.port);
    expect(result).toMatchObject({ failed_requests: 0, low_quality: false });
    expect(shop.orders.length).toBeGreaterThan(20);
    // Without the session cookie a user would order an empty cart.
    expect(shop.orders.filter(({ items }) => items !== 1)).toEqual([]);
    const { product, add, order } = result.requests;
    expect(Math.abs(product!.total - add!.total)).toBeLessThan(10);
    expect(order!.total).toBe(shop.orders.length);
  });

  it.skipIf(!jar)('finishes if requests fail, and the result reports it', async () => {
    const shop = await fakeBoutique({ failing: 0.2 });
    const own = await readScenario(
      'name: own\nrounds:\n  - name: look\n    steps:\n      - { name: "home", path: /, expect_text: "Hot & <Products>" }\n      - { name: page, path: / }\n',
    );
    const result = await load(jar!, own, shop.port);
    expect(result.low_quality).toBe(true);
    expect(result.requests['home']).toMatchObject({ failed: result.requests['home']!.total });
    expect(Object.keys(result.requests['home']!.failures).some((why) => why.includes('Hot & <Products>'))).toBe(true);
    expect(result.requests['page']!.failed / result.requests['page']!.total).toBeCloseTo(0.2, 1);
  });

  it.skipIf(!jar)("sends texts literally, including JMeter's own function syntax", async () => {
    const server = await receiver();
    server.body = 'a page with ${__groovy(1+1)} \\ $1 in it';
    server.answer = () => ({ status: 200 });
    const odd = { code: '${__groovy(1+1)}', slash: 'a\\b,c', both: 'a\\,b ${__time()} \\\\', money: '$5', plain: 'x' };
    const own = await readScenario(
      JSON.stringify({
        name: 'odd',
        variables: { v: ['${__groovy(7*7)}', '\\1$2'] },
        rounds: [
          {
            name: 'a',
            steps: [
              {
                name: 'post',
                method: 'POST',
                path: '/',
                form: { ...odd, drawn: 'x\\{{v}}${v}$' },
                expect_text: '${__groovy(1+1)} \\ $1',
              },
            ],
          },
        ],
      }),
    );
    expect(await load(jar!, own, Number(new URL(server.url).port))).toMatchObject({ failed_requests: 0 });
    const posted = server.got.map(({ body }) => Object.fromEntries(new URLSearchParams(body)));
    const drawn = new Set(posted.map((form) => form['drawn']));
    expect(drawn).toEqual(new Set(['x\\${__groovy(7*7)}${v}$', 'x\\\\1$2${v}$']));
    for (const { drawn: _, ...form } of posted) expect(form).toEqual(odd);
  });

  it.skipIf(!jar).each([
    ['csv', 'subresults=true'],
    ['csv', 'default_delimiter=;'],
    ['csv', 'sample_count=true'],
    ['csv', 'timestamp_format=yyyy/MM/dd HH:mm:ss.SSS'],
    ['xml', 'subresults=true'],
    ['xml', 'subresults=false'],
  ])("has results in %s with %s that are counted as by JMeter's summary", async (format, setting) => {
    const shop = await fakeBoutique();
    const [plan, results] = ['plan.jmx', 'results.jtl'].map((name) => join(temporaryDirectory(), name)) as [
      string,
      string,
    ];
    writeFileSync(plan, planWithTransactions(shop.port));
    const { stdout: printed } = await promisify(execFile)(
      '/usr/bin/java',
      [
        '-jar',
        jar!,
        '-n',
        '-t',
        plan,
        '-l',
        results,
        '-j',
        `${plan}.log`,
        `-Jjmeter.save.saveservice.output_format=${format}`,
        `-Jjmeter.save.saveservice.${setting}`,
      ],
      { encoding: 'utf8' },
    );
    const theirs = printed
      .split('\n')
      .map(summaryOf)
      .findLast((line) => line?.users === null);
    // A redirect has two parts, and one request of each transaction fails.
    expect(theirs).toMatchObject({ requests: 40, failed: 10 });
    const ours = await evaluateJtl(createReadStream(results));
    expect([ours.total_requests, ours.failed_requests]).toEqual([theirs!.requests, theirs!.failed]);
    expect(ours).toMatchObject({ transactions: 10, failed_transactions: 0, incomplete_last_row: false });
  });

  it.skipIf(!jar)('sends no load to other hosts', async () => {
    const [shop, other] = [await receiver(), await receiver()];
    const elsewhere = other.url.replace('127.0.0.1', 'localhost');
    shop.answer = () => ({ status: 302, headers: { location: elsewhere } });
    const own = await readScenario('name: own\nrounds: [{name: a, steps: [{name: home, path: /}]}]\n');
    const result = await load(jar!, own, Number(new URL(shop.url).port));
    expect(shop.got.length).toBeGreaterThan(10);
    expect([other.got.length, result.low_quality]).toEqual([0, true]);
  });

  it.skipIf(!jar)('is run by the command line, which keeps its results next to the plan', async () => {
    const shop = await fakeBoutique();
    const plan = join(temporaryDirectory(), 'own.jmx');
    const at = { users: 2, durationSeconds: 3, rampSeconds: 1, protocol: 'http' as const, host: '127.0.0.1' };
    writeFileSync(plan, jmeterPlan({ ...scenarios.browsing, think_seconds: [0, 0.05] }, { ...at, port: shop.port }));
    const env = { JMETER_HOME: dirname(dirname(jar!)) };
    const tower = async (...args: string[]) => ended(towerCommand(['--json', 'load', ...args], { cwd: '.', env }));
    const { code, said } = await tower('run', '--plan', plan);
    const result = JSON.parse(said) as { total_requests: number; results: string };
    expect([code, result]).toMatchObject([0, { failed_requests: 0, results: plan.replace('.jmx', '.jtl') }]);
    expect((await tower('evaluate', result.results)).said).toContain(`"total_requests": ${result.total_requests}`);
    const again = { code: 2, said: `tower: ${result.results} already exists; JMeter would append to it\n` };
    expect(await tower('run', '--plan', plan)).toEqual(again);
  });

  it.skipIf(!jar)('reports why a plan does not run', async () => {
    const directory = temporaryDirectory();
    const [plan, results, log] = ['bad.jmx', 'bad.jtl', 'bad.log'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(plan, '<jmeterTestPlan');
    const jmeter = { home: dirname(dirname(jar!)), java: '/usr/bin/java' };
    await expect(
      runJmeter(jmeter, [plan, results, log], 256, new AbortController().signal, () => undefined),
    ).rejects.toThrow(/^JMeter did not run \(exit code 1\): An error occurred: Error in NonGUIDriver/);
  });

  it.skipIf(!jar)('generates the load of experiments if configured', { timeout: 120_000 }, async () => {
    const cluster = await fakeKubernetes();
    for (const [name, replicas] of Object.entries(replicasThere))
      cluster.workload('Deployment', name, replicas, [{ name: 'server' }]);
    const { cwd, env, data } = await experimentDirectory(cluster, {
      users: [2],
      change: { load_generator: 'jmeter' },
    });
    const refused = await servingTower(cwd, env);
    expect(await ended(begin(cwd, refused.url))).toMatchObject({
      code: 2,
      said: expect.stringContaining('JMeter is not configured: set JMETER_HOME') as string,
    });
    await refused.stop();
    const { url } = await servingTower(cwd, { ...env, JMETER_HOME: dirname(dirname(jar!)) });
    expect(await ended(begin(cwd, url))).toMatchObject({ code: 0 });
    const files = Object.entries(data()).filter(([name]) => name.endsWith('.json'));
    expect(files).toHaveLength(4);
    for (const [, text] of files)
      expect(JSON.parse(text)).toMatchObject({
        load_test: {
          generator: 'jmeter',
          offered_requests_per_second: null,
          users: 2,
          rounds: null,
          failed_requests: 0,
        },
      });
  });

  it.skipIf(!jar)('ends if its server is killed, and if its job is cancelled', { timeout: 120_000 }, async () => {
    const shop = await fakeBoutique();
    const target = `http://127.0.0.1:${shop.port}`;
    const home = dirname(dirname(jar!));
    const cwd = temporaryDirectory();
    const sent = () => shop.seen['GET /product/{id}'] ?? 0;
    const begun = async (url: string) => {
      const before = sent();
      const response = await fetch(`${url}/api/v1/acquisition/load-tests`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ target, generator: 'jmeter', users: 20, duration_seconds: 600 }),
      });
      expect(response.status).toBe(202);
      while (sent() < before + 20) await wait(50);
      return ((await response.json()) as { id: string }).id;
    };
    const isQuiet = async () => {
      // Requests in flight may still arrive; users think for at most three seconds.
      await wait(1000);
      const then = sent();
      await wait(4000);
      return sent() === then;
    };
    const first = await servingTower(cwd, { LOAD_TARGETS: target, JMETER_HOME: home });
    const id = await begun(first.url);
    const cancelled = await fetch(`${first.url}/api/v1/acquisition/load-tests/${id}`, { method: 'DELETE' });
    expect(cancelled.status).toBe(200);
    expect(await isQuiet()).toBe(true);
    await begun(first.url);
    // Kills the server only, not its child processes.
    first.child.kill('SIGKILL');
    expect(await isQuiet()).toBe(true);
  });
});

async function ended(command: ReturnType<typeof towerCommand>) {
  const code = await new Promise((resolve) => {
    command.child.once('exit', resolve);
  });
  return { code, said: command.output() };
}
